"""Small files by name, each written as a whole: where virtsupd puts what a successor has to read."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from virtsupd.process.files import BLOCK_BYTES, make_directory, write_atomically, write_block


class Store(Protocol):
    """Files of one directory. Whenever the writer is killed, a reader sees the old or the new one."""

    def names(self) -> Sequence[str]:
        """Return the names of all files; none, if the directory is not there."""
        ...

    def read(self, name: str) -> bytes:
        """Return a file's content; raises OSError if it cannot be read."""
        ...

    def write(self, name: str, content: bytes) -> None:
        """Write a file; raises OSError, and then it is as it was."""
        ...

    def remove(self, name: str) -> None:
        """Remove a file, if it is there and can be removed."""
        ...


class DirectoryStore:
    """A directory of our own (mode 0700), made at the first write. Nothing is forced to the disk."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._is_made = False

    def names(self) -> Sequence[str]:
        """Return the names of all files; none, if the directory is not there."""
        with suppress(OSError):
            return sorted(path.name for path in self._directory.iterdir())
        return ()

    def read(self, name: str) -> bytes:
        """Return a file's content.

        Raises:
            OSError: it cannot be read.
        """
        return (self._directory / name).read_bytes()

    def write(self, name: str, content: bytes) -> None:
        """Write a file of mode 0600, in place while it fits into a block.

        Raises:
            OSError: it could not be written and is as it was.
        """
        if not self._is_made:
            make_directory(self._directory, mode=0o700)
            self._is_made = True
        if len(content) > BLOCK_BYTES:
            write_atomically(self._directory / name, content, mode=0o600)
        else:
            write_block(f"{self._directory}/{name}", content)

    def remove(self, name: str) -> None:
        """Remove a file, if it is there and can be removed."""
        with suppress(OSError):
            (self._directory / name).unlink()

    def discard(self) -> None:
        """Remove the directory if nothing is left in it."""
        self._is_made = False
        with suppress(OSError):
            self._directory.rmdir()

"""Small files by name, each written as a whole: where virtsupd puts what a successor has to read."""

import os
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
        """Return the names of all files; none, if the directory is not there.

        What a writer that was killed had only half written is removed.
        """
        found = []
        with suppress(OSError):
            for path in sorted(self._directory.iterdir()):
                if path.name.startswith("."):
                    self.remove(path.name)
                else:
                    found.append(path.name)
        return found

    def read(self, name: str) -> bytes:
        """Return a file's content.

        Raises:
            OSError: it cannot be read.
        """
        return (self._directory / name).read_bytes()

    def write(self, name: str, content: bytes) -> None:
        """Write a file of mode 0600, in place while it fits into a block and did before.

        Its name must not begin with a dot.

        Raises:
            OSError: it could not be written and is as it was.
        """
        if not self._is_made:
            make_directory(self._directory, mode=0o700)
            self._is_made = True
        path = f"{self._directory}/{name}"
        if len(content) > BLOCK_BYTES or _is_longer_than_a_block(path):
            write_atomically(Path(path), content, mode=0o600)
        else:
            write_block(path, content)

    def remove(self, name: str) -> None:
        """Remove a file, if it is there and can be removed."""
        with suppress(OSError):
            (self._directory / name).unlink()

    def discard(self) -> None:
        """Remove the directory if nothing is left in it."""
        self._is_made = False
        with suppress(OSError):
            self._directory.rmdir()


class StateFiles(Protocol):
    """The few files of the state directory, each replaced as a whole."""

    def place(self, name: str) -> str:
        """Return where a file is, for people."""
        ...

    def read(self, name: str) -> bytes:
        """Return a file's content; raises OSError (FileNotFoundError if there is none)."""
        ...

    def write(self, name: str, content: bytes, *, is_lasting: bool) -> None:
        """Replace a file; raises OSError, and then it is as it was (see `write_atomically`)."""
        ...

    def remove(self, name: str) -> None:
        """Remove a file, if it is there; raises OSError."""
        ...


class StateDirectory:
    """State files in a directory that is there, mode 0600."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def place(self, name: str) -> str:
        """Return where a file is, for people."""
        return str(self._directory / name)

    def read(self, name: str) -> bytes:
        """Return a file's content.

        Raises:
            OSError: it cannot be read; FileNotFoundError if there is none.
        """
        return (self._directory / name).read_bytes()

    def write(self, name: str, content: bytes, *, is_lasting: bool) -> None:
        """Replace a file; one that `is_lasting` is there after a loss of power, too.

        Raises:
            OSError: it could not be written and is as it was.
        """
        write_atomically(self._directory / name, content, mode=0o600, is_lasting=is_lasting)

    def remove(self, name: str) -> None:
        """Remove a file, if it is there.

        Raises:
            OSError: it cannot be removed.
        """
        (self._directory / name).unlink(missing_ok=True)


def _is_longer_than_a_block(path: str) -> bool:
    try:
        return os.stat(path, follow_symlinks=False).st_size > BLOCK_BYTES  # noqa: PTH116 - at every start
    except FileNotFoundError:
        return False

"""Files that come into being together: all of them, or none, and never in place of another."""

import errno
import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from virtsupd.core.frozen import frozen
from virtsupd.errors import VirtsupdError
from virtsupd.process.files import opened_own


class LeftBehindError(VirtsupdError):
    """Not all could be made, and what was made could not all be removed; the message names it."""

    code = "left-behind"


@frozen
class _Made:
    """One file, known again by its inode: what somebody put in its place since is not ours."""

    path: Path
    directory: int
    inode: int

    def remove(self) -> None:
        name = self.path.name
        with suppress(FileNotFoundError):
            if os.stat(name, dir_fd=self.directory, follow_symlinks=False).st_ino == self.inode:
                os.unlink(name, dir_fd=self.directory)


class NewFiles:
    """What has been made so far. See `new_files`."""

    def __init__(self, opened: ExitStack) -> None:
        self._opened = opened
        self._directories: dict[Path, int] = {}
        self._made_directories: list[Path] = []
        self._made: list[_Made] = []

    def add_directory(self, path: Path, *, mode: int) -> None:
        """Make a directory where there is none, with its parents (0755), and hold it for `add`.

        One that is there keeps its mode.

        Raises:
            UnsafeDirectoryError: somebody else could put files into it.
            OSError: it cannot be made, or something else stands in its place.
        """
        if path in self._directories:
            return
        missing = [place for place in (path, *path.parents) if not os.path.lexists(place)]
        for place in reversed(missing):
            self._make_directory(place, mode if place == path else 0o755)
        self._directories[path] = self._opened.enter_context(opened_own(path))

    def wait_for_turn(self, path: Path) -> None:
        """Return once nobody else's set of files has the turn at a directory that was added.

        The turn ends with the set. Programs that make the same files in it take turns with this.

        Raises:
            OSError: who had the turn has removed the directory, which it had made, since it failed.
        """
        directory = self._directories[path]
        fcntl.flock(directory, fcntl.LOCK_EX)
        if not os.path.samestat(os.fstat(directory), path.lstat()):
            raise FileNotFoundError(errno.ENOENT, "it was removed meanwhile", str(path))

    def _make_directory(self, path: Path, mode: int) -> None:
        try:
            path.mkdir(mode=mode)
        except FileExistsError:
            return  # somebody else was faster; what it is shows when it is opened
        self._made_directories.append(path)
        with opened_own(path) as descriptor:
            os.fchmod(descriptor, mode)  # whatever the umask is

    def add(self, path: Path, content: bytes, *, mode: int) -> None:
        """Make a file, whole and on the disk, in a directory that was added.

        Raises:
            FileExistsError: something is there; it is as it was.
            OSError: the file is not there; `filename` is `path`.
        """
        directory = self._directories[path.parent]
        temporary = f".{path.name}.{secrets.token_hex(4)}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(temporary, flags, 0o600, dir_fd=directory)
        try:
            with open(descriptor, "wb") as file:  # noqa: PTH123 - a descriptor
                file.write(content)
                file.flush()
                os.fchmod(descriptor, mode)
                os.fsync(descriptor)
                inode = os.fstat(descriptor).st_ino
            # A link fails where a rename would replace what has appeared there meanwhile.
            os.link(temporary, path.name, src_dir_fd=directory, dst_dir_fd=directory)
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(path)) from error
        finally:
            os.unlink(temporary, dir_fd=directory)
        self._made.append(_Made(path, directory, inode))
        os.fsync(directory)

    def undo(self) -> Iterator[Path]:
        """Remove what was made, the last first; yield what refuses to go."""
        for made in reversed(self._made):
            try:
                made.remove()
            except OSError:
                yield made.path
        for path in reversed(self._made_directories):
            with suppress(OSError):  # not empty: somebody else uses it by now
                path.rmdir()


@contextmanager
def new_files() -> Iterator[NewFiles]:
    """Give a set of files that is complete at the end of the context, or gone if that fails.

    Whoever is killed in the middle leaves whole files, a part of them.

    Raises:
        LeftBehindError: it failed, and something could not be removed.
    """
    with ExitStack() as opened:
        made = NewFiles(opened)
        try:
            yield made
        except BaseException as error:
            left = [str(path) for path in made.undo()]
            if left:
                raise LeftBehindError(f"{error}; left behind: {', '.join(left)}") from error
            raise

"""What virtsupd makes on the host for itself: its directories, and the files that a table renders.

Root writes there, so nobody else may: a directory in which another user could put a link or a file
is refused. What is removed after a shutdown is what virtsupd made, and nothing else.
"""

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from virtsupd.config.load import Loaded
from virtsupd.config.settings import GeneratedFile, HostSettings
from virtsupd.process.files import (
    UnsafeDirectoryError,
    demand_own,
    make_directory,
    try_file,
    write_atomically,
)

_OF_SERVICES = ("notify", "ready", "status")
"""Sockets, FIFOs and exit statuses, named after services."""


class HostFiles:
    """The directories and generated files of one virtsupd."""

    def __init__(self, host: HostSettings) -> None:
        self._host = host
        self._run_dir_is_ours = False
        self._generated: set[Path] = set()

    def make_directories(self, loaded: Loaded) -> None:
        """Make what is missing.

        Raises:
            UnsafeDirectoryError: somebody else could write to one that root writes to.
            OSError: one cannot be made. In both cases what was made stays.
        """
        host = self._host
        self._run_dir_is_ours |= _make_own(host.run_dir, mode=0o755)
        _make_own(host.state_dir, mode=0o711)  # accounts of machines read images below
        make_directory(loaded.host.log_dir, mode=0o755)  # a reload may name another one
        for directory in (host.generated_dir, *self._service_directories()):
            _make_own(directory, mode=0o711)
        for item in loaded.directories:
            make_directory(item.path, mode=item.mode)

    def write_generated(self, loaded: Loaded) -> None:
        """Write the rendered files, each as a whole; one that is as it should be stays.

        Raises:
            UnsafeDirectoryError: as for `make_directories`.
            OSError: one cannot be written; those before it are.
        """
        for file in loaded.generated:
            _make_own(file.path.parent, mode=0o755)
            self._generated.add(file.path)
            if not _is_written(file):
                write_atomically(file.path, file.content.encode(), mode=file.mode)

    def put_back(self, old: Loaded, new: Loaded) -> tuple[str, ...]:
        """Have the generated files as `old` renders them, after those of `new` were written, or some.

        Never raises: return what could not be put back, a sentence each.
        """
        failures: list[str] = []
        for path in {file.path for file in new.generated} - {file.path for file in old.generated}:
            with contextlib.suppress(OSError):  # not made yet, or not a file of ours
                path.unlink()
        for file in old.generated:
            try:
                if not _is_written(file):
                    write_atomically(file.path, file.content.encode(), mode=file.mode)
            except OSError as error:
                failures.append(f"{file.path} could not be put back: {error.strerror}")
        return tuple(failures)

    def remove(self) -> None:
        """After a shutdown, remove generated files and what is left of services' sockets and FIFOs.

        Whatever else lies in the run directory stays, and the directories that hold it. Never
        raises: the run directory may have been taken away.
        """
        for path in self._generated:
            with contextlib.suppress(OSError):
                path.unlink()
        _remove_each(self._host.run_dir / "notify", stat.S_ISSOCK)
        _remove_each(self._host.run_dir / "ready", stat.S_ISFIFO)
        _remove_each(self._host.run_dir / "status", stat.S_ISREG)
        below = {parent for path in self._generated for parent in path.parents}
        ours = {path for path in below if path.is_relative_to(self._host.generated_dir)}
        machines = self._host.run_dir / "machines"  # each removes its own below
        ours.update((self._host.generated_dir, machines, *self._service_directories()))
        for directory in sorted(ours, reverse=True):
            with contextlib.suppress(OSError):
                directory.rmdir()

    def remove_run_dir(self) -> None:
        """Remove the run directory if this virtsupd made it and nothing is left in it."""
        if self._run_dir_is_ours:
            with contextlib.suppress(OSError):
                self._host.run_dir.rmdir()

    def _service_directories(self) -> list[Path]:
        return _service_directories(self._host)


def hindrances(loaded: Loaded) -> tuple[str, ...]:
    """Return why `HostFiles` could not make all that it has to make now, a sentence each.

    Nothing is made, and nothing that is there changes.
    """
    found: dict[str, None] = {}
    for check in _checks(loaded):
        try:
            check()
        except UnsafeDirectoryError as error:
            found[str(error)] = None
        except OSError as error:
            found[f"cannot use {error.filename}: {(error.strerror or str(error)).lower()}"] = None
    return tuple(found)


def _checks(loaded: Loaded) -> Iterator[Callable[[], None]]:
    host = loaded.host
    for directory in (host.run_dir, host.state_dir):
        yield partial(_check_own, directory)
        yield partial(try_file, directory)
    for directory in (host.generated_dir, *_service_directories(host)):
        yield partial(_check_own, directory)
    for directory in (
        host.log_dir,
        host.run_dir / "fifo",
        *(item.path for item in loaded.directories),
    ):
        yield partial(_check_directory, directory)
    for file in loaded.generated:
        yield partial(_check_own, file.path.parent)
        if not _is_written(file):
            yield partial(_check_replaceable, file.path)
            yield partial(try_file, file.path.parent, file.content.encode())


def _check_own(path: Path) -> None:
    """As `_make_own`, and nothing is made."""
    _check_directory(path)
    with contextlib.suppress(FileNotFoundError):
        demand_own(path)


def _check_directory(path: Path) -> None:
    """As `make_directory`, and nothing is made."""
    if path.is_dir():
        return
    if os.path.lexists(path):
        raise FileExistsError(errno.EEXIST, "something else is there", str(path))
    try_file(path)


def _check_replaceable(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))


def _is_written(file: GeneratedFile) -> bool:
    """Whether a file is as `write_atomically` would leave it."""
    try:
        found = file.path.lstat()
        is_ours = stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid()
        if not is_ours or stat.S_IMODE(found.st_mode) != file.mode:
            return False
        return file.path.read_bytes() == file.content.encode()
    except OSError:
        return False


def _service_directories(host: HostSettings) -> list[Path]:
    return [host.run_dir / name for name in _OF_SERVICES]


def _make_own(path: Path, *, mode: int) -> bool:
    """Make a directory that nobody else may write to; return whether it was missing."""
    is_new = make_directory(path, mode=mode)
    demand_own(path)
    return is_new


def _remove_each(directory: Path, is_ours: Callable[[int], bool]) -> None:
    """Remove the files of one kind."""
    with contextlib.suppress(OSError):
        for path in directory.iterdir():
            with contextlib.suppress(OSError):
                if is_ours(path.lstat().st_mode):
                    path.unlink()

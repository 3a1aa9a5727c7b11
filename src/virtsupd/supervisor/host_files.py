"""What virtsupd makes on the host for itself: its directories, and the files that a table renders.

Root writes there, so nobody else may: a directory in which another user could put a link or a file
is refused. What is removed after a shutdown is what virtsupd made, and nothing else.
"""

import contextlib
import stat
from collections.abc import Callable
from pathlib import Path

from virtsupd.config.load import Loaded
from virtsupd.config.settings import HostSettings
from virtsupd.process.files import demand_own, make_directory, write_atomically

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
        _make_own(host.state_dir, mode=0o700)
        make_directory(host.log_dir, mode=0o755)
        for directory in (host.generated_dir, *self._service_directories()):
            _make_own(directory, mode=0o711)
        for item in loaded.directories:
            make_directory(item.path, mode=item.mode)

    def write_generated(self, loaded: Loaded) -> None:
        """Write the rendered files, each as a whole.

        Raises:
            UnsafeDirectoryError: as for `make_directories`.
            OSError: one cannot be written; those before it are.
        """
        for file in loaded.generated:
            _make_own(file.path.parent, mode=0o755)
            self._generated.add(file.path)
            write_atomically(file.path, file.content.encode(), mode=file.mode)

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
        ours.update((self._host.generated_dir, *self._service_directories()))
        for directory in sorted(ours, reverse=True):
            with contextlib.suppress(OSError):
                directory.rmdir()

    def remove_run_dir(self) -> None:
        """Remove the run directory if this virtsupd made it and nothing is left in it."""
        if self._run_dir_is_ours:
            with contextlib.suppress(OSError):
                self._host.run_dir.rmdir()

    def _service_directories(self) -> list[Path]:
        return [self._host.run_dir / name for name in _OF_SERVICES]


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

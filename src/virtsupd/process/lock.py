"""The lock that keeps two daemons out of one run directory."""

import fcntl
import os
from pathlib import Path

from virtsupd.errors import AlreadyRunningError


class RunLock:
    """Holds `run_dir/lock` for as long as the process lives.

    A POSIX record lock: it goes with the process, however that ends, and not with a child that
    inherited something. For that reason the file is opened exactly once: closing any other
    descriptor of it would drop the lock.
    """

    def __init__(self, path: Path) -> None:
        """Take the lock and write our pid into the file.

        Raises:
            AlreadyRunningError: another process holds it; the message names its pid.
            OSError: the file cannot be made.
        """
        self.path = path
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        self._descriptor = os.open(path, flags, 0o600)
        try:
            fcntl.lockf(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(self._descriptor, 20, 0).decode(errors="replace").strip()
            os.close(self._descriptor)
            raise AlreadyRunningError(
                f"another virtsupd runs in {path.parent} (pid {holder or 'unknown'}); "
                "give this one a run_dir of its own, or end the other"
            ) from error
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)

    def release(self, *, remove: bool) -> None:
        """Give the lock back; with `remove`, the file goes first, while nobody else can hold it."""
        if remove:
            self.path.unlink(missing_ok=True)
        os.close(self._descriptor)

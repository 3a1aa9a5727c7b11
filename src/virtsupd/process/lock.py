"""The locks that keep two daemons out of one run directory, and out of one state directory."""

import fcntl
import os
from contextlib import suppress
from pathlib import Path

from virtsupd.errors import AlreadyRunningError


class RunLock:
    """Holds `run_dir/lock` for as long as the process lives.

    A POSIX record lock: it goes with the process, however that ends, and not with a child that
    inherited something. For that reason the file is opened exactly once: closing any other
    descriptor of it would drop the lock.
    """

    def __init__(self, path: Path, *, inherited: int | None = None) -> None:
        """Take the lock and write our pid into the file.

        `inherited` is the descriptor that `fileno` told before an exec: the lock was held all the
        time. It is ours from now on. Should it not be this file's, it is closed and the file opened.

        Raises:
            AlreadyRunningError: another process holds it; the message names its pid.
            OSError: the file cannot be made.
        """
        self.path = path
        self._descriptor = self._open() if inherited is None else self._locked(inherited)
        while not self._is_in_place():
            # Its holder ended, and removed it, between our opening and our locking. No other
            # descriptor of the file in place is open, so closing this one drops no lock of ours.
            os.close(self._descriptor)
            self._descriptor = self._open()
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)

    def _open(self) -> int:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        return self._locked(os.open(self.path, flags, 0o600))

    def _locked(self, descriptor: int) -> int:
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(descriptor, 20, 0).decode(errors="replace").strip()
            os.close(descriptor)
            raise AlreadyRunningError(
                f"another virtsupd runs in {self.path.parent} (pid {holder or 'unknown'}); "
                "give this one a run_dir of its own, or end the other"
            ) from error
        return descriptor

    def _is_in_place(self) -> bool:
        """Whether the file we hold is the one that others find."""
        try:
            found = self.path.lstat()
        except FileNotFoundError:
            return False
        held = os.fstat(self._descriptor)
        return (found.st_dev, found.st_ino) == (held.st_dev, held.st_ino)

    def fileno(self) -> int:
        """Return the descriptor, for a successor that inherits it: the lock outlives an exec."""
        return self._descriptor

    def release(self, *, remove: bool) -> None:
        """Give the lock back; with `remove`, the file goes first, while nobody else can hold it."""
        if remove:
            with suppress(OSError):  # taken away already
                self.path.unlink()
        os.close(self._descriptor)


class StateLock:
    """Holds a directory itself for as long as the process lives; nothing is written into it.

    Two daemons that kept their state in one place would each forget what the other was told.
    """

    def __init__(self, directory: Path, *, inherited: int | None = None) -> None:
        """Take the lock.

        `inherited` is the descriptor that `fileno` told before an exec; it is ours from now on.
        Should it not be this directory's, it is closed.

        Raises:
            AlreadyRunningError: another process holds it.
            OSError: there is no such directory.
        """
        self._descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        if inherited is not None:
            self._prefer(inherited)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._descriptor)
            raise AlreadyRunningError(
                f"another virtsupd keeps its state in {directory}; "
                "give this one a state_dir of its own, or end the other"
            ) from error

    def _prefer(self, inherited: int) -> None:
        """Go on with a descriptor that holds the lock already, if it is of the same directory."""
        if os.path.sameopenfile(inherited, self._descriptor):
            self._descriptor, inherited = inherited, self._descriptor
        os.close(inherited)

    def fileno(self) -> int:
        """Return the descriptor, for a successor that inherits it: the lock outlives an exec."""
        return self._descriptor

    def release(self) -> None:
        """Give the lock back."""
        os.close(self._descriptor)

"""The locks that keep two daemons out of one run directory, and out of one state directory.

POSIX record locks: they go with the process, however that ends. A flock(2) would go with its last
descriptor, which a child that was half made when virtsupd was killed may hold on.
"""

import fcntl
import os
from contextlib import suppress
from pathlib import Path
from typing import ClassVar

from virtsupd.errors import AlreadyRunningError

RUN_LOCK = "lock"
STATE_LOCK = "state.lock"
"""Names of the files in the directories that they lock."""


class _FileLock:
    """Holds a file for as long as the process lives.

    The file is opened exactly once: closing any other descriptor of it would drop the lock.
    """

    _refusal: ClassVar[str]
    """What is said of another process that holds it, with its {directory} and {holder}."""

    def __init__(self, path: Path, *, inherited: int | None = None) -> None:
        """Take the lock and write our pid into the file.

        `inherited` is the descriptor that `fileno` told before an exec: the lock was held all the
        time. It is ours from now on. Should it not be this file's, it is closed and the file opened.

        Raises:
            AlreadyRunningError: another process holds it; the message names its pid.
            OSError: the file cannot be made.
        """
        self.path = path
        if inherited is not None and not self._is_in_place(inherited):
            os.close(inherited)
            inherited = None
        self._descriptor = self._open() if inherited is None else self._locked(inherited)
        while not self._is_in_place(self._descriptor):
            # Its holder ended, and removed it, between our opening and our locking. No other
            # descriptor of the file in place is open, so closing this one drops no lock of ours.
            os.close(self._descriptor)
            self._descriptor = self._open()
        own = f"{os.getpid()}\n".encode()
        if os.pread(self._descriptor, len(own) + 1, 0) != own:  # else a full disk refuses nothing
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, own, 0)

    def _open(self) -> int:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        return self._locked(os.open(self.path, flags, 0o600))

    def _locked(self, descriptor: int) -> int:
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(descriptor, 20, 0).decode(errors="replace").strip()
            os.close(descriptor)
            text = self._refusal.format(directory=self.path.parent, holder=holder or "unknown")
            raise AlreadyRunningError(text) from error
        return descriptor

    def _is_in_place(self, descriptor: int) -> bool:
        """Whether a file that we have open is the one that others find."""
        try:
            found = self.path.lstat()
        except FileNotFoundError:
            return False
        held = os.fstat(descriptor)
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


class RunLock(_FileLock):
    """Keeps another virtsupd out of the run directory in which the file lies."""

    _refusal = (
        "another virtsupd runs in {directory} (pid {holder}); "
        "give this one a run_dir of its own, or end the other"
    )


class StateLock(_FileLock):
    """Keeps another virtsupd out of a state directory.

    Two daemons that kept their state in one place would each forget what the other was told.
    """

    def __init__(self, directory: Path, *, inherited: int | None = None) -> None:
        """Take the lock; as `_FileLock`."""
        super().__init__(directory / STATE_LOCK, inherited=inherited)

    _refusal = (
        "another virtsupd keeps its state in {directory} (pid {holder}); "
        "give this one a state_dir of its own, or end the other"
    )

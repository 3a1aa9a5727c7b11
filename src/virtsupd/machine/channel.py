"""Turns on a machine's channels: QEMU serves one client of a socket at a time, and the next one hears nothing.

Who speaks holds a lock on a file beside the socket, `SOCKET.lock`, as long as its descriptor is open.
"""

import asyncio
import fcntl
import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from virtsupd.errors import VirtsupdError
from virtsupd.machine.image_locks import users_of

LOCK: Final = ".lock"
CHANNELS: Final = ("monitor", "agent", "serial")
"""Names of the sockets that others than virtsupd speak through, where a machine has them."""
_LOOK_AGAIN_SECONDS = 0.05
_MODE: Final = 0o660


class ChannelTakenError(VirtsupdError):
    """Somebody else speaks on a channel; the message says who, as far as we may look."""

    code = "channel"


async def turn_on(path: str) -> int:
    """Return the lock of the channel whose socket is at a path, once it is free: a descriptor to close.

    Raises:
        OSError: there is no machine, or it is not for us to speak with.
    """
    lock = _opened(path)
    try:
        while True:
            with suppress(BlockingIOError):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return lock
            await asyncio.sleep(_LOOK_AGAIN_SECONDS)
    except BaseException:
        os.close(lock)
        raise


def turn_now(path: str) -> int:
    """Return the lock of a channel, if it is free.

    Raises:
        ChannelTakenError: it is not.
        OSError: there is no machine, or it is not for us to speak with.
    """
    lock = _opened(path)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(lock)
        raise ChannelTakenError(f"somebody else has it{_holders(path)}") from error
    return lock


def make_locks(folder: int, uid: int, gid: int) -> None:
    """Make the locks that are missing in an opened directory, for an account and its group.

    Raises:
        OSError: they cannot be made.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    for name in CHANNELS:
        with suppress(FileExistsError):
            lock = os.open(f"{name}{LOCK}", flags, 0o600, dir_fd=folder)
            try:
                os.fchown(lock, uid, gid)
                os.fchmod(lock, _MODE)
            finally:
                os.close(lock)


def _opened(path: str) -> int:
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.open(f"{path}{LOCK}", flags, _MODE)


def _holders(path: str) -> str:
    found = [f"{name} {pid}" for pid, name in users_of(Path(f"{path}{LOCK}"))]
    return f": {', '.join(found)}" if found else ""

"""The FIFOs that services write their output to."""

import fcntl
import os
import stat
import sys
import termios
from contextlib import suppress
from pathlib import Path

PIPE_BYTES = 1 << 20


def waiting_bytes(descriptor: int) -> int:
    """Return how much is in the FIFO."""
    return int.from_bytes(fcntl.ioctl(descriptor, termios.FIONREAD, bytes(4)), sys.byteorder)


def open_fifo(path: Path) -> int:
    """Open the FIFO, made if it is not there; anything else of its name is replaced.

    Blocking, because the service inherits it: a write that does not fit must wait, not fail.
    """
    try:
        os.mkfifo(path, 0o600)
    except FileExistsError:
        if not stat.S_ISFIFO(path.lstat().st_mode):
            path.unlink()
            os.mkfifo(path, 0o600)
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    with suppress(OSError):  # above fs.pipe-max-size: it works with what it has
        fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    return descriptor


def checked(descriptor: int | None, path: Path) -> int | None:
    """Return the descriptor if it is of the FIFO at the path; otherwise it is closed."""
    with suppress(OSError):
        if descriptor is None or os.path.samestat(os.fstat(descriptor), path.lstat()):
            return descriptor
    if descriptor is not None:
        os.close(descriptor)
    return None


def prepare(descriptor: int, uid: int, gid: int) -> None:
    """Give the FIFO to the service's user, who may reopen /dev/stdout, and make it blocking again.

    Some programs set O_NONBLOCK on what they inherit, and the next process would lose lines.
    """
    status = os.fstat(descriptor)
    if (status.st_uid, status.st_gid) != (uid, gid):
        os.fchown(descriptor, uid, gid)
    if not os.get_blocking(descriptor):
        os.set_blocking(descriptor, True)

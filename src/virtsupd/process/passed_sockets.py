"""Sockets that another process has open: which they are, and a descriptor of our own for one of them.

A listener lives as long as anybody holds it. One that a virtsupd passed to its service outlives that
virtsupd there, with every client that waits in its queue.
"""

import contextlib
import ctypes
import fcntl
import os
import socket

_SYS_PIDFD_GETFD = 438  # the same number on every architecture that Python 3.11 runs services on
_SIOCUNIXFILE = 0x89E0

_libc = ctypes.CDLL(None, use_errno=True)


def socket_descriptors(pid: int) -> dict[int, int]:
    """Return the sockets of a process: inode to its lowest descriptor. {} if it may not be looked at."""
    directory = f"/proc/{pid}/fd"
    try:
        numbers = sorted(map(int, os.listdir(directory)))  # noqa: PTH208 - there may be many: names only
    except OSError:
        return {}
    found: dict[int, int] = {}
    for number in numbers:
        with contextlib.suppress(OSError):
            link = os.readlink(f"{directory}/{number}")  # noqa: PTH115 - as above
            if link.startswith("socket:["):
                found.setdefault(int(link[8:-1]), number)
    return found


def duplicate(pidfd: int, number: int) -> socket.socket:
    """Return the socket that is descriptor `number` of a process, close-on-exec and for us to close.

    Both hold the same socket: its queue, its options and whether it blocks are shared.

    Raises:
        OSError: the process is gone, has no such descriptor, or may not be asked (no CAP_SYS_PTRACE
            for one that is not ours to trace; Linux before 5.6).
    """
    descriptor = _libc.syscall(_SYS_PIDFD_GETFD, pidfd, number, 0)
    if descriptor < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    try:
        return socket.socket(fileno=descriptor)
    except OSError:
        os.close(descriptor)
        raise


def bound_file(bound: socket.socket) -> tuple[int, int] | None:
    """Return device and inode of the file that a Unix socket was bound to, wherever it is by now.

    None if it has none, or the kernel does not tell (no CAP_NET_ADMIN).
    """
    try:
        descriptor = fcntl.ioctl(bound.fileno(), _SIOCUNIXFILE, 0)
    except OSError:
        return None
    try:
        found = os.fstat(descriptor)
    finally:
        os.close(descriptor)
    return found.st_dev, found.st_ino

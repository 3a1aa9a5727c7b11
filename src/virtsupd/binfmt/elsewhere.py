"""Going into another root, or to where another process is, and giving up whatever we might do there.

What is executed there may not be ours: an entry without the flag F names an interpreter by its path,
and in a container that is whatever the container has. So before anything is executed, all
capabilities are given up for good, and the user becomes nobody where he may enter; and the files are
seen through a copy of the mounts in which devices and set-user-ID mean nothing: a container can make
nodes of devices that only its cgroup keeps it from opening, and we are not in its cgroup.
"""

import ctypes
import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from virtsupd.errors import VirtsupdError

_NAMESPACES: Final = {"user": 0x1000_0000, "mnt": 0x2_0000, "pid": 0x2000_0000}
"""CLONE_NEW… by the name in /proc/PID/ns."""
_NOBODY: Final = 65534
_AT_EMPTY_PATH, _AT_RECURSIVE, _OPEN_TREE_CLONE = 0x1000, 0x8000, 0x1
_NOSUID, _NODEV = 0x2, 0x4
"""MOUNT_ATTR_…"""
_OPEN_TREE, _MOUNT_SETATTR = 428, 442
"""System calls; on alpha and mips they have other numbers, and there what needs them is refused."""
_PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS = 24, 38
_CAPABILITY_NUMBERS: Final = 64
_CAPABILITY_VERSION: Final = 0x2008_0522

_libc = ctypes.CDLL(None, use_errno=True)


class ElsewhereError(VirtsupdError):
    """The other place cannot be entered."""

    code = "cannot-enter"


def enter_root(root: Path) -> None:
    """Make a directory the root of this process.

    Raises:
        ElsewhereError: that cannot be. This process may have changed: it is good for nothing else.
    """
    with _explained(f"cannot enter {root}"), _opened(root) as directory:
        try:
            _change_root(directory, is_copy=True)
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.ENOSYS):
                raise
            # A chroot's devices were made by somebody who was root here: the copy is not a must.
            _change_root(directory, is_copy=False)


def enter_process(pid: int) -> None:
    """Go where a process is: its user and mount namespace, its root; children to its pid namespace.

    Raises:
        ElsewhereError: that cannot be. This process may have changed: it is good for nothing else.
    """
    with _explained(f"cannot enter where process {pid} is"):
        handle = os.pidfd_open(pid)
        try:
            with _opened(Path(f"/proc/{pid}/root")) as root:
                others = _other_namespaces(pid)
                if others:
                    _checked(_libc.setns(handle, others))
                _change_root(root, is_copy=True)
        finally:
            os.close(handle)


@contextmanager
def _explained(what: str) -> Iterator[None]:
    reasons = {
        errno.ENOENT: "it is not there",
        errno.ESRCH: "there is no such process",
        errno.EPERM: "not permitted; it takes root, or the capabilities SYS_ADMIN and SYS_CHROOT",
        errno.EACCES: "not permitted",
        errno.ENOTDIR: "it is no directory",
        errno.ENOSYS: "it takes Linux 5.12",
        errno.EINVAL: "it lies in another mount namespace, which only a process of it can show, or "
        "this kernel is older than 5.12",
    }
    try:
        yield
    except OSError as error:
        number = error.errno or 0
        reason = reasons.get(number, os.strerror(number).lower())
        raise ElsewhereError(f"{what}: {reason}") from error


@contextmanager
def _opened(directory: Path) -> Iterator[int]:
    descriptor = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _other_namespaces(pid: int) -> int:
    """Return those of a process that are not ours, as setns(2) wants them."""
    flags = 0
    for name, flag in _NAMESPACES.items():
        theirs, ours = (os.stat(f"/proc/{who}/ns/{name}") for who in (pid, "self"))  # noqa: PTH116
        if theirs.st_ino != ours.st_ino:
            flags |= flag
    return flags


def _change_root(directory: int, *, is_copy: bool) -> None:
    """Make the opened directory our root, or a copy of the mounts below it without devices."""
    if is_copy:
        flags = _OPEN_TREE_CLONE | os.O_CLOEXEC | _AT_EMPTY_PATH | _AT_RECURSIVE
        tree = _checked(_libc.syscall(_OPEN_TREE, directory, b"", flags))
        try:
            attributes = (ctypes.c_uint64 * 4)(_NOSUID | _NODEV, 0, 0, 0)
            how = (tree, b"", _AT_EMPTY_PATH | _AT_RECURSIVE, attributes)
            size = ctypes.c_size_t(ctypes.sizeof(attributes))
            _checked(_libc.syscall(_MOUNT_SETATTR, *how, size))
            os.fchdir(tree)
        finally:
            os.close(tree)
    else:
        os.fchdir(directory)
    os.chroot(".")


def renounce() -> None:
    """Give up all capabilities for good, and become nobody, or the owner of a root that is closed.

    Raises:
        ElsewhereError: that cannot be.
    """
    with _explained("cannot give up rights"):
        root = os.stat("/")  # noqa: PTH116
        is_open = bool(root.st_mode & stat.S_IXOTH)
        for number in range(_CAPABILITY_NUMBERS):
            _libc.prctl(_PR_CAPBSET_DROP, number, 0, 0, 0)  # fails where there is nothing to drop
        with suppress(PermissionError):
            os.setgroups([])
        _become((_NOBODY, _NOBODY) if is_open else (root.st_uid, root.st_gid))
        header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0)
        none = (ctypes.c_uint32 * 6)()
        _checked(_libc.capset(header, none))
        _checked(_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))


def _become(wanted: tuple[int, int]) -> None:
    """Become that user, or the root of a user namespace that does not have him."""
    try:
        _set_user(*wanted)
    except PermissionError:
        return  # an ordinary user stays who he is
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        _set_user(0, 0)


def _set_user(uid: int, gid: int) -> None:
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result

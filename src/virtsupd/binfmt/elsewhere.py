"""Going into another root, or to where another process is, and giving up whatever we might do there.

What is executed there may not be ours: an entry without the flag F names an interpreter by its path,
and in a container that is whatever the container has. So before anything is executed,

- all namespaces of the container are entered, and then new ones without a network are made, in which
  what is executed cannot outlive the process that began it;
- all capabilities are given up for good, and the user becomes nobody, never root;
- the files are seen through a copy of the mounts in which devices and set-user-ID mean nothing: a
  container can make nodes of devices that only its cgroup keeps it from opening, and we are not in
  its cgroup.

And nobody there may look into this process or hold it (PR_SET_DUMPABLE): it still has more rights.
"""

import ctypes
import errno
import os
import signal
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from virtsupd.errors import VirtsupdError

_USER: Final = 0x1000_0000
_NAMESPACES: Final = {
    "mnt": 0x2_0000,
    "cgroup": 0x200_0000,
    "uts": 0x400_0000,
    "ipc": 0x800_0000,
    "user": _USER,
    "pid": 0x2000_0000,
    "net": 0x4000_0000,
    "time": 0x80,
}
"""CLONE_NEW… by the name in /proc/PID/ns; a kernel may have been built without some."""
_APART: Final = ("cgroup", "uts", "ipc", "pid", "net")
"""What is executed gets new ones of these."""
_NOBODY: Final = 65534
_AT_EMPTY_PATH, _AT_RECURSIVE, _OPEN_TREE_CLONE = 0x1000, 0x8000, 0x1
_NOSUID, _NODEV = 0x2, 0x4
"""MOUNT_ATTR_…"""
_OPEN_TREE, _MOUNT_SETATTR = 428, 442
"""System calls; on alpha and mips they have other numbers, and there what needs them is refused."""
_PR_SET_DUMPABLE, _PR_CAPBSET_DROP, _PR_SET_SECUREBITS, _PR_SET_NO_NEW_PRIVS = 4, 24, 28, 38
_SECBIT_NO_SETUID_FIXUP: Final = 0x4
_CAPABILITY_NUMBERS: Final = 64
_CAPABILITY_VERSION: Final = 0x2008_0522

_libc = ctypes.CDLL(None, use_errno=True)


class ElsewhereError(VirtsupdError):
    """The other place cannot be entered."""

    code = "cannot-enter"


@dataclass(frozen=True, slots=True)
class Ordinary:
    """A user and a group, not root, that a user namespace has; None where it has none."""

    uid: int | None
    gid: int | None


def enter_root(root: Path) -> Ordinary:
    """Make a directory the root of this process; return whom to become there.

    Raises:
        ElsewhereError: that cannot be. This process may have changed: it is good for nothing else.
    """
    with _explained(f"cannot enter {root}"), _opened(root) as directory:
        _hide()
        user = _ordinary("self")
        try:
            _change_root(directory, is_copy=True)
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.ENOSYS):
                raise
            # A chroot's devices were made by somebody who was root here: the copy is not a must.
            _change_root(directory, is_copy=False)
        return user


def enter_process(pid: int) -> Ordinary:
    """Go where a process is: all its namespaces, its root; return whom to become there.

    Children go to its pid namespace; this process stays in its own.

    Raises:
        ElsewhereError: that cannot be. This process may have changed: it is good for nothing else.
    """
    with _explained(f"cannot enter where process {pid} is"):
        _hide()
        handle = os.pidfd_open(pid)
        try:
            with _opened(Path(f"/proc/{pid}/root")) as root:
                others, user = _other_namespaces(pid), _ordinary(str(pid))
                signal.pidfd_send_signal(handle, 0)  # all that was of this very process
                if others & _USER:
                    _enter_as(handle, others, user)
                elif others:
                    _checked(_libc.setns(handle, others))
                _change_root(root, is_copy=True)
                return user
        finally:
            os.close(handle)


def _hide() -> None:
    """Let nobody look into this process, or its children until they execute something.

    Otherwise root of a container could make it do what only root of the host may.
    """
    _checked(_libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0))


def _enter_as(handle: int, others: int, user: Ordinary) -> None:
    """Enter namespaces, one of users among them, as somebody ordinary but with all capabilities.

    If it has nobody ordinary, we are nobody from outside, whom it does not know.
    """
    if user.uid is None:
        _become_with_capabilities(Ordinary(_NOBODY, _NOBODY))
    # Some may belong to us, such as a network that was made before: they are entered first.
    rest = _USER
    for flag in _NAMESPACES.values():
        if others & flag and flag != _USER:
            try:
                _checked(_libc.setns(handle, flag))
            except PermissionError:
                rest |= flag
    _checked(_libc.setns(handle, rest))
    if user.uid is not None:
        _become_with_capabilities(user)
    _hide()  # the kernel forgets it when the user changes


def _become_with_capabilities(user: Ordinary) -> None:
    with suppress(PermissionError):
        os.setgroups([])
    _checked(_libc.prctl(_PR_SET_SECUREBITS, _SECBIT_NO_SETUID_FIXUP, 0, 0, 0))
    _set_user(user)


def _ordinary(pid: str) -> Ordinary:
    uid, gid = (_mapped(Path(f"/proc/{pid}/{kind}_map").read_text()) for kind in ("uid", "gid"))
    return Ordinary(uid, gid)


def _mapped(text: str) -> int | None:
    """Return a number, not 0, that a map of users or groups has: that of nobody if it can be."""
    lines = [[int(word) for word in line.split()] for line in text.splitlines()]
    if any(first <= _NOBODY < first + count for first, _, count in lines):
        return _NOBODY
    return max((first + count - 1 for first, _, count in lines), default=0) or None


def set_apart() -> None:
    """Be without a network and shared memory; the next child is the first of new process numbers.

    When that child ends, the kernel ends all that came of it.

    Raises:
        ElsewhereError: that cannot be.
    """
    flags = sum(_NAMESPACES[name] for name in _APART)
    try:
        _checked(_libc.unshare(flags))
    except OSError as error:
        reason = os.strerror(error.errno or 0).lower()
        what = "cannot keep what would run there from the network and other processes"
        raise ElsewhereError(f"{what}: new namespaces: {reason}") from error


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
        if not Path(f"/proc/self/ns/{name}").exists():
            continue
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


def renounce(user: Ordinary) -> None:
    """Give up all capabilities for good, and become that user, or the owner of a root that is closed.

    Root stays only who cannot become anybody else: in a user namespace without other users.

    Raises:
        ElsewhereError: that cannot be, or none but root may be in this root.
    """
    with _explained("cannot give up rights"):
        for number in range(_CAPABILITY_NUMBERS):
            _libc.prctl(_PR_CAPBSET_DROP, number, 0, 0, 0)  # fails where there is nothing to drop
        with suppress(PermissionError):
            os.setgroups([])
        _become(_allowed_in_root(user))
        header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0)
        none = (ctypes.c_uint32 * 6)()
        _checked(_libc.capset(header, none))
        _checked(_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
        _hide()


def _allowed_in_root(user: Ordinary) -> Ordinary:
    root = os.stat("/")  # noqa: PTH116
    if root.st_mode & stat.S_IXOTH or user.uid is None:
        return user
    if root.st_uid == 0:
        mode = stat.S_IMODE(root.st_mode)
        raise ElsewhereError(f"cannot be tried as an ordinary user: / is {mode:04o}, and root's")
    return Ordinary(root.st_uid, root.st_gid or user.gid)


def _become(user: Ordinary) -> None:
    try:
        _set_user(user)
    except PermissionError:
        if os.getuid() == 0:
            raise
        # An ordinary user stays who he is.


def _set_user(user: Ordinary) -> None:
    if user.gid is not None:
        os.setresgid(user.gid, user.gid, user.gid)
    if user.uid is not None:
        os.setresuid(user.uid, user.uid, user.uid)


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result

"""How far a machine has come in its present start, as files that others can wait for."""

import contextlib
import os
import stat
from collections.abc import Iterator
from typing import Final

from virtsupd.core.machine import Rung
from virtsupd.errors import VirtsupdError
from virtsupd.machine.channel import LOCK, make_locks

_PREFIX = "rung-"
_ALONE: Final = 0o700
_WITH_GROUP: Final = 0o2750


def rung_file(directory: str, rung: Rung) -> str:
    """Return the path that exists while a machine is at this rung or has left it below."""
    return f"{directory}/{_PREFIX}{rung}"


def rungs_reached(directory: str) -> frozenset[Rung]:
    """Return the rungs that a machine has reached; none if the directory is not there."""
    with contextlib.suppress(FileNotFoundError):
        names = set(os.listdir(directory))  # noqa: PTH208 - no path is wanted of what is found
        return frozenset(rung for rung in Rung if f"{_PREFIX}{rung}" in names)
    return frozenset()


class NotReachedError(VirtsupdError):
    """A machine is not where it has to be for something; the message says how far it is."""

    code = "not-reached"


def require_reached(name: str, directory: str, rung: Rung) -> None:
    """Check that a machine has reached a rung, where we may look.

    Raises:
        NotReachedError: it has not.
    """
    try:
        there = rungs_reached(directory)
    except PermissionError:
        return
    if rung not in there:
        reached = ", ".join(each for each in Rung if each in there)
        far = f"it has only reached {reached}" if reached else "it is not running"
        raise NotReachedError(f"{far}; virtsupctl status {name}")


def note_reached(directory: str, rung: Rung) -> None:
    """Have it known that a machine has reached a rung; an account that owns the directory cannot misuse it.

    Raises:
        OSError: it cannot be written down.
    """
    with _opened(directory) as folder, contextlib.suppress(FileExistsError):
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        os.close(os.open(f"{_PREFIX}{rung}", flags, 0o444, dir_fd=folder))


def forget_reached(directory: str) -> None:
    """Let a machine be at the bottom again.

    Raises:
        OSError: the directory is there and cannot be changed.
    """
    with contextlib.suppress(FileNotFoundError), _opened(directory) as folder:
        for rung in Rung:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f"{_PREFIX}{rung}", dir_fd=folder)


def make_places(directory: str, uid: int, gid: int | None) -> None:
    """Make the directory of a machine's sockets and their locks, for the account that QEMU runs as.

    One that is there is emptied of rungs.

    The directory belongs to that account, and nobody else may enter it but a group, if one is named:
    what QEMU makes there is that group's, too.

    Raises:
        OSError: it cannot be made, or is something else.
    """
    above, name = os.path.split(directory)
    os.makedirs(above, mode=0o755, exist_ok=True)  # noqa: PTH103 - a str is what there is
    with _opened(above) as folder:
        with contextlib.suppress(FileExistsError):
            os.mkdir(name, 0o700, dir_fd=folder)
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        own = os.open(name, flags, dir_fd=folder)
        try:
            found = os.fstat(own)
            group = found.st_gid if gid is None else gid
            if (found.st_uid, found.st_gid) != (uid, group):
                os.fchown(own, uid, group)
            os.fchmod(own, _ALONE if gid is None else _WITH_GROUP)
            make_locks(own, uid, group)
        finally:
            os.close(own)
    forget_reached(directory)


def remove_places(directory: str) -> None:
    """Remove the directory of a machine that has ended, with its sockets, their locks and its rungs.

    What else lies there stays, and so does the directory then. Never raises.
    """
    with contextlib.suppress(OSError):
        with _opened(directory) as folder:
            for name in os.listdir(folder):  # noqa: PTH208 - of a descriptor
                found = os.stat(name, dir_fd=folder, follow_symlinks=False)
                if stat.S_ISSOCK(found.st_mode) or name.startswith(_PREFIX) or name.endswith(LOCK):
                    os.unlink(name, dir_fd=folder)
        os.rmdir(directory)  # noqa: PTH106 - a str is what there is


@contextlib.contextmanager
def _opened(directory: str) -> Iterator[int]:
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    folder = os.open(directory, flags)
    try:
        yield folder
    finally:
        os.close(folder)

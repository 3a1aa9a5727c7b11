"""Who is at the other end of a process's pipes and connections: one look at /proc and at the kernel's sockets.

A program that reads the logs of others, or keeps locks for others, knows them by a descriptor
alone. They can be told from outside, whether or not the program still answers.
"""

import os
import select
import socket
import stat
import struct
from collections.abc import Collection, Iterator
from contextlib import suppress

from virtsupd.core.frozen import frozen
from virtsupd.process import netlink
from virtsupd.process.lives import all_pids

_SOCK_DIAG_BY_FAMILY = 20
_UNIX_REQUEST = struct.Struct(
    "=BBHIIIII"
)  # unix_diag_req: family, protocol, pad, states, inode, show, cookie
_UNIX_MESSAGE = struct.Struct("=BBBBIII")  # unix_diag_msg: family, type, state, pad, inode, cookie
_ATTRIBUTE = struct.Struct("=HH")
_ESTABLISHED = 1 << 1
_SHOW_PEER = 0x4
_PEER = 2
_INODE = struct.Struct("=I")
_STANDARD = (2, 1)


@frozen
class FarEnds:
    """The processes at other ends."""

    pids: tuple[int, ...] = ()
    """Sorted."""
    is_blind: bool = False
    """There are other ends, perhaps, and we may not see whose: only root sees everybody's descriptors."""


def writers_to(pid: int) -> FarEnds:
    """Return who writes into pipes that a process reads.

    Those whose standard error or output goes there are told by one look at each process of the host.
    Only if there is none such, all their descriptors are looked at.
    """
    own = _descriptors(pid)
    if own is None:
        return FarEnds(is_blind=True)
    read = _pipes(pid, own, stat.S_IRUSR) - _pipes(pid, own, stat.S_IWUSR)
    if not read:
        return FarEnds()
    found = tuple(other for other in _others(pid) if _has_standard(other, read))
    return FarEnds(found) if found else _holders(pid, read)


def with_piped_errors() -> Iterator[int]:
    """Yield the processes whose standard error is a pipe, sorted; those that may not be looked at are left out."""
    for pid in sorted(all_pids()):
        if (_target(pid, 2) or "").startswith("pipe:"):
            yield pid


def has_unread_errors(pid: int) -> bool:
    """Whether a process's standard error is a pipe that nobody reads any more: what it says is lost."""
    try:
        end = os.open(f"/proc/{pid}/fd/2", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        poll = select.poll()
        poll.register(end, 0)
        return any(events & select.POLLERR for _, events in poll.poll(0))
    finally:
        os.close(end)


def connected_to(pid: int) -> FarEnds:
    """Return who is connected to a process by a Unix socket of our network namespace."""
    own = _descriptors(pid)
    if own is None:
        return FarEnds(is_blind=True)
    inodes = {_inode(target) for _, target in own if target.startswith("socket:")}
    try:
        peers = {peer for inode, peer in _connections() if inode in inodes}
    except OSError:  # a kernel without unix_diag
        return FarEnds(is_blind=True)
    return _holders(pid, {f"socket:[{peer}]" for peer in peers}) if peers else FarEnds()


def _holders(pid: int, targets: Collection[str]) -> FarEnds:
    """Return the other processes that have one of the targets open."""
    found, hidden = [], False
    for other in _others(pid):
        try:
            if _opens(other, targets):
                found.append(other)
        except PermissionError:
            hidden = True
    return FarEnds(tuple(found), is_blind=not found and (hidden or os.geteuid() != 0))


def _others(pid: int) -> list[int]:
    return sorted(other for other in all_pids() if other not in (pid, os.getpid()))


def _opens(pid: int, targets: Collection[str]) -> bool:
    """Return whether a process has one of the targets open; low descriptors are looked at first.

    Raises:
        PermissionError: it may not be looked at.
    """
    try:
        numbers = os.listdir(f"/proc/{pid}/fd")  # noqa: PTH208 -- a hundred thousand names at times
    except (FileNotFoundError, ProcessLookupError):
        return False
    return any(_target(pid, number) in targets for number in numbers)


def _has_standard(pid: int, targets: Collection[str]) -> bool:
    return any(_target(pid, number) in targets for number in _STANDARD)


def _target(pid: int, descriptor: int | str) -> str | None:
    """Return what a descriptor is open on; None if it is closed, or may not be looked at."""
    with suppress(OSError):
        return os.readlink(f"/proc/{pid}/fd/{descriptor}")  # noqa: PTH115 -- many: no Path for each
    return None


def _descriptors(pid: int) -> list[tuple[str, str]] | None:
    """Return a process's descriptors with what they are open on; None if it may not be looked at."""
    try:
        numbers = os.listdir(f"/proc/{pid}/fd")  # noqa: PTH208 -- as above
    except PermissionError:
        return None
    except (FileNotFoundError, ProcessLookupError):
        return []
    return [(number, target) for number in numbers if (target := _target(pid, number)) is not None]


def _pipes(pid: int, descriptors: list[tuple[str, str]], mode: int) -> set[str]:
    """Return the pipes among the descriptors that are open for reading (or writing)."""
    found = set()
    for number, target in descriptors:
        if target.startswith("pipe:"):
            with suppress(OSError):
                if os.lstat(f"/proc/{pid}/fd/{number}").st_mode & mode:
                    found.add(target)
    return found


def _inode(target: str) -> int:
    return int(target.partition("[")[2].rstrip("]"))


def _connections() -> Iterator[tuple[int, int]]:
    """Yield the inodes of both ends of each connection between Unix sockets, from either end.

    Raises:
        OSError: the kernel does not tell.
    """
    request = _UNIX_REQUEST.pack(socket.AF_UNIX, 0, 0, _ESTABLISHED, 0, _SHOW_PEER, 0, 0)
    for _, content in netlink.dump(4, _SOCK_DIAG_BY_FAMILY, request):  # NETLINK_SOCK_DIAG
        inode = _UNIX_MESSAGE.unpack_from(content)[4]
        for kind, value in _attributes(content[_UNIX_MESSAGE.size :]):
            if kind == _PEER:
                yield inode, _INODE.unpack_from(value)[0]


def _attributes(content: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + _ATTRIBUTE.size <= len(content):
        length, kind = _ATTRIBUTE.unpack_from(content, at)
        if length < _ATTRIBUTE.size:
            return
        yield kind, content[at + _ATTRIBUTE.size : at + length]
        at += (length + 3) & ~3

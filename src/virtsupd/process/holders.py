"""Who holds a socket: what /proc tells about listeners without connecting to them.

libvirt logs an error for each connection that says nothing, so a probe must not knock.
Everything here is one look; what it saw may have changed when it returns.
"""

import contextlib
import os
import socket
import struct
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from virtsupd.core.frozen import frozen

_ACCEPTS = 0x10000  # __SO_ACCEPTCON in the flags column of /proc/net/unix: listen(2) was called
_TCP_LISTEN = "0A"
_UDP_UNCONNECTED = "07"
_WILDCARDS = ("0" * 8, "0" * 32)


@frozen
class Holder:
    """A process that has a socket open."""

    pid: int
    program: str

    def __str__(self) -> str:
        """Say it for people: "pid 123 (nginx)"."""
        return f"pid {self.pid} ({self.program})"


def unix_listeners(path: str) -> frozenset[int]:
    """Return the inodes of the sockets that listen at `path`, whatever way round it is written."""
    return frozenset(inode for inode, listens in _at(path) if listens)


def unix_bound(path: str) -> frozenset[int]:
    """Return the inodes of all sockets bound to `path`, listening or not (datagram sockets never do)."""
    return frozenset(inode for inode, _ in _at(path))


def port_holders(
    port: int, *, is_datagram: bool = False, address: str | None = None
) -> frozenset[int]:
    """Return the inodes of the sockets that listen on a TCP port (hold a UDP port).

    With an IP address, only those that hold the port there: on that address or on all of them.
    """
    protocol, state = ("udp", _UDP_UNCONNECTED) if is_datagram else ("tcp", _TCP_LISTEN)
    wanted = None if address is None else {_in_table(address), *_WILDCARDS}
    return frozenset(
        inode
        for table in (protocol, protocol + "6")
        for inode, place, held, found in _inet_sockets(table)
        if held == port and found == state and (wanted is None or place in wanted)
    )


def _in_table(address: str) -> str:
    """Return an address as the kernel's tables have it: each four bytes as a number of this host."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    packed = socket.inet_pton(family, address)
    words = struct.unpack(f"={len(packed) // 4}I", packed)
    return "".join(f"{word:08X}" for word in words)


def holder_of(inodes: Collection[int]) -> Holder | None:
    """Return a process that has one of the sockets open, lowest pid first; None if none is seen."""
    for pid in _pids():
        if holds(pid, inodes):
            return Holder(pid, program_of(pid))
    return None


def is_held(inodes: Collection[int], *, owns: Callable[[int], bool], leader: int | None) -> bool:
    """Return whether a process that `owns` accepts has one of the sockets open; the leader is asked first."""
    if not inodes:
        return False
    if leader is not None and holds(leader, inodes):
        return True
    return any(owns(pid) and holds(pid, inodes) for pid in _pids() if pid != leader)


def holds(pid: int, inodes: Collection[int]) -> bool:
    """Return whether a process has one of the sockets open; False if it may not be looked at."""
    wanted = {f"socket:[{inode}]" for inode in inodes}
    directory = f"/proc/{pid}/fd"
    try:
        names = os.listdir(directory)  # noqa: PTH208 -- a hundred thousand names at times: no Path for each
    except OSError:
        return False
    for name in names:
        with contextlib.suppress(OSError):
            if os.readlink(f"{directory}/{name}") in wanted:  # noqa: PTH115 -- as above
                return True
    return False


def program_of(pid: int) -> str:
    """Return the kernel's short name of a process, or "?" if it is gone."""
    try:
        return Path(f"/proc/{pid}/comm").read_text(errors="replace").rstrip("\n")
    except OSError:
        return "?"


def arguments_of(pid: int) -> tuple[str, ...]:
    """Return the command line of a process, () if it is gone or has none (a zombie)."""
    try:
        raw = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return ()
    return tuple(os.fsdecode(word) for word in raw.split(b"\0")[:-1])


def is_running(programs: Collection[str]) -> bool:
    """Return whether a process has one of these short names."""
    return any(program_of(pid) in programs for pid in _pids())


def _pids() -> list[int]:
    return sorted(int(name) for name in os.listdir("/proc") if name.isdecimal())  # noqa: PTH208 -- names only


def _at(path: str) -> Iterator[tuple[int, bool]]:
    """Yield inode and "listens" of each socket whose name means the same file as `path`."""
    # Only names with the same last part are worth a look into the file system.
    ends = {os.path.basename(path), os.path.basename(os.path.realpath(path))}  # noqa: PTH119 -- strings, for speed
    for inode, bound, listens in _unix_sockets():
        if bound == path or (bound.rpartition("/")[2] in ends and _is_same(bound, path)):
            yield inode, listens


def _is_same(bound: str, path: str) -> bool:
    if not (bound.startswith("/") and path.startswith("/")):
        return False
    with contextlib.suppress(OSError):
        return os.path.samefile(bound, path)  # noqa: PTH121 -- as above
    return False


def _unix_sockets() -> Iterator[tuple[int, str, bool]]:
    for line in _table("unix"):
        # address: references protocol flags type state inode [path, which may hold spaces]
        columns = line.split(maxsplit=7)
        if len(columns) == 8:
            yield int(columns[6]), columns[7], bool(int(columns[3], 16) & _ACCEPTS)


def _inet_sockets(table: str) -> Iterator[tuple[int, str, int, str]]:
    for line in _table(table):
        # slot: local-address:port remote:port state queues timer retransmits uid timeout inode …
        columns = line.split()
        if len(columns) > 9:
            place, _, port = columns[1].rpartition(":")
            yield int(columns[9]), place, int(port, 16), columns[3]


def _table(name: str) -> list[str]:
    try:
        text = Path(f"/proc/net/{name}").read_text(errors="surrogateescape")
    except OSError:
        return []  # no IPv6 on this kernel, or no /proc
    return text.split("\n")[1:]

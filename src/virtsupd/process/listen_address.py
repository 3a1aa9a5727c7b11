"""Where an activation socket listens: its address as written, in the kernel's tables, on a socket."""

import ipaddress
import os
import socket
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from virtsupd.core.spec import SocketSpec
from virtsupd.errors import SpawnError
from virtsupd.process.holders import port_holders, unix_bound, unix_listeners
from virtsupd.process.passed_sockets import bound_file

TYPES: Mapping[str, socket.SocketKind] = MappingProxyType(
    {
        "stream": socket.SOCK_STREAM,
        "datagram": socket.SOCK_DGRAM,
        "seqpacket": socket.SOCK_SEQPACKET,
    }
)


def refused(spec: SocketSpec, reason: str, *, is_permanent: bool) -> SpawnError:
    """Return the error that says why a socket cannot listen."""
    return SpawnError(
        "socket", f"cannot listen on {spec.listen}: {reason}", is_permanent=is_permanent
    )


def parse_port(spec: SocketSpec) -> tuple[str | None, int]:
    """Return host (None: all addresses) and port of a socket that is none of Unix.

    Raises:
        SpawnError: it is not an address; permanent.
    """
    host, colon, port = spec.listen.rpartition(":")
    number = int(port[:6]) if port.isascii() and port.isdecimal() else -1
    try:
        address = _parse_host(host) if colon else None
    except ValueError:
        number, address = -1, None
    if number in range(65536):
        return address, number
    allowed = "allowed are /path, @name, address:port, [address]:port and port"
    raise refused(spec, f"not an address; {allowed}", is_permanent=True)


def _parse_host(host: str) -> str:
    if host == "localhost":
        return "127.0.0.1"
    if host.startswith("[") and host.endswith("]"):
        return str(ipaddress.IPv6Address(host[1:-1]))
    return str(ipaddress.IPv4Address(host))


def bound(spec: SocketSpec) -> frozenset[int]:
    """Return the inodes of the sockets that have the address, and for a port all that share it."""
    if spec.listen.startswith(("/", "@")):
        return unix_bound(spec.listen)
    return port_holders(parse_port(spec)[1], is_datagram=spec.type == "datagram")


def listeners(spec: SocketSpec) -> frozenset[int]:
    """Return the inodes of the sockets that may be the one `spec` asks for; `listens_as` tells.

    None for what is not an address.
    """
    if spec.listen.startswith(("/", "@")) and spec.type != "datagram":
        return unix_listeners(spec.listen)  # its connections have its address too
    try:
        return bound(spec)
    except SpawnError:
        return frozenset()


def listens_as(spec: SocketSpec, found: socket.socket) -> bool:
    """Whether a socket is what `spec` asks for, and clients find it there.

    By what it is: type, listening, address; for one with a file, that it is this file.
    """
    try:
        listens = found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        if found.type != TYPES[spec.type] or bool(listens) is (spec.type == "datagram"):
            return False
        if found.family == socket.AF_UNIX:
            return _is_at_path(spec, found)
        return found.getsockname() in _inet_addresses(spec, found.family)
    except (OSError, SpawnError):
        return False


def file_identity(spec: SocketSpec) -> tuple[int, int] | None:
    """Return device and inode of a Unix socket's file; None if there is none."""
    if not spec.listen.startswith("/"):
        return None
    try:
        file = Path(spec.listen).lstat()
    except OSError:
        return None
    return file.st_dev, file.st_ino


def _is_at_path(spec: SocketSpec, found: socket.socket) -> bool:
    name = found.getsockname()
    if spec.listen.startswith("@"):
        return bool(name == b"\0" + os.fsencode(spec.listen[1:]))
    file = file_identity(spec)
    return name == spec.listen and file is not None and bound_file(found) in (file, None)


def _inet_addresses(spec: SocketSpec, family: int) -> list[tuple[object, ...]]:
    """Return what getsockname(2) may say of the socket."""
    host, port = parse_port(spec)
    if host is None:
        host = "::" if family == socket.AF_INET6 else "0.0.0.0"  # noqa: S104 - a bare port means just that
    if (":" in host) is not (family == socket.AF_INET6):
        return []
    flags = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV  # a scope becomes a number
    return [entry[4] for entry in socket.getaddrinfo(host, port, family, flags=flags)]

"""One attempt at a network service: does it accept, does it say what is expected, does it serve a page.

Nothing here retries or has a deadline; an attempt can be cancelled at any time and leaves no
connection behind. Addresses and "localhost" are tried without a resolver; any other host name is
looked up on a worker thread, as the C library offers nothing else.

HTTP is spoken here in a few lines: a probe needs the status line alone, and importing http.client
would cost the daemon's start 5 ms where this module costs half of one; its blocking sockets would
also need a thread for each probe.
"""

import asyncio
import ipaddress
import os
import re
import socket
from contextlib import closing
from functools import partial
from urllib.parse import SplitResult, urlsplit

import anyio.to_thread

from virtsupd.core.spec import BannerProbe, HttpProbe, TcpProbe
from virtsupd.errors import NotReadyError
from virtsupd.process.signals import take_none_in_this_thread

BANNER_BYTES = 4096
_STATUS_LINE = re.compile(rb"HTTP/1\.[01] (\d{3})\b")
_STATUS_BYTES = 512
_SHOWN = 60

_Address = tuple[socket.AddressFamily, tuple[str, int] | str]


class ImpossibleProbeError(NotReadyError):
    """The probe can never hold, whatever the service does: not a URL, not a regular expression."""


async def attempt_tcp(probe: TcpProbe) -> None:
    """Return if a connection is accepted.

    Raises:
        NotReadyError: it is refused, or the host is unknown.
    """
    (await _connect(probe.host, probe.port)).close()


async def attempt_banner(probe: BannerProbe) -> None:
    """Return if what the peer sends, up to 4 KiB, matches the expression.

    "^" and "$" match at each line. A peer that is silent is waited for.

    Raises:
        NotReadyError: no connection, or the peer closed or sent 4 KiB without a match.
    """
    expected = compile_pattern(probe.expect)
    with closing(await _connect_banner(probe)) as peer:
        loop = asyncio.get_running_loop()
        received = b""
        if probe.send is not None:
            await _send(peer, probe.send.encode())
        while not expected.search(received.decode("utf-8", "replace")):
            piece = await _receive(peer, loop, BANNER_BYTES - len(received))
            if not piece:
                raise NotReadyError(
                    f"{_place(probe)} sent {_shown(received)}, not {probe.expect!r}"
                )
            received += piece


async def attempt_http(probe: HttpProbe) -> None:
    """Return if a GET of the URL answers with one of the expected statuses.

    Redirects are not followed. The body is not read.

    Raises:
        NotReadyError: no connection, no HTTP, or another status; or a URL that is not http://.
    """
    host, port, request = _request(probe.url)
    with closing(await _connect(host, port)) as peer:
        await _send(peer, request)
        status = await _read_status(peer)
    if status is None:
        raise NotReadyError(f"{probe.url} does not answer in HTTP")
    if status not in probe.statuses:
        raise NotReadyError(f"{probe.url} answers {status}")


def _request(url: str) -> tuple[str, int, bytes]:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port or 80
    except ValueError as error:
        raise ImpossibleProbeError(f"{url} is not a URL: {error}") from error
    if parts.scheme != "http" or not host or not url.isprintable():
        raise ImpossibleProbeError(f"{url} is not an http:// URL")
    lines = (
        f"GET {_target(parts)} HTTP/1.1",
        f"Host: {parts.netloc.rpartition('@')[2]}",
        "User-Agent: virtsupd",
        "Accept: */*",
        "Connection: close",
        "\r\n",
    )
    return host, port, "\r\n".join(lines).encode()


def _target(parts: SplitResult) -> str:
    path = (parts.path or "/").replace(" ", "%20")
    return f"{path}?{parts.query}" if parts.query else path


async def _read_status(peer: socket.socket) -> int | None:
    loop = asyncio.get_running_loop()
    received = b""
    while b"\n" not in received and len(received) < _STATUS_BYTES:
        piece = await _receive(peer, loop, _STATUS_BYTES)
        if not piece:
            break
        received += piece
    line = _STATUS_LINE.match(received)
    return int(line[1]) if line else None


# Connections


async def _connect_banner(probe: BannerProbe) -> socket.socket:
    if probe.path is not None:
        return await _connect_to((socket.AF_UNIX, probe.path), probe.path)
    if probe.port is None:
        raise ImpossibleProbeError("the probe names neither a port nor a path")
    return await _connect(probe.host, probe.port)


async def _connect(host: str, port: int) -> socket.socket:
    refused = NotReadyError(f"cannot connect to {host} port {port}: the name has no address")
    for address in await _addresses(host, port):
        try:
            return await _connect_to(address, f"{host} port {port}")
        except NotReadyError as error:
            refused = error
    raise refused


async def _connect_to(address: _Address, place: str) -> socket.socket:
    family, target = address
    peer = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        await asyncio.get_running_loop().sock_connect(peer, target)
        _refuse_self(peer)
    except OSError as error:
        peer.close()
        reason = os.strerror(error.errno).lower() if error.errno else str(error)
        raise NotReadyError(f"cannot connect to {place}: {reason}") from error
    except BaseException:
        peer.close()
        raise
    return peer


def _refuse_self(peer: socket.socket) -> None:
    """Refuse a connection to ourselves: the kernel may pick the probed port for our own end."""
    if peer.family != socket.AF_UNIX and peer.getsockname() == peer.getpeername():
        raise ConnectionRefusedError(111, "connected to itself")


async def _addresses(host: str, port: int) -> list[_Address]:
    if host == "localhost":
        return [(socket.AF_INET, ("127.0.0.1", port)), (socket.AF_INET6, ("::1", port))]
    try:
        version = ipaddress.ip_address(host).version
    except ValueError:
        return await _look_up(host, port)
    return [(socket.AF_INET6 if version == 6 else socket.AF_INET, (host, port))]


async def _look_up(host: str, port: int) -> list[_Address]:
    look = partial(_ask_resolver, host, port)
    try:
        # Abandoned, not awaited, when the attempt is cancelled: a dead name server must not hold a stop.
        found = await anyio.to_thread.run_sync(look, abandon_on_cancel=True)
    except (OSError, UnicodeError) as error:
        raise NotReadyError(f"cannot connect to {host} port {port}: {error}") from error
    return found


def _ask_resolver(host: str, port: int) -> list[_Address]:
    take_none_in_this_thread()
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [(family, (str(address[0]), port)) for family, _, _, _, address in found]


async def _send(peer: socket.socket, content: bytes) -> None:
    try:
        await asyncio.get_running_loop().sock_sendall(peer, content)
    except OSError as error:
        raise NotReadyError(f"the connection was closed: {error.strerror}") from error


async def _receive(peer: socket.socket, loop: asyncio.AbstractEventLoop, limit: int) -> bytes:
    if limit <= 0:
        return b""
    try:
        return await loop.sock_recv(peer, limit)
    except OSError:
        return b""  # reset by the peer: an end like any other


def compile_pattern(pattern: str) -> re.Pattern[str]:
    """Return a regular expression whose "^" and "$" match at each line.

    Raises:
        ImpossibleProbeError: it is none.
    """
    try:
        return re.compile(pattern, re.MULTILINE)
    except re.error as error:
        raise ImpossibleProbeError(f"{pattern!r} is no regular expression: {error}") from error


def _place(probe: BannerProbe) -> str:
    return probe.path if probe.path is not None else f"{probe.host} port {probe.port}"


def _shown(received: bytes) -> str:
    if not received:
        return "nothing before it closed"
    return repr(received[:_SHOWN].decode("utf-8", "replace"))

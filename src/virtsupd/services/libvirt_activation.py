"""The sockets that virtsupd holds for a daemon of libvirt where its table says `activation`.

libvirt knows each by its name (measured with 9.0): `DAEMON.socket`, `DAEMON-admin.socket`, for libvirtd
also -ro, -tcp and -tls, the last two as often as there are addresses. It ends over a name that it does
not know, and over --listen. What is passed counts: `listen_tcp` is not looked at any more.
"""

import socket
from collections.abc import Iterator
from contextlib import suppress
from ipaddress import ip_address
from typing import Final

from virtsupd.config.problems import Fault
from virtsupd.services.libvirt_sockets import OWN_SOCKET_DIRS, ConnectionTable, UnixTable
from virtsupd.services.libvirt_tls import Remote

Socket = dict[str, object]
"""One of the key `sockets` of a unit."""

_SMALL_MODE: Final = "0700"
"""Of the sockets of virtlogd and virtlockd, as they make them themselves."""


def libvirtd_sockets(table: ConnectionTable, listening: Remote) -> list[Socket]:
    """Return what virtsupd listens on for libvirtd."""
    return [*_unix(table), *_network(table, listening)]


def small_sockets(daemon: str) -> list[Socket]:
    """Return what virtsupd listens on for virtlogd or virtlockd."""
    path = f"{OWN_SOCKET_DIRS[1]}/{daemon}"
    return [
        {"name": f"{daemon}.socket", "listen": f"{path}-sock", "mode": _SMALL_MODE},
        {"name": f"{daemon}-admin.socket", "listen": f"{path}-admin-sock", "mode": _SMALL_MODE},
    ]


def activation_faults(table: ConnectionTable, listening: Remote) -> Iterator[Fault]:
    """Yield addresses that virtsupd could not listen on before it knows them."""
    if listening.listens and not _is_address(table.listen_addr):
        text = (
            f'found "{table.listen_addr}", must be an IP address, or empty, with activation = true'
        )
        yield ("listen_addr",), text
    for key, is_used in (("tls_port", listening.tls), ("tcp_port", listening.tcp)):
        if is_used and _number(getattr(table, key)) is None:
            text = f'found "{getattr(table, key)}", must be a number, or a name of /etc/services'
            yield (key,), f"{text}, with activation = true"


def _unix(table: UnixTable) -> Iterator[Socket]:
    modes = {
        "": table.unix_sock_rw_perms,
        "-ro": table.unix_sock_ro_perms,
        "-admin": table.unix_sock_admin_perms,
    }
    paths = {"": "libvirt-sock", "-ro": "libvirt-sock-ro", "-admin": "libvirt-admin-sock"}
    for kind, mode in modes.items():
        yield {
            "name": f"libvirtd{kind}.socket",
            "listen": f"{table.unix_sock_dir.rstrip('/')}/{paths[kind]}",
            "mode": str(mode),
            "group": table.unix_sock_group,
        }


def _network(table: ConnectionTable, listening: Remote) -> Iterator[Socket]:
    host = table.listen_addr
    address = f"[{host}]:" if ":" in host else f"{host}:" if host else ""
    for kind, is_used, port in (
        ("tls", listening.tls, table.tls_port),
        ("tcp", listening.tcp, table.tcp_port),
    ):
        if is_used:
            listen = f"{address}{_number(port) or port}"
            yield {"name": f"libvirtd-{kind}.socket", "listen": listen}


def _is_address(text: str) -> bool:
    with suppress(ValueError):
        return not text or bool(ip_address(text))
    return False


def _number(port: str) -> int | None:
    if port.isdigit():
        return int(port)
    with suppress(OSError):
        return socket.getservbyname(port, "tcp")
    return None

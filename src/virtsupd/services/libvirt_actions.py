"""The actions of libvirt's daemons: commands that virtsupd runs on request, each a module of its own.

What they need of the table stands in their command line, so that they follow a reload.
"""

from typing import Final

from virtsupd.services.libvirt_asking import admin_uri
from virtsupd.services.libvirt_guests import local_uri
from virtsupd.services.libvirt_limits import LogTable
from virtsupd.services.libvirt_sockets import ConnectionTable
from virtsupd.services.libvirt_tls import Remote, tls_files
from virtsupd.services.package import module, program

_PKI_SECONDS: Final = 180.0
"""Keys take seconds on small machines, and so does a DNS that does not answer."""


def libvirtd_actions(
    table: ConnectionTable, prefix: str | None, listening: Remote
) -> dict[str, object]:
    """Return the actions that only libvirtd has; `prefix` is its libvirt's, None for PATH."""
    uri = local_uri(table.unix_sock_dir)
    ports = (table.tls_port if listening.tls else "", table.tcp_port if listening.tcp else "")
    return {
        "uris": {
            "command": module(
                "services.libvirt_uris", table.unix_sock_dir, table.listen_addr, *ports
            ),
            "description": "list the URIs under which clients reach it",
        },
        "domains": {
            "command": module("services.libvirt_domains", program("virsh", prefix), uri),
            "description": "list the guests that run, with state and uptime; --all, --json",
        },
        "make-pki": _make_pki(table),
    }


def admin_actions(
    daemon: str, socket_dir: str, log: LogTable, prefix: str | None
) -> dict[str, object]:
    """Return the actions that every daemon of libvirt has, by its socket for managing it.

    Together they are the key `actions` of its unit. `log` is a part of its table.
    """
    reached = [daemon, program("virt-admin", prefix), admin_uri(daemon, socket_dir)]
    logged = [str(log.log_level), str(log.log_filters), str(log.log_outputs)]
    return {
        "clients": {
            "command": module("services.libvirt_clients", *reached),
            "description": "list who is connected, and since when; --json",
        },
        "set-log": {
            "command": module("services.libvirt_log", *reached, *logged),
            "description": "show or change what it logs until its next start; --help says more",
        },
    }


def _make_pki(table: ConnectionTable) -> dict[str, object]:
    files = tls_files(table)
    places = [files["key_file"], files["cert_file"], files["ca_file"], table.listen_addr]
    return {
        "command": module("services.libvirt_pki", *places, table.tls_port, _to_set(table)),
        "description": "make a CA and certificates for TLS; --help says more",
        "timeout": _PKI_SECONDS,
        "admin": True,  # who has a certificate is let in as root, and its files lie anywhere
    }


def _to_set(table: ConnectionTable) -> str:
    """Return what the table has to say so that libvirtd listens for TLS; empty if it does."""
    keys = [
        "listen_tls = true" if not table.listen_tls else "",
        'listen = "auto"' if table.listen is False else "",
    ]
    return " and ".join(key for key in keys if key)

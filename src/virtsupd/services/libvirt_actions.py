"""The actions of libvirtd: commands that virtsupd runs on request, each a module of its own.

What they need of the table stands in their command line, so that they follow a reload.
"""

import sys
from typing import Final

from virtsupd.services.libvirt_sockets import ConnectionTable
from virtsupd.services.libvirt_tls import Remote, tls_files

_PKI_SECONDS: Final = 180.0
"""Keys take seconds on small machines, and so does a DNS that does not answer."""


def actions(table: ConnectionTable, prefix: str | None, listening: Remote) -> dict[str, object]:
    """Return the key `actions` of the unit libvirtd.

    `prefix` is that of the libvirt in force, None for PATH.
    """
    return {"make-pki": _make_pki(table)}


def _make_pki(table: ConnectionTable) -> dict[str, object]:
    files = tls_files(table)
    port = table.tls_port if table.listen_tls and table.listen is not False else ""
    places = [files["key_file"], files["cert_file"], files["ca_file"], table.listen_addr, port]
    return {
        "command": _module("libvirt_pki", *places),
        "description": "make a CA and certificates for TLS; --help says more",
        "timeout": _PKI_SECONDS,
    }


def _module(name: str, *arguments: str) -> list[str]:
    """Return the command that runs a module of this package by its short name."""
    return [sys.executable, "-I", "-m", f"virtsupd.services.{name}", *arguments]

"""The actions of libvirtd: commands that virtsupd runs on request, each a module of its own.

What they need of the table stands in their command line, so that they follow a reload.
"""

import sys

from virtsupd.services.libvirt_sockets import ConnectionTable
from virtsupd.services.libvirt_tls import Remote


def actions(table: ConnectionTable, prefix: str | None, listening: Remote) -> dict[str, object]:
    """Return the key `actions` of the unit libvirtd.

    `prefix` is that of the libvirt in force, None for PATH.
    """
    return {}


def _module(name: str, *arguments: str) -> list[str]:
    """Return the command that runs a module of this package by its short name."""
    return [sys.executable, "-I", "-m", f"virtsupd.services.{name}", *arguments]

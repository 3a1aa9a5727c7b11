"""The daemons of a Ganeti node: what runs each, and how it is known to be usable."""

from pathlib import PurePosixPath
from typing import Final

from virtsupd.services.ganeti_accounts import account_keys, are_split
from virtsupd.services.ganeti_health import RUN, SOCKETS, health_keys
from virtsupd.services.ganeti_tables import (
    ANY,
    PARTS,
    DaemonTable,
    GanetiTable,
    ListeningTable,
    TlsTable,
)
from virtsupd.services.package import program, search_path
from virtsupd.services.render import options

DAEMONS: Final = {f"ganeti-{short}": short for short in PARTS[:8]}
"""By name of the service, which is the program's: the name of its table. In the order of their start."""

_UDP: Final = ("confd",)
_READY_SECONDS: Final = {"wconfd": "90s", "luxid": "90s"}
"""They ask the other nodes for a minute who is master, and longer if those do not answer at once."""


def daemon_keys(name: str, node: GanetiTable, short: str) -> dict[str, object]:
    """Return what its tables change in the unit of a daemon."""
    table: DaemonTable = getattr(node, short)
    prefix = table.ganeti or node.ganeti
    return {
        **account_keys(name, split=are_split(node.accounts)),
        "command": [program(name, prefix), "-f", *options(_effective(table))],
        "environment": {"PATH": search_path([table.ganeti, node.ganeti])},
        # Not once at the boot: what one of them leaves at its end is in the way of another one's start.
        "prepare": [helper("ensure-dirs", prefix)],
        "ready": {
            "kind": "listen",
            "on": _listens_on(table, short),
            "pid_file": f"{RUN}/{name}.pid",
            "timeout": _READY_SECONDS.get(short, "30s"),
        },
        **health_keys(table, short, split=are_split(node.accounts)),
        "autostart": node.autostart and table.autostart,
    }


def helper(name: str, prefix: str | None) -> str:
    """Return the path of a program that Ganeti has for itself."""
    return str(PurePosixPath(prefix or "/usr", "lib", "ganeti", name))


def _effective(table: DaemonTable) -> DaemonTable:
    if isinstance(table, TlsTable):
        return table.model_copy(update={"address": table.listens_at})
    return table


def _listens_on(table: DaemonTable, short: str) -> list[str]:
    if short in SOCKETS:
        return [SOCKETS[short]]
    if not isinstance(table, ListeningTable):
        return []
    kind = "udp" if short in _UDP else "tcp"
    address = table.listens_at if isinstance(table, TlsTable) else table.address
    if address is None or address in (ANY, "::"):
        return [f"{kind}:{table.port}"]
    host = f"[{address}]" if ":" in address else address
    return [f"{kind}:{host}:{table.port}"]

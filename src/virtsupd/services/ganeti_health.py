"""How a daemon of Ganeti's is asked whether it is well, where somebody wants that: by its own protocol."""

import sys
from pathlib import Path
from typing import Final

from virtsupd.services.ganeti_tables import ANY, DaemonTable, ListeningTable, TlsTable
from virtsupd.services.package import module

RUN: Final = "/var/run/ganeti"
"""As Ganeti calls it, and binds its sockets."""
SOCKETS: Final = {"wconfd": f"{RUN}/socket/ganeti-wconfd", "luxid": f"{RUN}/socket/ganeti-query"}
"""Of the daemons that have one instead of a port."""

_QUESTIONS: Final = {
    "wconfd": '{"method": "echo", "args": [""]}\x03',
    "luxid": '{"method": "QueryClusterInfo", "args": []}\x03',
}
_BY_PROGRAM: Final = ("confd", "rapi")
_EVERY: Final = {"interval": "30s", "timeout": "30s"}


def health_keys(table: DaemonTable, short: str, *, split: bool) -> dict[str, object]:
    """Return `health` of a daemon, or nothing; `split`: it runs as an account of its own."""
    if not getattr(table, "health", False) or why_not_asked(short, split=split) is not None:
        return {}
    return {"health": {**_probe(table, short), **_EVERY}}


def why_not_asked(short: str, *, split: bool, interpreter: str = sys.executable) -> str | None:
    """Return why a daemon cannot be asked: by a program that its account may not run, it would never be well."""
    if short not in _BY_PROGRAM or not split or _may_be_run_by_all(Path(interpreter)):
        return None
    return f"its account may not run {interpreter}, which would ask: it is not asked"


def _may_be_run_by_all(program: Path) -> bool:
    """Whether every account may run a program; a link is followed, and the directories on the way count."""
    try:
        places = (program, program.resolve(strict=True))
        above = {folder for place in places for folder in place.parents}
        modes = [place.stat().st_mode for place in (*above, places[1])]
    except OSError:
        return False
    return all(mode & 0o1 for mode in modes)


def _probe(table: DaemonTable, short: str) -> dict[str, object]:
    if short in SOCKETS:
        question, expected = _QUESTIONS[short], '"success":true'
        return {"kind": "banner", "path": SOCKETS[short], "send": question, "expect": expected}
    host, port = where(table)
    if isinstance(table, TlsTable) and table.interface is not None:
        return {"kind": "listen", "on": [f"tcp:{port}"]}  # its address is not known here
    match short:
        case "rapi" if isinstance(table, TlsTable) and not table.ssl:
            return {"kind": "http", "url": _url(host, port, "/version"), "statuses": [200, 401]}
        case "confd" | "rapi":
            command = module("ganeti.health", short, host, str(port))
            return {"kind": "exec", "command": command}
        case "mond":
            return {"kind": "http", "url": _url(host, port, "/")}
        case _:
            return {"kind": "tcp", "host": host, "port": port}


def _url(host: str, port: int, path: str) -> str:
    return f"http://[{host}]:{port}{path}" if ":" in host else f"http://{host}:{port}{path}"


def where(table: DaemonTable) -> tuple[str, int]:
    """Return an address and the port where a daemon with a port can be reached from this host."""
    if not isinstance(table, ListeningTable):
        raise TypeError(table)
    address = table.listens_at if isinstance(table, TlsTable) else table.address
    if address is None or address == ANY:
        return "127.0.0.1", table.port
    return ("::1" if address == "::" else address), table.port

"""`[ganeti]`: all that runs on a node of a Ganeti cluster, as parts of the target `ganeti`."""

import json
from collections.abc import Iterator, Mapping
from functools import partial
from ipaddress import ip_address
from pathlib import Path, PurePosixPath
from typing import Final

from virtsupd.config.kinds import Built, GuestHost, KindContext, KindParts, Remark
from virtsupd.config.problems import Fault
from virtsupd.core.names import Name
from virtsupd.core.shutdown_policy import GuestEnd
from virtsupd.errors import VirtsupdError, in_one_line
from virtsupd.ganeti.installing import is_installed
from virtsupd.ganeti.rendering import rendering
from virtsupd.ganeti.role import Role, standing
from virtsupd.services.ganeti_accounts import account_keys, are_split, missing_accounts
from virtsupd.services.ganeti_daemons import DAEMONS, daemon_keys, helper
from virtsupd.services.ganeti_guests import GanetiGuests
from virtsupd.services.ganeti_health import why_not_asked
from virtsupd.services.ganeti_os import ganeti_configuration
from virtsupd.services.ganeti_tables import ANY, LIBRARY, GanetiTable, TlsTable
from virtsupd.services.package import module, program, search_path

UNIT: Final = "ganeti"
_WATCHER: Final = "ganeti-watcher"
_CLEANERS: Final = ("ganeti-cleaner-master", "ganeti-cleaner-node")
_SHARED: Final = {
    "noded": ("port", "ssl"),
    "confd": ("port",),
    "mond": ("port",),
    "rapi": ("port", "ssl", "require_authentication"),
}
"""Fields by which nodes find and trust each other, and that a new master should have like the old one."""
_OF_MASTER: Final = ("ganeti-wconfd", "ganeti-rapi", "ganeti-luxid")
_UTIL_SECONDS: Final = 120.0
"""For dpkg, which may be at work."""


def build(table: GanetiTable, context: KindContext) -> Built:
    """Return what the tables change in the units of a node, and the settings of what it writes."""
    files = ganeti_configuration(table.os, table.file_storage_paths, table.hooks, context)
    return Built(
        {
            UNIT: _target_keys(table, context),
            **files.changes,
            **{name: daemon_keys(name, table, short) for name, short in DAEMONS.items()},
            _WATCHER: _watcher_keys(table),
            **dict(zip(_CLEANERS, _cleaner_keys(table), strict=True)),
            "ganeti-certificate": _path(table.noded.ssl_cert),
            "ganeti-rapi-certificate": _path(table.rapi.ssl_cert),
        },
        files=files.files,
        problems=(*_problems(table), *files.problems),
        warnings=(*_warnings(table), *files.warnings),
        host_faults=lambda: _host_faults(table),
        own_host_faults={"ganeti-configuration": files.host_faults},
        remarks=partial(_remarks, table, str(context.host.socket)),
        guest_hosts=_guest_hosts(table, context),
    )


def _guest_hosts(table: GanetiTable, context: KindContext) -> Mapping[Name, GuestHost]:
    """Return how a shutdown ends this node's instances. None of them can be saved: it powers off instead."""
    if table.guests == "leave":
        return {}
    is_saved = context.host.shutdown.guest_end is GuestEnd.SAVE
    return {Name("ganeti-noded"): GanetiGuests(GuestEnd.SHUTDOWN if is_saved else None)}


def _target_keys(table: GanetiTable, context: KindContext) -> dict[str, object]:
    autostarted = [name for name, short in DAEMONS.items() if getattr(table, short).autostart]
    if table.watcher.autostart:
        autostarted.append(_WATCHER)
    if table.cleaner.autostart:
        autostarted += _CLEANERS
    return {
        "wants": autostarted,
        "after": [table.ssh] if table.ssh is not None else [],
        "autostart": table.autostart,
        "actions": _actions(table, str(context.host.socket)),
    }


def _actions(table: GanetiTable, control: str) -> dict[str, object]:
    said = {
        "install-daemon-util": "have Ganeti's own tools start and stop daemons through virtsupd",
        "remove-daemon-util": "let them do it by themselves again",
    }
    said_there = [word for key, value in _in_util(table).items() for word in (f"--{key}", value)]
    where = ["--socket", control, *said_there, "--path", helper("daemon-util", table.ganeti)]
    actions: dict[str, object] = {
        action: {
            "command": module("services.ganeti_daemon_util", action.partition("-")[0], *where),
            "description": description,
            "timeout": _UTIL_SECONDS,
            "admin": True,
        }
        for action, description in said.items()
    }
    actions["check"] = {
        "command": module("services.ganeti_check", control),
        "description": "say what differs between the nodes and should not; --json",
        "interactive": True,
    }
    actions["facts"] = {
        "command": module("ganeti.facts", json.dumps(dict(_shared(table)))),
        "description": "print what check compares, as JSON",
    }
    return actions


def _shared(table: GanetiTable) -> Iterator[tuple[str, str]]:
    """Yield what the tables of all nodes have to say alike."""
    for short, keys in _SHARED.items():
        for key in keys:
            yield f"{short}.{key}", str(getattr(getattr(table, short), key))
    yield "file_storage_paths", ", ".join(table.file_storage_paths)


def _path(path: str) -> dict[str, object]:
    return {"ready": {"kind": "path", "path": path, "timeout": 0}}


def _job_keys(table: GanetiTable, prefix: str | None) -> dict[str, object]:
    return {"environment": {"PATH": search_path([prefix, table.ganeti])}}


def _watcher_keys(table: GanetiTable) -> dict[str, object]:
    """Return the watcher's keys. Unless it asks rapi where that listens, it restarts it each time."""
    found = table.watcher
    rapi_ip = found.rapi_ip or _bound(table.rapi)
    return {
        **_job_keys(table, found.ganeti),
        "command": [
            program("ganeti-watcher", found.ganeti or table.ganeti),
            *([f"--rapi-ip={rapi_ip}"] if rapi_ip else []),
            f"--job-age={found.job_age}",
            *([] if found.verify_disks else ["--no-verify-disks"]),
            *(["--debug"] if found.debug else []),
        ],
        "timer": found.schedule.model_dump(exclude_unset=True, exclude_none=True),
        "autostart": table.autostart and found.autostart,
    }


def _cleaner_keys(table: GanetiTable) -> Iterator[dict[str, object]]:
    found = table.cleaner
    times = (found.master_schedule, found.node_schedule)
    for name, schedule in zip(_CLEANERS, times, strict=True):
        part = name.rsplit("-", 1)[1]
        yield {
            **_job_keys(table, found.ganeti),
            **account_keys(name, split=are_split(table.accounts)),
            "command": [program("ganeti-cleaner", found.ganeti or table.ganeti), part],
            "prepare": [helper("ensure-dirs", found.ganeti or table.ganeti)],
            "timer": schedule.model_dump(exclude_unset=True, exclude_none=True),
            "autostart": table.autostart and found.autostart,
        }


def _bound(table: TlsTable) -> str | None:
    """Return the one address where a daemon listens; None if it is any, or not known."""
    return None if table.listens_at in (ANY, "::", None) else table.listens_at


def _problems(table: GanetiTable) -> Iterator[Fault]:
    for short in ("noded", "rapi"):
        found: TlsTable = getattr(table, short)
        if found.interface is not None and "address" in found.model_fields_set:
            text = "does not go with interface: Ganeti takes one of them; leave one out"
            yield (short, "address"), text
    taken: dict[int, str] = {}
    for short in ("noded", "rapi", "mond", "metad"):
        found = getattr(table, short)
        if not found.autostart:
            continue
        port = found.port
        if port in taken:
            yield (short, "port"), f"{port} is the port of [ganeti.{taken[port]}] already"
        taken.setdefault(port, short)


def _warnings(table: GanetiTable) -> Iterator[Fault]:
    for short in ("wconfd", "luxid"):
        if getattr(table, short).no_voting:
            text = (
                "starts without asking the other nodes who is master: two masters at a time destroy"
            )
            yield (short, "no_voting"), f"{text} the cluster's configuration; only for an emergency"
    for short in ("noded", "rapi"):
        if not getattr(table, short).ssl:
            yield (short, "ssl"), "without TLS anybody on the way can read along and command"
    for short in ("confd", "rapi"):
        why_not = why_not_asked(short, split=are_split(table.accounts))
        if getattr(table, short).health and why_not is not None:
            yield (short, "health"), why_not
    yield from _rapi_warnings(table)


def _rapi_warnings(table: GanetiTable) -> Iterator[Fault]:
    rapi = table.rapi
    is_local = ip_address(rapi.listens_at or ANY).is_loopback
    if rapi.autostart and not rapi.require_authentication and not is_local:
        text = "whoever reaches the remote API reads all about the cluster without a password"
        yield ("rapi",), f'{text}: say require_authentication = true, or address = "127.0.0.1"'
    if rapi.interface is not None and table.watcher.rapi_ip is None and table.watcher.autostart:
        text = "the watcher looks for rapi at 127.0.0.1 and restarts it each time it is not there"
        yield ("rapi", "interface"), f"{text}: say watcher.rapi_ip"


def _host_faults(table: GanetiTable) -> Iterator[Fault]:
    if table.accounts == "debian":
        for name in missing_accounts():
            yield ("accounts",), f"there is no user or group {name} here, which Debian's build has"
    ensure = helper("ensure-dirs", table.ganeti)
    if not Path(ensure).exists():
        yield ("ganeti",), f"there is no {ensure}; install ganeti, or name the prefix of its build"


def _remarks(table: GanetiTable, control: str) -> Mapping[Name, Remark]:
    """Return the node's role, and why what belongs on the master does not run on another node."""
    found = standing(Path(LIBRARY))
    remarks = {Name(UNIT): Remark(str(found), tuple(_util_warnings(table, control)))}
    if found.role not in (Role.MASTER, Role.NONE):
        text = f"not the master; {found.master} is"
        remarks |= {Name(name): Remark(text) for name in _OF_MASTER}
    return remarks


def _in_util(table: GanetiTable) -> dict[str, str]:
    """Return what daemon-util has to know beside the control socket."""
    return {
        "ssh": table.ssh or "",
        "certificate": table.noded.ssl_cert,
        "programs": str(PurePosixPath(table.ganeti or "/usr", "sbin")),
    }


def _util_warnings(table: GanetiTable, control: str) -> Iterator[str]:
    path = Path(helper("daemon-util", table.ganeti))
    try:
        is_ours = is_installed(path, rendering(control, **_in_util(table)))
    except (OSError, VirtsupdError) as error:
        yield f"whether {path} is virtsupd's cannot be told: {in_one_line(error)}"
        return
    if not is_ours:
        text = f"{path} is not virtsupd's: Ganeti's tools would start daemons beside it"
        yield f"{text}; virtsupctl install-daemon-util ganeti"


GANETI = KindParts(GanetiTable, build)

"""Scheduled jobs beyond the configuration: kept in the state directory, and part of every graph.

One file, `scheduled.json`, holds a table for each job, as of `[service.NAME]`. A job leaves it when its
service vanishes: it has run, or somebody took it back. Should virtsupd die before that is written, the
next one sees that its time is past, or that it was stopped.
"""

import json
from collections.abc import Collection, Mapping
from typing import Any

import structlog

from virtsupd.config.load import Loaded
from virtsupd.config.scheduled import next_moment, scheduled_job
from virtsupd.control.backend import JobOrder
from virtsupd.core.graph import ServiceGraph
from virtsupd.core.names import RESERVED, Name, parse_name
from virtsupd.core.spec import ServiceSpec
from virtsupd.errors import ActionError, ConfigError
from virtsupd.process.store import StateFiles

log = structlog.get_logger()

_FILE = "scheduled.json"
_VERSION = 1
_PREFIX = "timer-"


class Scheduled:
    """The jobs that were scheduled and may not have run yet."""

    def __init__(self, files: StateFiles) -> None:
        """Read what is scheduled; a file that cannot be used is logged, and nothing is."""
        self._files = files
        self._tables: dict[Name, Mapping[str, Any]] = {}
        try:
            self._tables = _read(files)
        except FileNotFoundError:
            pass
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            place = files.place(_FILE)
            log.warning("what was scheduled is not known", file=place, reason=str(error))

    def graph(self, loaded: Loaded, present: Collection[str] | None = None) -> ServiceGraph:
        """Return the configuration's services with the scheduled jobs: all, or those `present`.

        A job whose name the configuration takes, or that cannot be any more, is left out.
        """
        jobs = []
        for name, table in self._tables.items():
            if name not in loaded.graph.canonical and (present is None or name in present):
                try:
                    jobs.append(scheduled_job(name, table, loaded.host))
                except ConfigError as error:
                    log.warning("scheduled job dropped", service=name, reason=str(error))
        return _joined(loaded, jobs)

    def add(
        self, order: JobOrder, loaded: Loaded, present: ServiceGraph, *, now: float, who: str
    ) -> ServiceSpec:
        """Write down another job, and return its service; the names of `present` are taken.

        Raises:
            ActionError: it cannot be, or could not be written; nothing has changed.
        """
        name = _name(order, loaded, present)
        try:
            when = next_moment(order.at, now)
            table = {
                "description": f"scheduled by {who}",
                **order.table,
                "command": list(order.command),
                "timer": {"calendar": when},
            }
            spec = scheduled_job(name, table, loaded.host)
        except (ConfigError, ValueError) as error:
            raise ActionError(f"cannot schedule {name}: {error}") from error
        try:
            self._write({**self._tables, name: table})
        except OSError as error:
            place = self._files.place(_FILE)
            raise ActionError(f"cannot write {place}: {error.strerror}") from error
        return spec

    def forget(self, name: Name) -> None:
        """Strike out a job, if it is one; a failure to write is logged, and made good for with the next."""
        if name not in self._tables:
            return
        left = {other: table for other, table in self._tables.items() if other != name}
        try:
            self._write(left)
        except OSError as error:
            self._tables = left
            reason = f"{self._files.place(_FILE)}: {error.strerror}"
            log.warning("scheduled job could not be struck out", service=name, reason=reason)

    def _write(self, tables: dict[Name, Mapping[str, Any]]) -> None:
        text = json.dumps({"version": _VERSION, "services": tables}, indent=1) + "\n"
        self._files.write(_FILE, text.encode(), is_lasting=True)
        self._tables = tables


def _read(files: StateFiles) -> dict[Name, Mapping[str, Any]]:
    content = json.loads(files.read(_FILE))
    if content["version"] != _VERSION:
        raise ValueError(f"version {content['version']!r} is not {_VERSION}")
    return {parse_name(name): dict(table) for name, table in content["services"].items()}


def _joined(loaded: Loaded, jobs: Collection[ServiceSpec]) -> ServiceGraph:
    return (
        ServiceGraph.build((*loaded.specs, *jobs), absent=loaded.absent) if jobs else loaded.graph
    )


def _name(order: JobOrder, loaded: Loaded, present: ServiceGraph) -> Name:
    """Return the name that was asked for, or the first that is free.

    Raises:
        ActionError: it is none, or is taken.
    """
    taken = {*present.canonical, *loaded.graph.canonical, *loaded.absent, *RESERVED}
    if not order.name:
        number = next(n for n in range(1, len(taken) + 2) if f"{_PREFIX}{n}" not in taken)
        return Name(f"{_PREFIX}{number}")
    try:
        name = parse_name(order.name)
    except ValueError as error:
        raise ActionError(f"cannot schedule {order.name!r}: {error}") from error
    if name in taken:
        raise ActionError(f"cannot schedule {name}: there is a service of that name")
    return name

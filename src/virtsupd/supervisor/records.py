"""What a successor has to know of the services: one small file for each that has a past.

It holds the state of the service as the engine keeps it (`image`) and, while processes of a start
may be there, where they are (`record`). The start is recorded before the spawn, so that no process
can exist of which no record tells; its leader is added right after. What the engine keeps is
written before anything later is done or answered: `flush` belongs before each effect that somebody
could notice.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import structlog

from virtsupd.core.names import Name, file_name
from virtsupd.core.service import Service
from virtsupd.core.spec import ServiceSpec, StopMode
from virtsupd.process.lives import Life
from virtsupd.process.store import Store
from virtsupd.supervisor.image import image, service_of
from virtsupd.supervisor.record import Record, record_content, record_of

log = structlog.get_logger()

VERSION = 2
"""Of the files. Another one of this epoch is not read: its services are not known, nor started beside."""

_encoded = json.JSONEncoder(separators=(",", ":")).encode


@dataclass(slots=True)
class _Entry:
    service: Service | None = None
    record: Record | None = None


class Records:
    """The files of all services, read once and written whenever they changed."""

    def __init__(self, store: Store, epoch: str) -> None:
        """Read what a predecessor left; what belongs to another epoch is void and removed."""
        self._store = store
        self._epoch = epoch
        self._entries: dict[Name, _Entry] = {}
        self._unwritten: dict[Name, None] = {}
        self._unread: set[str] = set()
        """Files of this epoch that we cannot read. They stay until their service starts."""
        self.trouble: str | None = None
        """Why a successor would not know how things stand."""
        for file in store.names():
            self._load(file)

    def kept(self) -> Mapping[Name, Service]:
        """Return the services as they were last kept, for the engine. Their specs are bare names."""
        return {
            name: entry.service
            for name, entry in self._entries.items()
            if entry.service is not None
        }

    def record(self, name: Name) -> Record | None:
        """Return where the processes of a service are; None if there should be none."""
        entry = self._entries.get(name)
        return entry.record if entry is not None else None

    def is_unread(self, name: Name) -> bool:
        """Whether a file of the service is there that cannot be read: it may have processes."""
        file = file_name(name)
        return file in self._unread and file in self._store.names()

    def keep(self, name: Name, service: Service) -> None:
        """Take the state of a service; `flush`, or the begin of its next start, writes it."""
        self._entry(name).service = service
        self._unwritten[name] = None

    def begin(self, name: Name, record: Record) -> None:
        """Write down that a process is about to be made; a file that could not be read is replaced.

        Raises:
            OSError: it could not be written. It is tried again by each `flush`, unless `end` says
                that no process was made.
        """
        self._unread.discard(file_name(name))
        self._entry(name).record = record
        self._unwritten[name] = None
        self._write(name)

    def note(self, name: Name, leader: Life | None, group: int, *, is_settled: bool = True) -> None:
        """Add the leader of a service, to be written by `flush`; unsettled, it is a first process.

        Of a process that is reaped by now only its begin stays recorded: what it left may live.
        """
        record = self.record(name)
        if leader is not None and record is not None:
            found = replace(record, leader=leader, group=group, is_settled=is_settled)
            self._change(name, found)

    def suspect(self, name: Name, lives: tuple[Life, ...]) -> None:
        """Note who may be left of a service, though its start is over."""
        record = self.record(name)
        if record is not None:
            self._change(name, replace(record, suspects=lives))

    def end(self, name: Name) -> None:
        """Note that nothing is left of a service's last start."""
        if self.record(name) is not None:
            self._change(name, None)

    def move(self, name: Name, heir: Name) -> None:
        """Let a service that was renamed go on under its new name."""
        self._entries[heir] = self._entries.pop(name)
        self._unwritten.pop(name, None)
        self._unwritten[heir] = None
        self.flush()
        if heir not in self._unwritten:
            self._store.remove(file_name(name))

    def forget(self, name: Name) -> None:
        """Remove all that is known of a service that left the graph."""
        if self._entries.pop(name, None) is not None:
            self._unwritten.pop(name, None)
            if file_name(name) not in self._unread:
                self._store.remove(file_name(name))

    def flush(self) -> None:
        """Write what changed. What cannot be written is logged and tried again at the next flush."""
        if not self._unwritten and self.trouble is None:
            return
        trouble = None
        for name in tuple(self._unwritten):
            if file_name(name) in self._unread:
                continue
            try:
                self._write(name)
            except OSError as error:
                trouble = f"the state of services could not be written down: {error.strerror}"
                if self.trouble is None:
                    log.warning("service could not be recorded", service=name, reason=str(error))
                self.trouble = trouble
        self.trouble = trouble

    def clear(self) -> None:
        """After a shutdown, remove the files of services of which nothing is left."""
        self.flush()
        for name, entry in list(self._entries.items()):
            if entry.record is None or not entry.record.pids(StopMode.GROUP):
                self.forget(name)

    def _entry(self, name: Name) -> _Entry:
        return self._entries.setdefault(name, _Entry())

    def _change(self, name: Name, record: Record | None) -> None:
        self._entries[name].record = record
        self._unwritten[name] = None

    def _write(self, name: Name) -> None:
        entry = self._entries[name]
        content: dict[str, Any] = {"version": VERSION, "epoch": self._epoch, "name": name}
        if entry.service is not None:
            content["service"] = image(entry.service)
        if entry.record is not None:
            content["start"] = record_content(entry.record)
        self._store.write(file_name(name), _encoded(content).encode())
        self._unwritten.pop(name, None)

    def _load(self, file: str) -> None:
        try:
            content = json.loads(self._store.read(file))
            if content["epoch"] != self._epoch:
                self._store.remove(file)
            else:
                self._entries[_name_in(content, file)] = _entry_of(content)
        except (OSError, ValueError, KeyError, TypeError) as error:
            self._unread.add(file)
            log.warning("record of a service cannot be used", file=file, reason=repr(error))


def _name_in(content: Mapping[str, Any], file: str) -> Name:
    """Return whose record it is.

    Raises:
        ValueError: it is of another version, or not of whom the file says.
    """
    if content["version"] != VERSION:
        raise ValueError(f"it is of version {content['version']}, not {VERSION}")
    name = Name(str(content["name"]))
    if file_name(name) != file:
        raise ValueError(f"it is of {name}")
    return name


def _entry_of(content: Mapping[str, Any]) -> _Entry:
    name, service, start = Name(content["name"]), content.get("service"), content.get("start")
    return _Entry(
        service_of(ServiceSpec(name, (name,)), service) if service is not None else None,
        record_of(start, content["epoch"]) if start is not None else None,
    )

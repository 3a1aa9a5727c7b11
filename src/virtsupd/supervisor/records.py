"""What a successor has to know of the processes that run: one small file for each service.

A record is begun before the spawn, so that no process can exist of which none tells: it names the
cgroup to look into. Right after the spawn the leader is added, and the record is removed when
nothing of the service is left. Today it keeps a later virtsupd from starting a service twice.
"""

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import structlog

from virtsupd.core.names import Name, file_name
from virtsupd.core.spec import StopMode
from virtsupd.errors import SpawnError
from virtsupd.process.cgroup import Cgroup
from virtsupd.process.files import BLOCK_BYTES, make_directory, write_atomically, write_block
from virtsupd.process.holders import program_of
from virtsupd.process.lives import Life, epoch, group_lives, is_alive, life_of

log = structlog.get_logger()

_VERSION = 1
_SHOWN = 10
"""Pids named in a message."""


@dataclass(frozen=True, slots=True)
class Record:
    """One start of a service, as far as it is known. Pids and times are those of `epoch`."""

    epoch: str
    generation: int
    cgroup: Path | None
    before: tuple[int, ...] = ()
    """Pids that were in the cgroup before the start: guests or jobs of an earlier one."""
    leader: Life | None = None
    """None from before the spawn until it is known for certain."""
    group: int = 0
    """Its process group; 0: none is known."""
    suspects: tuple[Life, ...] = ()
    """What may be its own, left by a start that failed where no cgroup tells."""

    def pids(self, mode: StopMode) -> tuple[int, ...]:
        """Return the processes that a start under this stop mode must not be made beside.

        Under `process` the leader counts, under `group` its group too, under `cgroup` everything.
        While the leader is not known, all that was born in the cgroup since does.
        """
        if self.epoch != epoch():
            return ()
        found = {life.pid for life in self.suspects if is_alive(life)}
        if self.leader is not None and is_alive(self.leader):
            found.add(self.leader.pid)
        if mode is not StopMode.PROCESS:
            found.update(self._group_pids())
        if mode is StopMode.CGROUP:
            found.update(self._cgroup_pids())
        elif self.leader is None:
            found.update(set(self._cgroup_pids()) - set(self.before))
        return tuple(sorted(found))

    def _cgroup_pids(self) -> tuple[int, ...]:
        return Cgroup(self.cgroup).pids() if self.cgroup is not None else ()

    def _group_pids(self) -> tuple[int, ...]:
        """Return the living members of the group, unless its number is somebody else's by now."""
        if self.leader is None or not self.group:
            return ()
        lives = group_lives(self.group)
        first = next((life for life in lives if life.pid == self.group), None)
        is_used_again = first is not None and first.started > self.leader.started
        return () if is_used_again else tuple(life.pid for life in lives)


class Records:
    """The directory of records; a file that is no record says nothing."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._records: dict[Name, Record] = {}
        """Of the starts of this virtsupd."""
        self._spent: set[Name] = set()
        """Forgotten ones whose file is still there: a respawn overwrites it, `sweep` removes it."""

    def begin(
        self, name: Name, generation: int, cgroup: Cgroup | None, before: Sequence[int] = ()
    ) -> None:
        """Write down that a process is about to be made; `before` is who is in its cgroup already.

        Raises:
            OSError: it could not be written; what was recorded before stays.
        """
        make_directory(self._directory, mode=0o700)
        self._spent.discard(name)
        path = cgroup.path if cgroup is not None else None
        self._write(name, Record(epoch(), generation, path, tuple(before)))

    def note(self, name: Name, pid: int, group: int) -> None:
        """Add the leader of a service. What cannot be written is logged: the service runs.

        Of a process that has ended by now only its begin stays recorded: what it left may live.
        """
        leader, record = life_of(pid), self._records.get(name)
        if leader is not None and record is not None:
            self._write_or_log(name, replace(record, leader=leader, group=group))

    def suspect(self, name: Name, lives: Sequence[Life]) -> None:
        """Write down who may be left of a service, though its start is over."""
        record = self._records.get(name)
        if record is not None:
            self._write_or_log(name, replace(record, suspects=tuple(lives)))

    def forget(self, name: Name) -> None:
        """Let the record of a service go of which nothing is left: at the latest `sweep` removes it."""
        self._records.pop(name, None)
        self._spent.add(name)

    def sweep(self) -> None:
        """Remove the records of services that were not started again meanwhile."""
        for name in self._spent:
            with suppress(OSError):
                self._path(name).unlink()
        self._spent.clear()

    def read(self, name: Name) -> Record | None:
        """Return what was written last; None if nothing was, or nothing that can be read."""
        return None if name in self._spent else _read(self._path(name))

    def clear(self) -> None:
        """Remove the records of processes that have ended, and the directory if none is left."""
        self.sweep()
        with suppress(OSError):
            for path in self._directory.iterdir():
                record = _read(path)
                if record is None or not record.pids(StopMode.GROUP):
                    path.unlink()
            self._directory.rmdir()

    def refuse_leftovers(self, name: Name, mode: StopMode, groups: Sequence[Cgroup]) -> None:
        """Refuse to start a service beside processes of its own that an earlier start left.

        `groups` are its cgroups below ours; the record may name another one, since virtsupd may
        have been started elsewhere. Under stop mode `process` only the leader counts, under `group`
        its group: what else lives in the cgroup are guests or jobs that outlive their service by
        design.

        Raises:
            SpawnError: stage "leftovers", with their pids and how to end them. Permanent: nothing
                changes before somebody acts.
        """
        record = self.read(name)
        if mode is StopMode.CGROUP:
            for path in _places(groups, record):
                pids = Cgroup(path).pids()
                if pids:
                    raise _refusal(
                        f"{_listed(pids)} in its cgroup {path}", f"echo 1 > {path}/cgroup.kill"
                    )
        pids = record.pids(mode) if record is not None else ()
        if not pids or record is None:
            return
        if record.suspects:
            named = ", ".join(f"{pid} ({program_of(pid)})" for pid in pids[:_SHOWN])
            who = f"it may have left process {named}, and no cgroup tells"
            raise _refusal(who, f"kill what is its own of {_words(pids)}")
        raise _refusal(_listed(pids), f"kill {_words(pids)}")

    def _write_or_log(self, name: Name, record: Record) -> None:
        try:
            self._write(name, record)
        except OSError as error:
            log.warning("process could not be recorded", service=name, reason=str(error))

    def _write(self, name: Name, record: Record) -> None:
        content = json.dumps(_content(record)).encode()
        if len(content) > BLOCK_BYTES:  # hundreds of jobs were in the cgroup before
            write_atomically(self._path(name), content, mode=0o600)
        else:
            write_block(str(self._path(name)), content)
        self._records[name] = record

    def _path(self, name: Name) -> Path:
        return self._directory / file_name(name)


def _places(groups: Sequence[Cgroup], record: Record | None) -> list[Path]:
    """Return every cgroup that may hold processes of the service, each once."""
    found = dict.fromkeys(group.path for group in groups)
    if record is not None and record.cgroup is not None and record.epoch == epoch():
        found[record.cgroup] = None
    return list(found)


def _listed(pids: Sequence[int]) -> str:
    listed = ", ".join(str(pid) for pid in pids[:_SHOWN]) + (" …" if pids[_SHOWN:] else "")
    if len(pids) > 1:
        return f"processes {listed} of an earlier virtsupd still run"
    return f"process {listed} of an earlier virtsupd still runs"


def _words(pids: Sequence[int]) -> str:
    return " ".join(str(pid) for pid in pids)


def _refusal(who: str, way: str) -> SpawnError:
    return SpawnError("leftovers", f"{who}; end what is left: {way}", is_permanent=True)


def _content(record: Record) -> dict[str, Any]:
    leader = record.leader
    return {
        "version": _VERSION,
        "epoch": record.epoch,
        "generation": record.generation,
        "cgroup": str(record.cgroup) if record.cgroup is not None else None,
        "before": record.before,
        "state": "spawning" if leader is None else "spawned",
        "pid": leader.pid if leader is not None else None,
        "started": leader.started if leader is not None else None,
        "group": record.group,
        "suspects": [[life.pid, life.started] for life in record.suspects],
    }


def _read(path: Path) -> Record | None:
    try:
        content = json.loads(path.read_bytes())
        if content["version"] != _VERSION:
            return None
        return _record(content)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _record(content: dict[str, Any]) -> Record:
    began, cgroup, leader = str(content["epoch"]), content["cgroup"], None
    if content["state"] == "spawned":
        leader = Life(int(content["pid"]), int(content["started"]), began)
    return Record(
        began,
        int(content["generation"]),
        Path(cgroup) if cgroup is not None else None,
        tuple(int(pid) for pid in content["before"]),
        leader,
        int(content["group"]),
        tuple(Life(int(pid), int(started), began) for pid, started in content["suspects"]),
    )

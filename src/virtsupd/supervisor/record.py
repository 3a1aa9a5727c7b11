"""One start of a service, as far as a successor has to know it to find its processes."""

from collections.abc import Mapping
from dataclasses import asdict, field
from pathlib import Path
from typing import Any

from virtsupd.core.frozen import frozen
from virtsupd.core.spec import LogSpec, StopMode
from virtsupd.process.cgroup import Cgroup
from virtsupd.process.lives import Life, group_lives, is_alive, led_group, life_of
from virtsupd.process.marks import mark_of

_NO_LOG = LogSpec("")
_LOG = asdict(_NO_LOG)
"""What is not written, because it is so mostly."""


@frozen
class Record:
    """Where the processes of one start are. Pids and times are those of one epoch."""

    generation: int
    cgroup: Path | None
    before: tuple[int, ...] = ()
    """Pids that were in the cgroup before the start: guests or jobs of an earlier one."""
    began: int = 0
    """Just before its first process was made, in clock ticks from the boot."""
    leader: Life | None = None
    """None from before the spawn until it is known."""
    is_settled: bool = True
    """Whether its leader is the service, not the first process of one that goes into the background."""
    group: int = 0
    """Its process group; 0: none is known."""
    uid: int = 0
    log: LogSpec = field(default_factory=lambda: LogSpec(""))
    """Where its output goes: as it was configured at its start."""
    log_offset: int = 0
    """Where its own output begins in the log file, in bytes."""
    mark: str = ""
    """What the environment of its processes says of whose they are (`process.marks`)."""
    suspects: tuple[Life, ...] = ()
    """What may be its own, left by a start that failed where no cgroup tells."""

    def pids(self, mode: StopMode) -> tuple[int, ...]:
        """Return the processes that a start under this stop mode must not be made beside.

        Under `process` the leader counts, under `group` its group too, under `cgroup` everything.
        While the leader is not known, all that was born in the cgroup since does.
        """
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

    def own_group(self) -> int:
        """Return its group as long as that number cannot be somebody else's; else 0.

        While the leader lives in it the number is taken. Later it may be that of a session whose
        own first process has ended: it is ours if one of its members is in our cgroup or, where
        there is none, has our mark.
        """
        leader = self.leader
        if leader is None or not self.group:
            return 0
        if is_alive(leader) and led_group(leader.pid) == self.group:
            return self.group
        first = life_of(self.group)
        if first is not None and first.started > leader.started:
            return 0
        members = group_lives(self.group)
        return self.group if any(self._is_ours(life.pid) for life in members) else 0

    def _is_ours(self, pid: int) -> bool:
        if self.cgroup is not None:
            return Cgroup(self.cgroup).contains(pid)
        return self.mark != "" and mark_of(pid) == self.mark

    def _cgroup_pids(self) -> tuple[int, ...]:
        return Cgroup(self.cgroup).pids() if self.cgroup is not None else ()

    def _group_pids(self) -> tuple[int, ...]:
        """Return the living members of the group, unless its number is somebody else's by now."""
        return tuple(life.pid for life in group_lives(self.own_group()))


def record_content(record: Record) -> dict[str, Any]:
    """Return a record as JSON; the epoch of its pids is the file's."""
    leader = record.leader
    return {
        "generation": record.generation,
        "cgroup": str(record.cgroup) if record.cgroup is not None else None,
        "before": record.before,
        "began": record.began,
        "leader": [leader.pid, leader.started] if leader is not None else None,
        "settled": record.is_settled,
        "group": record.group,
        "uid": record.uid,
        "log": _log_content(record.log) if record.log != _NO_LOG else {},
        "log_offset": record.log_offset,
        "mark": record.mark,
        "suspects": [[life.pid, life.started] for life in record.suspects],
    }


def _log_content(log: LogSpec) -> dict[str, Any]:
    found = {key: getattr(log, key) for key in _LOG}
    return {key: value for key, value in found.items() if value != _LOG[key]}


def record_of(content: Mapping[str, Any], epoch: str) -> Record:
    """Return the record that JSON shows.

    Raises:
        KeyError, TypeError, ValueError: it is not one.
    """
    cgroup, leader = content["cgroup"], content["leader"]
    return Record(
        generation=int(content["generation"]),
        cgroup=Path(cgroup) if cgroup is not None else None,
        before=tuple(int(pid) for pid in content["before"]),
        began=int(content["began"]),
        leader=_life(leader, epoch) if leader is not None else None,
        is_settled=bool(content["settled"]),
        group=int(content["group"]),
        uid=int(content["uid"]),
        log=LogSpec(**{key: content["log"].get(key, plain) for key, plain in _LOG.items()}),
        log_offset=int(content["log_offset"]),
        mark=str(content.get("mark", "")),
        suspects=tuple(_life(life, epoch) for life in content["suspects"]),
    )


def _life(content: list[int], epoch: str) -> Life:
    pid, started = content
    return Life(int(pid), int(started), epoch)

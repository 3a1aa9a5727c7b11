"""What a successor has to know of the processes that run: one small file for each service.

A record is written right after the spawn and removed when nothing of the service is left. Today it
keeps a later virtsupd from starting a service twice.
"""

import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import structlog

from virtsupd.core.names import Name, file_name
from virtsupd.core.spec import StopMode
from virtsupd.errors import SpawnError
from virtsupd.process.cgroup import Cgroup
from virtsupd.process.files import make_directory, write_atomically
from virtsupd.process.lives import Life, epoch, group_lives, is_alive, life_of

log = structlog.get_logger()

_VERSION = 1
_SHOWN = 10
"""Pids named in a message."""


@dataclass(frozen=True, slots=True)
class Record:
    """The process a service was last seen with."""

    leader: Life
    group: int
    """Its process group."""


class Records:
    """The directory of records; a file that is no record says nothing."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def note(self, name: Name, pid: int, group: int) -> None:
        """Write down the leader of a service. What cannot be written is logged: the service runs.

        A process that has ended by now needs no record: one of an earlier start is removed.
        """
        leader = life_of(pid)
        if leader is None:
            self.forget(name)
            return
        content = {
            "version": _VERSION,
            "pid": leader.pid,
            "started": leader.started,
            "epoch": leader.epoch,
            "group": group,
        }
        try:
            make_directory(self._directory, mode=0o700)
            write_atomically(self._path(name), json.dumps(content).encode(), mode=0o600)
        except OSError as error:
            log.warning("process could not be recorded", service=name, reason=str(error))

    def forget(self, name: Name) -> None:
        """Remove the record of a service of which nothing is left."""
        with suppress(OSError):
            self._path(name).unlink()

    def read(self, name: Name) -> Record | None:
        """Return what was written last; None if nothing was, or nothing that can be read."""
        return _read(self._path(name))

    def clear(self) -> None:
        """Remove the records of processes that have ended, and the directory if none is left."""
        with suppress(OSError):
            for path in self._directory.iterdir():
                record = _read(path)
                if record is None or not _lives(record):
                    path.unlink()
            self._directory.rmdir()

    def refuse_leftovers(self, name: Name, mode: StopMode, cgroup: Cgroup | None) -> None:
        """Refuse to start a service beside processes of its own that an earlier virtsupd left.

        Under stop mode `process` only the leader counts, under `group` its group: what else lives in
        the cgroup are guests or jobs that outlive their service by design.

        Raises:
            SpawnError: stage "leftovers", with their pids and how to end them. Permanent: nothing
                changes before somebody acts.
        """
        if cgroup is not None and mode is StopMode.CGROUP:
            pids = cgroup.pids()
        else:
            pids = self._recorded(name, mode)
        if not pids:
            return
        listed = ", ".join(str(pid) for pid in pids[:_SHOWN]) + (" …" if pids[_SHOWN:] else "")
        who = f"process {listed} of an earlier virtsupd still runs"
        if len(pids) > 1:
            who = f"processes {listed} of an earlier virtsupd still run"
        way = f"kill {' '.join(str(pid) for pid in pids)}"
        if cgroup is not None and mode is StopMode.CGROUP:
            who += f" in its cgroup {cgroup.path}"
            way = f"echo 1 > {cgroup.path}/cgroup.kill"
        message = f"{who}; end what is left: {way}"
        raise SpawnError("leftovers", message, is_permanent=True)

    def _recorded(self, name: Name, mode: StopMode) -> tuple[int, ...]:
        record = self.read(name)
        if record is None or record.leader.epoch != epoch():
            return ()
        leader = (record.leader.pid,) if is_alive(record.leader) else ()
        if mode is StopMode.PROCESS:
            return leader
        return tuple(sorted({*leader, *_group_pids(record)}))

    def _path(self, name: Name) -> Path:
        return self._directory / file_name(name)


def _read(path: Path) -> Record | None:
    try:
        content = json.loads(path.read_bytes())
        if content["version"] != _VERSION:
            return None
        leader = Life(int(content["pid"]), int(content["started"]), str(content["epoch"]))
        return Record(leader, int(content["group"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _lives(record: Record) -> bool:
    if record.leader.epoch != epoch():
        return False
    return is_alive(record.leader) or bool(_group_pids(record))


def _group_pids(record: Record) -> tuple[int, ...]:
    """Return the living members of the recorded group, unless its number is somebody else's by now."""
    lives = group_lives(record.group)
    first = next((life for life in lives if life.pid == record.group), None)
    is_used_again = first is not None and first.started > record.leader.started
    return () if is_used_again else tuple(life.pid for life in lives)

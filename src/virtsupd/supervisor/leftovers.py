"""What is left of a service that nobody could take over: never started beside, never ended unasked.

A process is taken over by its record. Where that is missing, unreadable or of another version, and
where only suspects are known, a start is refused instead: nothing is doubled.
"""

from collections.abc import Sequence
from pathlib import Path

from virtsupd.core.spec import StopMode
from virtsupd.errors import SpawnError
from virtsupd.process.cgroup import Cgroup
from virtsupd.process.holders import program_of
from virtsupd.supervisor.record import Record

_SHOWN = 10
"""Pids named in a message."""


def refuse_leftovers(record: Record | None, mode: StopMode, groups: Sequence[Cgroup]) -> None:
    """Refuse to start a service beside processes of its own that an earlier start left.

    `groups` are its cgroups below ours; the record may name another one, since virtsupd may
    have been started elsewhere. Under stop mode `process` only the leader counts, under `group`
    its group: what else lives in the cgroup are guests or jobs that outlive their service by
    design.

    Raises:
        SpawnError: stage "leftovers", with their pids and how to end them. Permanent: nothing
            changes before somebody acts.
    """
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


def _places(groups: Sequence[Cgroup], record: Record | None) -> list[Path]:
    """Return every cgroup that may hold processes of the service, each once."""
    found = dict.fromkeys(group.path for group in groups)
    if record is not None and record.cgroup is not None:
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

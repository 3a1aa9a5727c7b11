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
from virtsupd.process.survivors import leader_by_output
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
                    f"{_that_run(pids)} in its cgroup {path}", f"echo 1 > {path}/cgroup.kill"
                )
    pids = record.pids(mode) if record is not None else ()
    if not pids or record is None:
        return
    if record.suspects:
        named = ", ".join(f"{pid} ({program_of(pid)})" for pid in pids[:_SHOWN])
        who = f"it may have left process {named}, and no cgroup tells"
        raise _refusal(who, f"kill what is its own of {_words(pids)}")
    raise _refusal(_that_run(pids), f"kill {_words(pids)}")


def refuse_unread(file: Path, groups: Sequence[Cgroup], fifo: Path) -> None:
    """Refuse to start a service whose record cannot be read beside what may be its processes.

    Those are all in its cgroups and, where there are none, the one that has its FIFO as output.

    Raises:
        SpawnError: stage "leftovers", permanent, as `refuse_leftovers`.
        PermissionError: there is none such, except perhaps among those that we may not look at.
    """
    pids = [pid for group in groups for pid in group.pids()]
    writer = leader_by_output(fifo, since=0) if not groups else None
    if writer is not None:
        pids = [writer.pid]
    if pids:
        who = f"its record {file} cannot be read, and it may have left {_listed(pids)}"
        way = f"kill what is its own of {_words(pids)}; if nothing is, remove the record"
        raise _refusal(who, f"{way}; then start it")


def _places(groups: Sequence[Cgroup], record: Record | None) -> list[Path]:
    """Return every cgroup that may hold processes of the service, each once."""
    found = dict.fromkeys(group.path for group in groups)
    if record is not None and record.cgroup is not None:
        found[record.cgroup] = None
    return list(found)


def _listed(pids: Sequence[int]) -> str:
    listed = ", ".join(str(pid) for pid in pids[:_SHOWN]) + (" …" if pids[_SHOWN:] else "")
    return f"{'processes' if len(pids) > 1 else 'process'} {listed}"


def _that_run(pids: Sequence[int]) -> str:
    return f"{_listed(pids)} of an earlier virtsupd still run{'' if len(pids) > 1 else 's'}"


def _words(pids: Sequence[int]) -> str:
    return " ".join(str(pid) for pid in pids)


def _refusal(who: str, way: str) -> SpawnError:
    return SpawnError("leftovers", f"{who}; end what is left: {way}", is_permanent=True)

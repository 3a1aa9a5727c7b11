"""The first process of a start after whose spawn nothing could be recorded: virtsupd was killed."""

from pathlib import Path

from virtsupd.process.lives import Life, all_pids
from virtsupd.process.marks import first_with
from virtsupd.process.survivors import leader_by_output, leader_in
from virtsupd.supervisor.record import Record
from virtsupd.supervisor.runs import Run


def unrecorded_leader(run: Run, record: Record, fifo: Path) -> Life | None:
    """Return the first process by its mark; if that was overwritten, by its cgroup and output.

    `fifo` is what it was given as output.

    Raises:
        PermissionError: there is none, except perhaps among those that are hidden from us.
    """
    marked = _marked(run)
    if marked is not None:
        return marked
    if run.cgroup is None:
        return leader_by_output(fifo, since=record.began)
    found = leader_in(run.cgroup, before=record.before)
    if found is not None and not run.has_own_cgroup and run.process.log.file:
        # A guest that it made in that moment leads a session too, but prints elsewhere.
        return found if leader_by_output(fifo, since=record.began) == found else None
    return found


def _marked(run: Run) -> Life | None:
    """Return the first process by its mark; another user's may have copied it."""
    if not run.mark:
        return None
    pids = run.cgroup.pids() if run.cgroup is not None else all_pids()
    return first_with(run.mark, pids, since=run.began, user=run.uid)

"""Finding the processes that a virtsupd before us started, and making sure that it is them.

A pid that was written down may be another process's by now, and one that was just read may become
so before it is used. So a process is held by a pidfd first and looked at afterwards, and what is
found by looking counts only if the same process is still there after the look.
"""

import errno
import os
import select
import stat
import time
from collections.abc import Callable, Collection, Iterable
from pathlib import Path

from virtsupd.core.exits import ExitStatus
from virtsupd.process.cgroup import Cgroup
from virtsupd.process.lives import (
    Life,
    all_pids,
    began_at,
    descends_from,
    epoch,
    led_session,
    zombie_status,
)

_NANOSECONDS = 10**9
_NOT_A_PROCESS = (errno.ESRCH, errno.EINVAL, errno.ENOENT)
"""What pidfd_open(2) says of a pid that is nobody's, impossible, or a mere thread's."""


def hold(life: Life) -> int | None:
    """Return a pidfd of just that process, for the caller to close; None if it has ended.

    Raises:
        OSError: no descriptor is left, or the like. It says nothing of the process, which must not
            be taken for ended.
    """
    pidfd = _opened(life)
    if pidfd is None or not _has_ended(pidfd):
        return pidfd
    os.close(pidfd)
    return None


def ended_with(life: Life) -> ExitStatus:
    """Return how a process ended that nobody has reaped yet; unknown if it cannot be told (any more).

    For one that `hold` does not find: where PID 1 reaps late or never, its zombie is still there.

    Raises:
        OSError: as by `hold`.
    """
    pidfd = _opened(life)
    if pidfd is None:
        return ExitStatus()
    try:
        status = zombie_status(life.pid)
        return status if status is not None and began_at(life.pid) == life.started else ExitStatus()
    finally:
        os.close(pidfd)


def leader_in(cgroup: Cgroup, *, before: Collection[int] = ()) -> Life | None:
    """Return the first process of the service in a cgroup: its oldest one that leads a session.

    Those in `before` were there earlier than the service and are left out. None if there is none.
    If the first process has ended, one that it left and that began a session is taken for it.
    """
    # A process of another pid namespace is listed as 0, which is nobody's directory in /proc.
    return _oldest((pid for pid in cgroup.pids() if pid not in before), cgroup.contains)


def leader_by_output(fifo: Path, *, since: int) -> Life | None:
    """Return the first process of a service by its output, for a host without cgroups.

    That is the oldest one, started at `since` (see `ticks_now`) or later, that leads a session and
    has the FIFO as its standard output or error. None if there is none, or no such FIFO. As with
    `leader_in`, it may be one that the first process left.

    Raises:
        PermissionError: there is none, except perhaps among those whose descriptors are hidden from
            us: they are other users', and we lack CAP_SYS_PTRACE.
    """
    try:
        status = fifo.stat()
    except FileNotFoundError:
        return None
    if not stat.S_ISFIFO(status.st_mode):
        return None
    hidden: list[int] = []

    def writes_there(pid: int) -> bool:
        try:
            return _has_as_output(pid, fifo.name, status)
        except PermissionError:
            hidden.append(pid)
            return False

    found = _oldest((pid for pid in all_pids() if pid != os.getpid()), writes_there, since)
    if found is None and hidden:
        pids = " ".join(map(str, hidden))
        raise PermissionError(
            errno.EACCES, f"cannot see whether one of them is it: {pids}", str(fifo)
        )
    return found


def ticks_now() -> int:
    """Return the present in clock ticks since the boot, as `Life.started` counts them.

    A process made from now on has started at this number or a later one.
    """
    now = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    return now * os.sysconf("SC_CLK_TCK") // _NANOSECONDS


def _opened(life: Life) -> int | None:
    """Return a pidfd of that process, ended or not; None if it is reaped."""
    if life.epoch != epoch():
        return None
    try:
        pidfd = os.pidfd_open(life.pid)
    except OSError as error:
        if error.errno in _NOT_A_PROCESS:
            return None
        raise
    # If the number had changed hands before it was opened, the start time would be another one.
    if began_at(life.pid) == life.started:
        return pidfd
    os.close(pidfd)
    return None


def _has_ended(pidfd: int) -> bool:
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(0))


def _oldest(pids: Iterable[int], is_its: Callable[[int], bool], since: int = 0) -> Life | None:
    """Return the oldest leader of a session of which `is_its` holds.

    Of those that started in the same tick (10 ms) it is one that descends from no other, then the
    lowest pid.
    """
    lives = [
        life
        for life in map(led_session, pids)
        if life is not None
        and life.started >= since
        and is_its(life.pid)
        and led_session(life.pid) == life
    ]
    first = min((life.started for life in lives), default=0)
    tied = [life for life in lives if life.started == first]
    return min(tied, key=lambda life: (_descends_from_any(life, tied), life.pid), default=None)


def _descends_from_any(life: Life, others: Collection[Life]) -> bool:
    return any(descends_from(life.pid, other.pid) for other in others if other != life)


def _has_as_output(pid: int, name: str, fifo: os.stat_result) -> bool:
    """Whether a process has the FIFO, whose file is called so, as standard output or error.

    Raises:
        PermissionError: we may not see its descriptors.
    """
    for link in (f"/proc/{pid}/fd/1", f"/proc/{pid}/fd/2"):
        # Other files are not looked at: one on a network file system may not answer.
        try:
            target = os.readlink(link).rpartition("/")[2]  # noqa: PTH115 - many processes: no Path for each
            if target == name and os.path.samestat(os.stat(link), fifo):  # noqa: PTH116 - as above
                return True
        except (FileNotFoundError, ProcessLookupError):
            continue
    return False

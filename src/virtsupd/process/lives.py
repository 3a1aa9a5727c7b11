"""Which process a pid meant: a number together with what tells it from a later process.

Pids are used again. A process is known for good by its pid, the time at which it started and the
epoch in which both were counted: a boot of the machine, and a pid namespace in it.
"""

import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from virtsupd.core.exits import ExitStatus, from_wait_status
from virtsupd.core.frozen import frozen

_BOOT_ID = "/proc/sys/kernel/random/boot_id"
_PARENT, _GROUP, _SESSION, _THREADS, _STARTED, _STATUS = 1, 2, 3, 17, 19, 49
"""Places in /proc/PID/stat, counted from the state on."""


@frozen
class Life:
    """One process, and no other that has or had its pid."""

    pid: int
    started: int
    """Clock ticks from the boot to its start."""
    epoch: str


@cache
def epoch() -> str:
    """Return what names this boot and pid namespace: pids of another one mean other processes."""
    boot = Path(_BOOT_ID).read_text(encoding="ascii").strip()
    first = _fields(1)
    began = first[_STARTED] if first is not None else "unknown"
    return f"{boot}:{Path('/proc/self/ns/pid').readlink()}:{began}"


def zombie_status(pid: int) -> ExitStatus | None:
    """Return how a process ended that nobody has reaped yet; None if there is none such, or it is hidden.

    Its status is hidden from who may not trace it: it belongs to another user, and we are not root.
    """
    try:
        fields = stat_fields(pid)
    except PermissionError:  # /proc is mounted with hidepid
        return None
    if fields is None or fields[0] != "Z" or not _is_over(fields):
        return None
    status = int(fields[_STATUS])
    # To who may not see it, the kernel shows 0, which would be success.
    return None if status == 0 and _is_hidden(pid) else from_wait_status(status)


def life_of(pid: int) -> Life | None:
    """Return the life of the process that has this pid now; None if there is none or it has ended."""
    fields = _fields(pid)
    return Life(pid, int(fields[_STARTED]), epoch()) if fields is not None else None


def is_alive(life: Life) -> bool:
    """Whether that very process has not ended yet (a zombie has)."""
    return life_of(life.pid) == life


def descends_from(pid: int, ancestor: int) -> bool:
    """Whether `ancestor` is the process itself, its parent, or a parent of its parents."""
    seen: set[int] = set()
    while pid > 0 and pid not in seen:
        if pid == ancestor:
            return True
        seen.add(pid)
        fields = _fields(pid)
        pid = int(fields[_PARENT]) if fields is not None else 0
    return False


def parent_of(pid: int) -> int | None:
    """Return the pid of a living process's parent; None if there is no such process."""
    fields = _fields(pid)
    return int(fields[_PARENT]) if fields is not None else None


def user_of(pid: int) -> int | None:
    """Return the uid of whom a process runs for (the real one); None if there is no such process."""
    try:
        status = Path(f"/proc/{pid}/status").read_bytes()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return None
    return int(status.partition(b"\nUid:")[2].split(maxsplit=1)[0])


def who_waits_for(pid: int) -> int | None:
    """Return the parent of a process, also of one that has ended; None if it was reaped."""
    fields = stat_fields(pid)
    return int(fields[_PARENT]) if fields is not None else None


def led_group(pid: int) -> int | None:
    """Return the process group of a living process if a session began with it; None otherwise.

    Only such a group belongs to one service for certain.
    """
    fields = _fields(pid)
    if fields is None or fields[_GROUP] != fields[_SESSION]:
        return None
    return int(fields[_GROUP])


def led_session(pid: int) -> Life | None:
    """Return the life of a living process if a session began with it; None otherwise, or if it is hidden."""
    try:
        fields = _fields(pid)
    except PermissionError:  # /proc is mounted with hidepid
        return None
    if fields is None or fields[_SESSION] != str(pid):
        return None
    return Life(pid, int(fields[_STARTED]), epoch())


def began_at(pid: int) -> int | None:
    """Return when the process of this pid began, in clock ticks from the boot, ended or not."""
    fields = stat_fields(pid)
    return int(fields[_STARTED]) if fields is not None else None


def is_member(pid: int, group: int) -> bool:
    """Whether a process is alive and in a group that began a session of its own."""
    fields = _fields(pid)
    return fields is not None and fields[_GROUP] == fields[_SESSION] == str(group)


def children_since(parent: int, started: int) -> tuple[Life, ...]:
    """Return the living children of a process that began at `started` (clock ticks) or later, sorted."""
    found = (life_of(pid) for pid in all_pids() if parent_of(pid) == parent)
    lives = (life for life in found if life is not None and life.started >= started)
    return tuple(sorted(lives, key=lambda life: life.pid))


def group_lives(group: int) -> tuple[Life, ...]:
    """Return the living processes of a group that began a session of its own, sorted by pid.

    Group 0 is the kernel's own threads, and nobody's here.
    """
    if group == 0:
        return ()
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return ()
    except PermissionError:
        pass  # somebody is there who may not be signalled
    found = (life_of(pid) for pid in all_pids() if is_member(pid, group))
    return tuple(sorted((life for life in found if life is not None), key=lambda life: life.pid))


def stat_fields(pid: int) -> list[str] | None:
    """Return /proc/PID/stat from the state on: state, parent, group, session …; None if it is gone.

    A process that has ended and was not reaped yet has some, with the state Z.
    """
    # Neither a Path nor a buffer: every start of a service asks.
    try:
        file = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
        try:
            content = os.read(file, 4096)
        finally:
            os.close(file)
    except (FileNotFoundError, ProcessLookupError):
        return None
    return content.rpartition(b")")[2].decode("ascii").split()


def has_ended(pid: int) -> bool:
    """Whether there is no process of this pid, or one that nobody has reaped yet."""
    return _fields(pid) is None


def all_pids() -> Iterator[int]:
    """Return the pids of all processes that we see, in no order."""
    return (int(name) for name in os.listdir("/proc") if name.isdigit())  # noqa: PTH208  (plain names)


def _fields(pid: int) -> list[str] | None:
    """Return the fields of a process that lives; None for one that is gone or has ended."""
    fields = stat_fields(pid)
    return None if fields is None or _is_over(fields) else fields


def _is_over(fields: list[str]) -> bool:
    """Whether the fields are a dead process's; one lives on when its first thread alone has ended."""
    return fields[0] == "X" or (fields[0] == "Z" and int(fields[_THREADS]) < 2)


def _is_hidden(pid: int) -> bool:
    """Whether we may not trace a process. Of a zombie this link is missing, which says that we may."""
    try:
        os.readlink(f"/proc/{pid}/exe")  # noqa: PTH115 - the error alone is wanted
    except OSError as error:
        return isinstance(error, PermissionError)
    return False

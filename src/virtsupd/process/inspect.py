"""What the process table says of a process: read on request, never sampled.

psutil is imported by the first request: it costs 6 ms, and no service waits for what is shown here.
"""

import contextlib
from collections.abc import Iterable
from typing import TYPE_CHECKING

from virtsupd.core.frozen import frozen

if TYPE_CHECKING:
    import psutil


@frozen
class ProcessFacts:
    """One process at one moment."""

    pid: int
    command: str
    """Its arguments joined by spaces; the kernel's name in brackets where it has none (a zombie)."""
    memory_bytes: int
    """Resident; pages shared with others count fully."""
    cpu_seconds: float
    """User and system time since it began, its waited-for children not included."""


def inspect_processes(pids: Iterable[int]) -> tuple[ProcessFacts, ...]:
    """Return the facts of the processes that still exist, in the order given."""
    import psutil  # noqa: PLC0415 - see above

    found = []
    for pid in pids:
        with contextlib.suppress(psutil.Error):
            found.append(_facts(psutil.Process(pid)))
    return tuple(found)


def descendants(pid: int) -> tuple[int, ...]:
    """Return the pids of a process's children and theirs, sorted: what to show where there is no cgroup.

    One look at the whole process table; orphans have left the family. () if the process is gone.
    """
    import psutil  # noqa: PLC0415 - see above

    try:
        return tuple(sorted(child.pid for child in psutil.Process(pid).children(recursive=True)))
    except psutil.Error:
        return ()


def _facts(process: "psutil.Process") -> ProcessFacts:
    with process.oneshot():
        times = process.cpu_times()
        return ProcessFacts(
            pid=process.pid,
            command=_command(process),
            memory_bytes=process.memory_info().rss,
            cpu_seconds=times.user + times.system,
        )


def _command(process: "psutil.Process") -> str:
    import psutil  # noqa: PLC0415 - see above

    with contextlib.suppress(psutil.ZombieProcess):
        words = process.cmdline()
        if words:
            return " ".join(words)
    return f"[{process.name()}]"

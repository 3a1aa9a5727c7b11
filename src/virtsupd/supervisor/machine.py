"""What the interpreter has done on the host: the port between its bookkeeping and the processes.

One machine is the host (`linux`); the other is the simulated one of the tests. Nothing here waits:
what takes time is begun, and told to a callback. A machine remembers nothing about services that
the interpreter could ask for later, except what a next start uses again.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from virtsupd.core.effects import (
    Adopt,
    AwaitReady,
    Kill,
    RunCleanUp,
    RunPrepare,
    RunReload,
    Spawn,
    Terminate,
    WatchCondition,
    WatchHealth,
)
from virtsupd.core.events import Event
from virtsupd.core.exits import ExitStatus
from virtsupd.core.frozen import frozen
from virtsupd.core.machine import LastWords
from virtsupd.core.names import Name
from virtsupd.core.spec import Stop
from virtsupd.process.lives import Life
from virtsupd.process.plan import Child
from virtsupd.supervisor.record import Record
from virtsupd.supervisor.runs import Run

Post = Callable[[Event], None]
OnExit = Callable[[ExitStatus], None]


@frozen
class Found:
    """What was found of a start that an earlier virtsupd made."""

    run: Run
    """With its leader, if that lives."""
    status: ExitStatus | None = None
    """How the leader ended, if it did."""
    was_heard: bool = False
    """Whether nothing that it said is lost: this process goes on for the program it was before."""


class Machine(Protocol):
    """Makes, watches and ends processes. Everything happens on the event loop's thread."""

    # Starting

    def prepare(self, effect: Spawn) -> tuple[Run, Record]:
        """Choose where the process will be; nothing exists yet but its cgroup.

        Raises:
            SpawnError: it must not or cannot be started; nothing is left.
            OSError: likewise.
        """
        ...

    def spawn(self, run: Run, effect: Spawn) -> Child:
        """Make the process of a prepared run, which has it as its leader then.

        Raises:
            SpawnError: none was made; `discard` is the caller's.
            OSError: likewise.
        """
        ...

    def discard(self, run: Run) -> None:
        """Give back what was made for a run that came to nothing."""
        ...

    def adopt(self, effect: Adopt, record: Record) -> Found | None:
        """Look for what a recorded start made; None: nothing, and nothing can come of it any more.

        Raises:
            PermissionError: we may not look; only while its leader was not recorded.
        """
        ...

    # Watching

    def life(self, pid: int) -> Life | None:
        """Return which process has this pid now, also if it has ended and was not reaped yet."""
        ...

    def watch_exit(self, run: Run, pid: int, on_exit: OnExit) -> None:
        """Call once the process was reaped or, if it is not our child, has ended."""
        ...

    def unwatch_exit(self, run: Run) -> None:
        """Forget the leader's exit, if it is watched."""
        ...

    def take_leader(self, run: Run, pid: int) -> None:
        """Have a run's process group go with the leader that its pid file named."""
        ...

    def is_taken(self, pid: int) -> bool:
        """Whether a process is known to be something else: a leader, a command, the log keeper."""
        ...

    def watch_ready(self, run: Run | None, effect: Spawn | AwaitReady, post: Post) -> None:
        """Post BecameReady or NeverReady once, until `end_watches`; no run: a condition."""
        ...

    def watch_condition(self, effect: WatchCondition, post: Post) -> None:
        """Post Fell once a condition does not hold any more, until `end_watches`."""
        ...

    def watch_health(self, run: Run, effect: WatchHealth, post: Post) -> None:
        """Post each HealthChanged until `end_watches`."""
        ...

    def end_watches(self, run: Run | None, name: Name) -> None:
        """End the probes of a run, or of a condition."""
        ...

    # Ending

    def hear_out(self, run: Run, then: Callable[[LastWords], None]) -> None:
        """Call once all that was said by a QEMU, which has ended, is heard; at once for all else."""
        ...

    def named_leader(self, run: Run) -> int | None:
        """Return the process that a pid file names by now, where no cgroup tells what a start made."""
        ...

    def send_end(self, run: Run, effect: Terminate | Kill) -> tuple[str, ...]:
        """Send the signal; return, in words, who may not be signalled."""
        ...

    def is_gone(self, run: Run, stop: Stop) -> bool:
        """Whether nothing is left that the stop mode covers."""
        ...

    def when_gone(self, run: Run, stop: Stop, on_gone: Callable[[], None]) -> None:
        """Call once nothing is left that the stop mode covers."""
        ...

    def suspects(self, run: Run) -> tuple[Life, ...]:
        """Return who may be left of a run whose leader never showed, where no cgroup tells."""
        ...

    def close(self, run: Run) -> None:
        """Give back what was made for a run of which nothing is left."""
        ...

    # All else

    def reload(self, run: Run, effect: RunReload, post: Post) -> None:
        """Tell a running service to reload; ReloadEnded is posted."""
        ...

    def run_prepare(
        self, effect: RunPrepare, then: Callable[[str | None], None], post: Post
    ) -> Callable[[], None]:
        """Run what prepares a start; return what cuts it short.

        `then` is told once nothing is left of it, in a later turn: why it failed, None if it did not.
        """
        ...

    def clean_up(self, effect: RunCleanUp, post: Post) -> None:
        """Run the command that takes away what a service left; CleanedUp is posted."""
        ...

    def release(self, name: Name) -> None:
        """Close the activation sockets that a service keeps over restarts."""
        ...

    def forget(self, name: Name) -> None:
        """Remove what was made for a service that left the graph."""
        ...

    def pids(self, run: Run) -> Sequence[int]:
        """Return all processes of a run."""
        ...

    def tidy(self) -> None:
        """Remove what services that have stopped and were not started again leave behind."""
        ...

    def leave(self, run: Run) -> None:
        """Let go of a run without a signal: its processes go on."""
        ...

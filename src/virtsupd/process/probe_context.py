"""What a probe is given: facts of one service, and the ways to ask for more."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from virtsupd.core.exits import ExitStatus
from virtsupd.core.names import Name
from virtsupd.process.clock import Clock
from virtsupd.process.notify import Watchdog


class Outcome(Protocol):
    """What became of a command."""

    @property
    def status(self) -> ExitStatus:
        """How it ended."""
        ...

    @property
    def output(self) -> bytes:
        """What it printed, or its beginning."""
        ...

    @property
    def timed_out(self) -> bool:
        """Whether it was ended because it took too long."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeContext:
    """What a probe may know of the service it is about."""

    name: Name
    clock: Clock
    leader: Callable[[], int | None] = lambda: None
    """The pid of its first process now; None for a condition."""
    owns: Callable[[int], bool] = lambda pid: False
    """Whether a pid belongs to the service."""
    run: Callable[[tuple[str, ...], float], Awaitable[Outcome]] | None = None
    """Run a command as the service does: arguments and time limit (seconds)."""
    agent: Callable[[float], Awaitable[None]] | None = None
    """Ask the guest agent of a domain for an answer within a time limit (seconds)."""
    climb: Callable[[], Awaitable[None]] | None = None
    """Wait until a machine has climbed all rungs that count; as `wait_ready` it may raise NotReadyError."""
    is_judged: Callable[[], bool] = lambda: True
    """Whether what its health probe finds says something of it now."""
    watchdog: Watchdog | None = None
    """Fed with the service's messages."""
    ready_fd: int | None = None
    """Our end of the readiness FIFO or pipe; stays open, is not read past the newline's piece."""
    log_path: str | None = None
    log_offset: int = 0
    """Size of the log file when the service was started."""
    interval_seconds: float = 0.25
    """The longest pause between two attempts at a connection."""
    attempt_seconds: float = 5.0
    """What one connection may take, banner included."""
    command_seconds: float = 30.0
    """What one run of a command may take."""
    note: Callable[[str], None] = lambda reason: None
    """Told why the service is not ready yet, whenever that is another reason than before: for `why`, and
    for the message of the deadline."""


def only_news(note: Callable[[str], None]) -> Callable[[str], None]:
    """Return a `note` that passes on a reason only if it differs from the one before."""
    last: list[str] = []

    def tell(reason: str) -> None:
        if last != [reason]:
            last[:] = [reason]
            note(reason)

    return tell

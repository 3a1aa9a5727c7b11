"""What is known of a timer and its jobs: frozen facts, for the engine, a successor and `status`."""

from collections.abc import Callable
from enum import StrEnum

from virtsupd.core.exits import ExitStatus
from virtsupd.core.frozen import frozen
from virtsupd.core.spec import TimerSpec


class Phase(StrEnum):
    """How far a job is."""

    SPAWNING = "spawning"
    RUNNING = "running"
    ENDING = "ending"
    """Its process has ended or is told to; what is left of it is awaited."""


@frozen
class Job:
    """The one run of a timer's command that is under way."""

    cause: str
    """"its timer", or who triggered it."""
    began: float
    """Wall clock."""
    phase: Phase = Phase.SPAWNING


@frozen
class JobRun:
    """A job that has ended. Times are wall clock."""

    status: ExitStatus
    began: float
    ended: float


@frozen
class Firings:
    """How far a timer's firings are dealt with; kept beyond a boot."""

    seen: float | None = None
    """All up to then (wall clock) are settled: run, dropped, or given up. None: none of it counts
    yet, it begins when the timer is armed."""
    of: str = ""
    """The times that `seen` is about: of others, none has been missed."""
    held_until: float | None = None
    """No firing before it is made up for; infinite until it is released."""
    settled_at: float | None = None
    """When a firing was settled last; a clock that is set back takes `seen` along, but not beyond it."""
    ahead: float | None = None
    """What `seen` was when the clock was set back: it holds again if the clock is set there."""


FRESH = Firings()


def _never(_timer: TimerSpec, _at: float) -> float | None:
    """Be the calendar of a host without timers."""
    return None


@frozen
class Calendar:
    """Answers when timers fire: a port, since time zones are files of the host."""

    next_firing: Callable[[TimerSpec, float], float | None] = _never
    """The first moment later than the one given; None: it fires no more."""
    last_firing: Callable[[TimerSpec, float], float | None] = _never
    """The last moment up to and including the one given; None: never yet."""


NO_TIMERS = Calendar()


def times_of(timer: TimerSpec) -> str:
    """Return what tells two timers with other times apart."""
    return f"{timer.kind} {'; '.join(timer.expressions)} {timer.timezone} {timer.delay_seconds:g}"

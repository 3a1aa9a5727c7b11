"""What `status` shows of one service, frozen: facts of the engine at one moment."""

from enum import StrEnum

from virtsupd.core.domain import GuestNote
from virtsupd.core.exits import ExitStatus
from virtsupd.core.frozen import frozen
from virtsupd.core.jobs import Job, JobRun
from virtsupd.core.names import Name
from virtsupd.core.spec import ServiceSpec


class State(StrEnum):
    """The four current states, as on herd's wire."""

    STOPPED = "stopped"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"


class ReasonKind(StrEnum):
    """Why a service is not simply running or stopped as asked."""

    FAILED = "failed"
    BACKING_OFF = "backing-off"
    WAITING = "waiting"
    NOT_NEEDED = "not-needed"
    FINISHED = "finished"
    DISABLED = "disabled"
    DEGRADED = "degraded"
    ADOPTED = "adopted"
    STOPPED_BY_OPERATOR = "stopped-by-operator"
    NOT_AUTOSTARTED = "not-autostarted"
    HELD = "held"


@frozen
class Reason:
    """Why, as a kind for programs and a sentence for people."""

    kind: ReasonKind
    text: str
    retry_at: float | None = None
    """Wall clock time of the next attempt, when backing off."""
    names: tuple[Name, ...] = ()
    """The services it is about: what is waited for, what is missing."""


@frozen
class ExitRecord:
    """One end of the service's process."""

    status: ExitStatus
    at: float
    """Wall clock."""


@frozen
class TimerView:
    """What a timer is up to. Times are wall clock."""

    fires_at: float | None = None
    """None: not armed, held without an end, missed, or no more."""
    missed_at: float | None = None
    """The first firing that waits for what the timer needs."""
    held_until: float | None = None
    """Infinite: until it is released."""
    job: Job | None = None
    """The run of its command that is under way."""
    runs: tuple[JobRun, ...] = ()
    """At most 10, newest first."""
    skipped: int = 0
    """Firings dropped because a job still ran."""
    job_due: float | None = None
    """When the job that is under way is ended for its time, or, if it is being ended, killed."""


@frozen
class ServiceSnapshot:
    """One service at one moment. Times are wall clock; lists are newest first."""

    spec: ServiceSpec
    state: State
    wanted: bool
    wanted_by: str
    wanted_since: float
    enabled: bool
    since: float
    """When it entered this state."""
    reason: Reason | None = None
    pid: int | None = None
    once: tuple[str, ...] = ()
    """What its process was given behind its command, for this run alone."""
    status_text: str = ""
    """The last STATUS= the service sent, or what is remarkable about a guest of libvirt's."""
    status_since: float | None = None
    """Since when it says so."""
    note: GuestNote | None = None
    restarts: int = 0
    """Starts by respawn since virtsupd first saw the service."""
    exits: tuple[ExitRecord, ...] = ()
    """At most 10."""
    changes: tuple[tuple[State, float], ...] = ()
    """At most 30."""
    respawns: tuple[float, ...] = ()
    start_failures: tuple[float, ...] = ()
    """At most 10."""
    is_replacement_pending: bool = False
    """Its process was made from another definition: it takes a restart."""
    is_reload_pending: bool = False
    """Its files have changed since it read them, and a reload of it makes it read them."""
    warnings: tuple[str, ...] = ()
    timer: TimerView | None = None
    """None: it has none."""

    @property
    def last_exit(self) -> ExitRecord | None:
        """The most recent end of its process, if any was seen."""
        return self.exits[0] if self.exits else None

    @property
    def is_done(self) -> bool:
        """Whether it is a one-shot that has run: running without a process."""
        return self.spec.one_shot and self.state is State.RUNNING and self.pid is None

    @property
    def has_failed(self) -> bool:
        """Whether it stays down until somebody acts."""
        return self.reason is not None and self.reason.kind is ReasonKind.FAILED


@frozen
class Change:
    """One change of a service: what `watch` shows a line of."""

    event: str
    """Fixed phrase: "service running"."""
    snapshot: ServiceSnapshot

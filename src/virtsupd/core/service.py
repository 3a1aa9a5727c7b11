"""What the engine remembers of one service between two events."""

from dataclasses import dataclass, field, fields
from enum import StrEnum

from virtsupd.core.domain import GuestNote
from virtsupd.core.events import Instant
from virtsupd.core.frozen import frozen
from virtsupd.core.jobs import FRESH, Firings, Job, JobRun, Phase
from virtsupd.core.made import LOST, Made, made_from
from virtsupd.core.restart import RespawnRecord
from virtsupd.core.snapshot import ExitRecord, State
from virtsupd.core.spec import CleanUp, ProcessSpec, Readiness, ServiceSpec, Stop, TimerSpec


class RestKind(StrEnum):
    """Why a wanted service is left stopped."""

    FAILED = "failed"
    FINISHED = "finished"
    NOT_NEEDED = "not needed"
    ELSEWHERE = "elsewhere"
    """A guest of libvirt's that may run on another host: only a start by its own name has it here."""


KEPT_RESTS = (RestKind.FINISHED, RestKind.ELSEWHERE)
"""Those of a guest of libvirt's that stand whatever a reload changes of it."""


@frozen
class Rest:
    """A wanted service that is not started until a command (or, if not needed, a cause) comes."""

    kind: RestKind
    text: str


@frozen
class Death:
    """An end that nobody asked for, kept until the leftovers are gone."""

    text: str
    rest: Rest | None = None
    """Where it rests whatever the respawn policy says; None asks the policy."""


@frozen
class View:
    """What the neighbours of a service base their own decisions on."""

    is_satisfied: bool = False
    """Those that need it may run."""
    holds: bool = False
    """Those bound to it need not fall: it is satisfied, or it was not needed and is asked again."""
    is_coming: bool = False
    """It will be running without another command, as far as can be known: order-only edges wait."""
    must_stop: bool = False
    """It is up and is to go down."""
    is_degraded: bool = False
    """It runs while something that it needs does not."""
    is_alive: bool = False


_NOT_DESTROYED = "libvirt has not destroyed it"
_CHANGES_KEPT = 30
_EXITS_KEPT = 10
_FAILURES_KEPT = 10
_RESPAWNS_KEPT = 20
_RUNS_KEPT = 10


@dataclass(slots=True)
class Service:
    """The state of one service. Owned by the engine; nobody else writes it.

    A copy is what a successor is left (`Keep`): all fields but those that do not count in comparisons.
    """

    spec: ServiceSpec = field(compare=False)
    state: State = State.STOPPED
    since: float = 0.0
    generation: int = 0
    made: Made | None = None
    """What the present process was made from; None while stopped."""
    adopted_at: float | None = None
    """When its process was taken over from an earlier virtsupd (wall clock); None: we made it."""
    due: Instant | None = None
    """When the present start fails, or the present stop goes on with KILL; None: never, or libvirt cannot be asked yet."""
    is_overdue: bool = False
    """Whether the present start has taken longer than it may, and was not ended for that."""
    wanted: bool = False
    wanted_by: str = ""
    wanted_since: float = 0.0
    enabled: bool = field(default=True, compare=False)
    is_marked: bool = False
    """A stop or restart of something it needs (or of itself) will stop it first."""
    is_removed: bool = False
    """No longer in the configuration: forgotten once it has stopped."""
    rest: Rest | None = None
    is_undefined: bool = False
    """Libvirt did not have its domain when it was to start: it rests until it has."""
    rests_as: str = ""
    """The fingerprint of the definition that brought it to rest."""
    is_asked_again: bool = False
    """It was not needed, and is or will be started to see whether it still is not."""
    retry_at: Instant | None = None
    """Backing off until then."""
    setback: str = ""
    """What the last respawn is for."""
    death: Death | None = None
    pid: int | None = None
    prepared_for: tuple[ProcessSpec, Readiness] | None = field(default=None, compare=False)
    """What its process is to be, while that is being prepared. A successor begins anew."""
    once: tuple[str, ...] = ()
    """What its present process was given behind its command, for that run alone."""
    ready_at: float | None = None
    """Monotonic time at which it began to run."""
    respawn_record: RespawnRecord = field(default_factory=RespawnRecord)
    restarts: int = 0
    kills: int = 0
    """KILLs sent in the present stop."""
    denied: str = ""
    """Why the present stop could not signal it."""
    clean_up: CleanUp | None = None
    """What is still to be run for what was started of it, once it stays down; None: nothing.

    What an older definition said stays due if the one in force says nothing."""
    not_cleaned: str = ""
    """Why that command failed, until the next start, or a stop that runs it again."""
    is_cleaning: bool = field(default=False, compare=False)
    """Whether that command is at work: a successor begins it anew."""
    is_half_cleaned: bool = False
    """Whether that command has begun: it is run to its end before the next start, whoever is asked for it."""
    status_text: str = ""
    said_at: float = 0.0
    """Since when that is so (wall clock), as far as was seen."""
    note: GuestNote | None = None
    """What is remarkable about a guest of libvirt's, which `status_text` says."""
    not_ready_because: str = field(default="", compare=False)
    """What its readiness probe saw last."""
    unhealthy: str | None = None
    unhealthy_at: float = 0.0
    """Since when (wall clock), if it is."""
    output_trouble: str | None = field(default=None, compare=False)
    is_to_reload: bool = False
    """It is to be told that its files have changed: now, or as soon as it runs."""
    warnings: tuple[str, ...] = ()
    exits: tuple[ExitRecord, ...] = ()
    changes: tuple[tuple[State, float], ...] = ()
    respawns: tuple[float, ...] = ()
    start_failures: tuple[float, ...] = ()
    firings: Firings = field(default=FRESH, compare=False)
    """Of a timer."""
    fires_at: float | None = field(default=None, compare=False)
    """When a timer that is armed fires next (wall clock); past: what it needs is down. None: never."""
    wakes_at: float | None = field(default=None, compare=False)
    """When a timer is looked at again: it fires, or is held no longer."""
    job: Job | None = None
    """A timer's process: pid, generation, due and kills are its."""
    job_failure: str | None = None
    """Why the last job was no success, until one is."""
    runs: tuple[JobRun, ...] = ()
    skipped: int = 0
    """Firings that came while a job ran."""
    view: View = field(default=View(), compare=False)
    _definition: tuple[ServiceSpec, Made] | None = field(default=None, compare=False)

    def __copy__(self) -> "Service":
        """Copy field by field: in a third of the time, and at every change of a service."""
        made = object.__new__(Service)
        for name in _NAMES:
            setattr(made, name, getattr(self, name))
        return made

    @property
    def is_alive(self) -> bool:
        """Whether it is anything but stopped."""
        return self.state is not State.STOPPED

    @property
    def is_up(self) -> bool:
        """Whether it is starting or running."""
        return self.state in (State.STARTING, State.RUNNING)

    @property
    def can_be_cleaned_again(self) -> bool:
        """Whether it is down, its clean-up failed, and there is one to be run now."""
        is_down = self.state is State.STOPPED
        return is_down and bool(self.not_cleaned) and self.spec.clean_up is not None

    @property
    def is_stuck(self) -> bool:
        """Whether its processes are still there though KILL was sent: nothing more can be done."""
        return self.state is State.STOPPING and self.kills > 1

    @property
    def stuck_text(self) -> str:
        """Say what is stuck, if it is."""
        if self.is_cleaning:
            return "its clean-up has not ended"
        is_domain = self.origin.domain is not None
        return _NOT_DESTROYED if is_domain else "its processes are still there after SIGKILL"

    @property
    def is_late(self) -> bool:
        """Whether it is a guest that was not ready in its time: it runs on, and is waited for."""
        return self.state is State.STARTING and self.is_overdue

    @property
    def start_seconds(self) -> float:
        """How long its present start may take; 0: for ever, or nobody knows: it is another one's by now."""
        return 0.0 if self.has_replacement else self.spec.ready.timeout_seconds

    @property
    def may_be_late(self) -> bool:
        """Whether it is not ended for being slow: a guest, once it is known which process it is."""
        return self.origin.is_guest and not self.origin.forks

    @property
    def timer(self) -> TimerSpec | None:
        """When its jobs run, if it is armed as a timer or would be; a changed kind waits for a stop."""
        return self.spec.timer if self.origin.is_timer else None

    @property
    def is_job_stuck(self) -> bool:
        """Whether the processes of a job that was ended are still there though KILL was sent."""
        return self.state is State.RUNNING and self.job is not None and self.kills > 1

    @property
    def is_ending(self) -> bool:
        """Whether what is left of its process is being ended, as a stop or as the end of a job."""
        if self.job is not None and self.job.phase is Phase.ENDING:
            return True
        return self.state is State.STOPPING

    @property
    def can_reload(self) -> bool:
        """Whether there is a running process to tell."""
        return self.state is State.RUNNING and self.pid is not None

    @property
    def definition(self) -> Made:
        """What a process made now would be made from."""
        if self._definition is None or self._definition[0] is not self.spec:
            self._definition = (self.spec, made_from(self.spec))
        return self._definition[1]

    @property
    def origin(self) -> Made:
        """What its present process was made from; what one would be while there is none."""
        return self.made or self.definition

    @property
    def is_left_over(self) -> bool:
        """Whether an earlier virtsupd started it and the configuration has not had it since."""
        return self.spec.process is LOST

    @property
    def guard(self) -> str:
        """The table whose kind knows what guests would lose by the end of what runs; "": none does."""
        return self.spec.guard or self.origin.guard

    @property
    def stop(self) -> Stop:
        """How what runs of it is ended: as is said now, or was of something of another kind.

        A guest knows no signals, and a process is not saved.
        """
        was_guest, is_guest = self.origin.domain is not None, self.spec.domain is not None
        return self.spec.stop if was_guest == is_guest else self.origin.stop

    @property
    def is_same_guest(self) -> bool:
        """Whether it is alive as the guest of libvirt's that its definition names."""
        domain = self.made.domain if self.made is not None else None
        return domain is not None and domain == self.spec.domain

    @property
    def may_have_been_unheard(self) -> bool:
        """Whether it may have said that it is ready while there was nobody to hear it, or to note it."""
        return self.adopted_at is not None and self.origin.probe in ("notify", "fd")

    @property
    def has_replacement(self) -> bool:
        """Whether its process was made from an older definition than the one in force."""
        made = self.made
        if made is None or self.is_left_over:
            return False
        if made.is_timer and self.timer is not None and self.job is None:
            return False
        return made.fingerprint != self.definition.fingerprint

    @property
    def has_unread(self) -> bool:
        """Whether its files have changed since it read them, and a reload would make it read them."""
        made = self.made
        return (
            made is not None
            and self.spec.reload is not None
            and (made.reread != self.definition.reread)
        )

    @property
    def has_process(self) -> bool:
        """Whether something was started for it that may still be there."""
        if self.origin.is_timer:
            return self.job is not None
        return self.is_alive and not self.origin.is_stage

    @property
    def is_elsewhere(self) -> bool:
        """Whether it rests since it may run on another host."""
        return self.rest is not None and self.rest.kind is RestKind.ELSEWHERE

    @property
    def rest_mark(self) -> str:
        """What names all of the definition that its rest is about.

        A guest that has finished, or runs elsewhere, does so whatever is changed of it here.
        """
        domain, rest = self.spec.domain, self.rest
        if domain is not None and rest is not None and rest.kind in KEPT_RESTS:
            return f"{domain.uri} {domain.domain}"
        return self.definition.fingerprint

    @property
    def is_done(self) -> bool:
        """Whether it is a one-shot that has run; what it left behind may still be there."""
        return self.state is State.RUNNING and self.pid is None and self.origin.one_shot

    @property
    def has_fallen(self) -> bool:
        """Whether it is a condition that held and is waited for again: nothing else goes this way."""
        states = tuple(state for state, _ in self.changes[:2])
        return states == (State.STARTING, State.RUNNING)

    @property
    def has_past(self) -> bool:
        """Whether a successor would have to know of it: it is alive, or was."""
        return self.is_alive or bool(self.changes or self.start_failures)

    def enter(self, state: State, now: Instant) -> None:
        """Note a change of state."""
        self.state = state
        self.since = now.wall
        self.changes = ((state, now.wall), *self.changes)[:_CHANGES_KEPT]

    def note_exit(self, record: ExitRecord) -> None:
        """Note the end of its leader."""
        self.pid = None
        self.once = ()
        self.exits = (record, *self.exits)[:_EXITS_KEPT]

    def note_run(self, run: JobRun) -> None:
        """Note the end of a job's process."""
        self.runs = (run, *self.runs)[:_RUNS_KEPT]

    def note_start_failure(self, now: Instant) -> None:
        """Note a start that came to nothing."""
        self.start_failures = (now.wall, *self.start_failures)[:_FAILURES_KEPT]

    def note_respawn(self, now: Instant) -> None:
        """Note that it is started again by itself."""
        self.restarts += 1
        self.respawns = (now.wall, *self.respawns)[:_RESPAWNS_KEPT]

    def take_definition(self) -> None:
        """Count a guest of libvirt's as made from the definition in force, if it makes the same one.

        All that is said of it beside the domain is virtsupd's own, and can hold at once. So can the clean-up
        of what would be started just the same now; else that of its start is due until the next.
        """
        if self.is_same_guest:
            self.made = self.definition
        if self.is_up and self.made is not None and not self.has_replacement:
            self.clean_up = self.spec.clean_up or self.clean_up

    def forget_deadline(self) -> None:
        """Let its start have no deadline, nor have missed one."""
        self.due = None
        self.is_overdue = False

    def say(self, text: str, now: float, note: GuestNote | None = None) -> None:
        """Take what is said of it; a guest that is not seen stays so since it was last, whatever the reason."""
        is_news = text != self.status_text
        if is_news and not (note is GuestNote.UNSEEN and self.note is note):
            self.said_at = now
        self.status_text = text
        self.note = note

    def end_rest(self) -> None:
        """Rest no longer; what was not needed is asked again, and those bound to it stay."""
        if self.rest is not None:
            self.is_asked_again = self.rest.kind is RestKind.NOT_NEEDED
        self.rest = None
        self.is_undefined = False
        self.rests_as = ""

    def clear_failure(self) -> None:
        """Forget why it rests, and the respawns that count against it: a person took over."""
        self.end_rest()
        self.retry_at = None
        self.job_failure = None
        self.respawn_record = RespawnRecord()

    def begin_start(self, generation: int) -> None:
        """Begin another generation; nothing of the last one is left."""
        self.begin_process(generation)
        self.retry_at = None
        self.death = None
        self.ready_at = None
        self.not_ready_because = ""
        self.unhealthy = None

    def forget_process(self, generation: int) -> None:
        """Let nothing be left of a process but its past; later events are of another generation."""
        self.generation = generation
        self.adopted_at = None
        self.due = None
        self.pid = None
        self.once = ()
        self.prepared_for = None
        self.job = None

    def begin_process(self, generation: int) -> None:
        """Begin with another process, to be made from the definition in force."""
        self.generation = generation
        self.made = self.definition
        self.clean_up = self.spec.clean_up or self.clean_up
        self.not_cleaned = ""
        self.adopted_at = None
        self.forget_deadline()
        self.is_to_reload = False
        self.kills = 0
        self.denied = ""
        self.say("", 0.0)
        self.warnings = ()


_NAMES = tuple(item.name for item in fields(Service))

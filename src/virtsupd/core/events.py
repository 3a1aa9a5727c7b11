"""What happened, in the past tense: everything that can move the engine.

Events about one process carry the generation of the start that made it; the engine drops those of
an earlier one. `Instant` is when: the shell stamps each event as it takes it.
"""

from enum import StrEnum
from typing import Literal

from virtsupd.core.domain import GuestNote
from virtsupd.core.exits import ExitStatus
from virtsupd.core.frozen import frozen
from virtsupd.core.graph import ServiceGraph
from virtsupd.core.machine import MachineEnd
from virtsupd.core.names import Name
from virtsupd.core.shutdown_policy import GuestEnd, RunningGuest, ShutdownPolicy
from virtsupd.core.spec import ServiceSpec


@frozen
class Instant:
    """One moment on two clocks."""

    monotonic: float
    """Seconds; what deadlines and intervals are counted in."""
    wall: float
    """Unix time; what people are shown."""


class Timer(StrEnum):
    """What a timer of a service is for; each service has at most one of each."""

    START_DEADLINE = "start-deadline"
    STOP_DELAY = "stop-delay"
    BACKOFF = "backoff"
    SHUTDOWN = "shutdown"
    """Of no service: something of a shutdown is due."""
    FIRING = "firing"
    """A timer fires, or may again."""
    JOB_DEADLINE = "job-deadline"


@frozen
class Booted:
    """virtsupd has loaded its configuration: services with autostart are wanted.

    What an earlier virtsupd left (the engine was made with it) is taken over.
    """


@frozen
class Reloaded:
    """A new valid configuration, as a whole, that `Engine.reload_problems` has nothing against."""

    graph: ServiceGraph
    shutdown_policy: ShutdownPolicy | None = None
    """None: as before."""
    spared: frozenset[Name] = frozenset()
    """Services that must not be told that their files have changed: they would end over it."""


@frozen
class Added:
    """One service more, under names that are free: it is wanted, and nothing else changes.

    It begins afresh, whatever was known of one that had its name.
    """

    spec: ServiceSpec


@frozen
class Spawned:
    """The process exists; `warnings` is what the kernel denied without harm."""

    name: Name
    generation: int
    pid: int | None
    """None: it is a guest of libvirt's, and its process is not known."""
    warnings: tuple[str, ...] = ()


@frozen
class SpawnFailed:
    """No process could be made; `is_permanent`: trying again cannot help."""

    name: Name
    generation: int
    stage: str
    message: str
    is_permanent: bool
    is_elsewhere: bool = False
    """A guest of libvirt's was on its way to this host and is no more: it may run where it was."""


@frozen
class Adopted:
    """What an earlier virtsupd started is still there, and is watched from now on.

    `pid` None: its leader is not known yet, or has ended, which an Exited tells.
    """

    name: Name
    generation: int
    pid: int | None
    was_heard: bool = False
    """Whether virtsupd only became another program: all that the service says is still heard."""


@frozen
class NeverMade:
    """An earlier virtsupd was about to make a process and died before it did."""

    name: Name
    generation: int


@frozen
class BecameReady:
    """The readiness probe held. `pid` is the leader from now on, if the probe named another."""

    name: Name
    generation: int
    pid: int | None = None


@frozen
class NeverReady:
    """The readiness probe cannot hold any more, and why."""

    name: Name
    generation: int
    why: str


@frozen
class Fell:
    """A condition that held does not hold any more, and why."""

    name: Name
    generation: int
    why: str


@frozen
class Exited:
    """The leader is gone and reaped."""

    name: Name
    generation: int
    status: ExitStatus
    is_elsewhere: bool = False
    """A guest of libvirt's was migrated, or was about to be: it may run on another host."""
    end: MachineEnd | None = None
    """Why a machine ended, if its monitor told."""


@frozen
class Gone:
    """Nothing is left of the service that its stop mode covers. Follows a Terminate or Kill."""

    name: Name
    generation: int


@frozen
class Reached:
    """Libvirt can be asked to end a guest, whose time begins by that; or cannot after all, and was not."""

    name: Name
    generation: int
    is_reached: bool


@frozen
class Fired:
    """A timer armed by the engine is due."""

    name: Name
    generation: int
    timer: Timer


@frozen
class HealthChanged:
    """The health probe failed as often as its policy allows (`why`), or holds again (None)."""

    name: Name
    generation: int
    why: str | None


@frozen
class Told:
    """The service said something with sd_notify, or what is under way with it tells how it goes.

    "waiting": what its readiness probe waits for; "denied": why it could not be signalled.
    """

    name: Name
    generation: int
    kind: Literal["status", "stopping", "reloading", "waiting", "denied"]
    text: str = ""
    note: GuestNote | None = None
    """What the status of a guest of libvirt's is about."""


@frozen
class Prepared:
    """The command that prepares a process has ended."""

    name: Name
    generation: int
    why: str | None = None
    """Why it failed; None if it did not."""


@frozen
class CleanedUp:
    """The command that takes away what a service left has ended."""

    name: Name
    generation: int
    why: str | None = None
    """Why it failed; None if it did not."""


@frozen
class ReloadEnded:
    """A service's reload command ended; `why` None is success."""

    name: Name
    generation: int
    why: str | None


@frozen
class OutputChanged:
    """The service's log cannot be written (`why`), or can again (None)."""

    name: Name
    why: str | None


@frozen
class GuestsFound:
    """The guests of a service that run now; or why that is not known."""

    name: Name
    guests: tuple[RunningGuest, ...] = ()
    why: str | None = None


@frozen
class GuestEnded:
    """A guest of a service has ended (`why` None), or cannot be ended in this way."""

    name: Name
    guest: str
    end: GuestEnd
    why: str | None = None


@frozen
class Appeared:
    """The guest that a stopped service stands for runs: somebody else started it."""

    name: Name
    is_new: bool = False
    """Whether it was seen to start; else it may be one that was left to itself."""


@frozen
class Defined:
    """Libvirt has the domain of a service, and was not known to have it before."""

    name: Name


@frozen
class ClockSet:
    """The wall clock was set, or stood still with the machine: what it shows is not what was expected."""


class Verb(StrEnum):
    """What a client can ask of the graph."""

    START = "start"
    STOP = "stop"
    RESTART = "restart"
    RELOAD = "reload"
    ENABLE = "enable"
    DISABLE = "disable"
    WAIT = "wait"
    TRIGGER = "trigger"
    HOLD = "hold"
    RELEASE = "release"
    SHUTDOWN = "shutdown"


@frozen
class Asked:
    """A client's command; the engine answers each once, by an `Answer` with the same `ticket`."""

    ticket: int
    verb: Verb
    names: tuple[Name, ...]
    """Canonical, each once; () for SHUTDOWN."""
    who: str
    """Shown as the cause: "root via virtsupctl"."""
    guests: bool = False
    """Guests may end as a side effect."""
    until: float | None = None
    """For HOLD: how long (wall clock); None until RELEASE."""
    once: tuple[str, ...] = ()
    """For START of one service: arguments behind the command of the next process made for it, and of that alone."""


@frozen
class Hung:
    """The client of a command went away; its answer is not needed, its effect stays."""

    ticket: int


Event = (
    Booted
    | Reloaded
    | Added
    | Spawned
    | SpawnFailed
    | Adopted
    | NeverMade
    | BecameReady
    | NeverReady
    | Fell
    | Exited
    | Gone
    | Reached
    | Fired
    | HealthChanged
    | Told
    | ReloadEnded
    | Prepared
    | CleanedUp
    | OutputChanged
    | GuestsFound
    | GuestEnded
    | Appeared
    | Defined
    | ClockSet
    | Asked
    | Hung
)

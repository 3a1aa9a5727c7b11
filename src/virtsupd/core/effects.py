"""What to do, in the imperative: frozen data that one interpreter carries out.

An effect about a process carries the generation of the start it belongs to; what comes of it is
posted back as an event with the same generation.
"""

from enum import StrEnum

from virtsupd.core.domain import DomainSpec, GuestStop
from virtsupd.core.events import Timer
from virtsupd.core.frozen import frozen
from virtsupd.core.host_scope import ShutdownOrder
from virtsupd.core.jobs import Firings
from virtsupd.core.names import Name
from virtsupd.core.service import Service
from virtsupd.core.shutdown_policy import GuestEnd
from virtsupd.core.spec import (
    CleanUp,
    Health,
    MountProbe,
    PathProbe,
    Prepare,
    ProcessSpec,
    Readiness,
    Reload,
    Stop,
)


@frozen
class Spawn:
    """Make the process and watch for its readiness.

    Answer: Spawned or SpawnFailed; later BecameReady or NeverReady, and Exited once. A probe of
    None holds at once; ExitProbe is judged by the engine when the process ends.
    """

    name: Name
    generation: int
    process: ProcessSpec
    ready: Readiness


@frozen
class Adopt:
    """Take over what an earlier virtsupd started.

    Answer: Adopted, and Exited if its leader ended meanwhile; or NeverMade.
    """

    name: Name
    generation: int
    process: ProcessSpec
    """As the definition in force has it; the process may have been made from an older one."""


@frozen
class StartDomain:
    """Have libvirt start a guest, unless it runs already, and watch for its readiness.

    As long as libvirt cannot be reached it is waited for. Answer: Spawned or SpawnFailed; later
    BecameReady, and Exited once.
    """

    name: Name
    generation: int
    domain: DomainSpec
    ready: Readiness


@frozen
class AdoptDomain:
    """Take over a guest that ran, or was being started, under an earlier virtsupd.

    Answer, once libvirt tells: Adopted; or Exited if it ended meanwhile, NeverMade if it was only
    being started, SpawnFailed if it was only arriving from another host and did not.
    """

    name: Name
    generation: int
    domain: DomainSpec
    was_running: bool
    """It was seen to run, be it ready or not."""
    was_arriving: bool = False


@frozen
class EndDomain:
    """End a guest in this way, or leave it.

    Answer: Reached once libvirt can be asked, which may take its time; Exited if it ran, and Gone.
    """

    name: Name
    generation: int
    domain: DomainSpec
    how: GuestStop


@frozen
class Keep:
    """Leave a copy of the service for a successor, before any later effect is carried out."""

    name: Name
    service: Service


@frozen
class AwaitReady:
    """Watch a condition, which has no process, or one that was adopted while it started.

    Answer: BecameReady or NeverReady.
    """

    name: Name
    generation: int
    ready: Readiness


@frozen
class WatchCondition:
    """Watch a condition that holds, until EndWatches. Answer: Fell once it does not."""

    name: Name
    generation: int
    probe: PathProbe | MountProbe


@frozen
class WatchHealth:
    """Probe a running service until EndWatches. Answer: HealthChanged at each change."""

    name: Name
    generation: int
    health: Health
    is_well: bool = True
    """Whether that is what was last heard."""


@frozen
class EndWatches:
    """Cancel the readiness and health probes of the service."""

    name: Name
    generation: int


@frozen
class Terminate:
    """Send the stop signal as the mode says, to what is there. Answer: Gone once nothing is left."""

    name: Name
    generation: int
    stop: Stop


@frozen
class Kill:
    """Send KILL to all that the mode covers. Answer: Gone once nothing is left."""

    name: Name
    generation: int
    stop: Stop


@frozen
class RunReload:
    """Send the reload signal, or run the reload command. Answer: ReloadEnded (at once for a signal)."""

    name: Name
    generation: int
    reload: Reload


@frozen
class RunPrepare:
    """Run the command that prepares a process. Answer: Prepared; but Gone if Terminate or Kill ends it."""

    name: Name
    generation: int
    prepare: Prepare


@frozen
class RunCleanUp:
    """Run the command that takes away what the service left. Answer: CleanedUp."""

    name: Name
    generation: int
    clean_up: CleanUp


@frozen
class ArmTimer:
    """Post Fired at `at` (monotonic seconds); replaces a timer of the same name and kind."""

    name: Name
    generation: int
    timer: Timer
    at: float


@frozen
class CancelTimer:
    """Forget a timer, armed or not."""

    name: Name
    timer: Timer


@frozen
class Remember:
    """Write down what is wanted of a service before anything later is answered."""

    name: Name
    wanted: bool
    enabled: bool
    by: str = ""
    """Who wanted it so."""
    since: float = 0.0
    """Since when, by the wall clock."""


@frozen
class RememberShutdown:
    """Write down, before anything later is done, that everything is being stopped, for a successor."""

    order: ShutdownOrder


@frozen
class FindGuests:
    """Ask a guest host which guests run through it. Answer: GuestsFound."""

    name: Name


@frozen
class EndGuest:
    """End a guest through its host; what was begun for it before is void. Answer: GuestEnded."""

    name: Name
    """The host."""
    guest: str
    end: GuestEnd


@frozen
class RememberFirings:
    """Write down which of a timer's firings are settled, before anything later is done."""

    name: Name
    firings: Firings


@frozen
class Release:
    """The service is down and stays so: close the activation sockets it keeps over restarts."""

    name: Name


@frozen
class Forget:
    """The service left the graph: remove what was made for it (FIFO, sockets, cgroup, records)."""

    name: Name
    is_over: bool = True
    """False: it was stopped with everything else, and may be there again at the next start."""


@frozen
class Announce:
    """Something about the service changed that `status` shows: tell subscribers and the log."""

    name: Name
    event: str
    """Fixed phrase: "service starting", "service running", "service failed" …"""


class Result(StrEnum):
    """What became of a command for one service."""

    DONE = "done"
    ALREADY = "already"
    NOT_NEEDED = "not-needed"
    FAILED = "failed"
    DISABLED = "disabled"
    SUPERSEDED = "superseded"
    WAITING = "waiting"
    """It waits for what an operator stopped, or for a rival to end; then it starts by itself."""
    REFUSED = "refused"
    """Nothing was changed; the message says why: a guest would have ended, virtsupd is ending …"""

    @property
    def is_good(self) -> bool:
        """Whether the operator got what was asked for."""
        return self in (Result.DONE, Result.ALREADY, Result.NOT_NEEDED)


@frozen
class Report:
    """What became of a command for one service, and why."""

    name: Name
    result: Result
    message: str


@frozen
class Answer:
    """The end of a command: a report for each named service, in the order asked."""

    ticket: int
    reports: tuple[Report, ...]
    touched: tuple[Name, ...] = ()
    """For stop and restart: what was stopped, the named service first, then its dependents."""


@frozen
class Finish:
    """The shutdown is complete: nothing runs any more but what is left, virtsupd may end."""

    left: tuple[str, ...] = ()
    """In words, what could not be ended."""


Effect = (
    Spawn
    | Adopt
    | StartDomain
    | AdoptDomain
    | EndDomain
    | Keep
    | AwaitReady
    | WatchCondition
    | WatchHealth
    | EndWatches
    | Terminate
    | Kill
    | RunReload
    | RunPrepare
    | RunCleanUp
    | ArmTimer
    | CancelTimer
    | Remember
    | RememberShutdown
    | FindGuests
    | EndGuest
    | RememberFirings
    | Release
    | Forget
    | Announce
    | Answer
    | Finish
)

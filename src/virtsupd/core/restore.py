"""What an earlier virtsupd left is taken over: services as they were, processes as they are.

Before the first event, each service that the predecessor kept stands in the state in which it was
kept. Booting then asks for its process (`Adopt`), and what is found out is an event like any other:
a leader that ended meanwhile is a death, and a start of which nothing was made begins again. A
start or stop that was under way goes on.

A deadline that nobody kept ends nothing: it begins anew. READY=1 may have been said while nobody
listened, so a service that says it when asked no more is taken for ready at the end of that time;
not if virtsupd only became another program, which heard it (`was_heard`).
"""

from collections.abc import Mapping
from copy import copy

from virtsupd.core import timing
from virtsupd.core.effects import Adopt, ArmTimer, AwaitReady
from virtsupd.core.events import Adopted, NeverMade, Timer
from virtsupd.core.jobs import FRESH
from virtsupd.core.lifecycle import Move
from virtsupd.core.moves import arm_deadline, end_again, move, watch_health
from virtsupd.core.names import Name
from virtsupd.core.reload import with_leftovers
from virtsupd.core.service import Service
from virtsupd.core.snapshot import State
from virtsupd.core.spec import LogSpec, ProcessSpec, ServiceSpec
from virtsupd.core.state import HostState

_LOST_JOB = "was lost: virtsupd died before it could start it"
_LOST = ProcessSpec(("unknown",), LogSpec(""))


def restore(host: HostState, kept: Mapping[Name, Service]) -> None:
    """Put services into the states in which a predecessor kept them; nothing is done yet.

    One whose definition is gone stays in the graph as long as it is alive: it stops, unless it is a
    guest, which runs on until somebody stops it. Renamed ones come under their new names.
    """
    for name, service in sorted(kept.items()):
        host.generations = max(host.generations, service.generation)
        if name in host.graph.spec_by_name:
            _put(host, host.graph.spec_by_name[name], service)
        elif name not in host.graph.canonical:
            _restore_leftover(host, name, service)
    leftovers = [s.spec for n, s in host.services.items() if n not in host.graph.spec_by_name]
    host.graph = with_leftovers(host.graph, leftovers)


def _restore_leftover(host: HostState, name: Name, service: Service) -> None:
    made = service.made
    if not service.has_process or made is None:
        return
    spec = ServiceSpec(
        name=name,
        provides=(name,),
        description="no longer configured",
        process=_LOST,
        respawn=None,
        stop=made.stop,
        autostart=False,
        is_guest=made.is_guest,
        transient=True,
    )
    found = _put(host, spec, service)
    found.is_removed = not made.is_guest
    found.wanted = made.is_guest


def _put(host: HostState, spec: ServiceSpec, service: Service) -> Service:
    found = copy(service)
    found.spec = spec
    known = host.services.get(spec.name)
    found.enabled = known.enabled if known is not None else True
    found.firings = known.firings if known is not None else FRESH
    found.fires_at = found.wakes_at = None
    host.services[spec.name] = found
    return found


def adopt(host: HostState) -> None:
    """Ask for the processes of all services that may have one, and go on waiting where it was."""
    for name, service in host.services.items():
        if service.has_process:
            process = service.spec.process or _LOST
            host.emit(Adopt(name, service.generation, process))
        elif service.state is State.STARTING:
            host.emit(AwaitReady(name, service.generation, service.spec.ready))
            arm_deadline(host, service)
        if service.retry_at is not None:
            at = service.retry_at.monotonic
            host.emit(ArmTimer(name, service.generation, Timer.BACKOFF, at))


def take_found(host: HostState, service: Service, event: Adopted | NeverMade) -> None:
    """Go on with a service whose process is watched again, or start it anew if none was made."""
    if isinstance(event, NeverMade):
        _start_anew(host, service)
        return
    if not event.was_heard:
        service.adopted_at = host.now.wall
    service.pid = event.pid
    host.announce(service.spec.name, "service adopted")
    match service.state:
        case State.STARTING:
            _await_again(host, service)
        case State.RUNNING if service.job is not None:
            timing.adopted(host, service)
        case State.RUNNING:
            watch_health(host, service)
        case State.STOPPING:
            end_again(host, service)
        case State.STOPPED:
            raise AssertionError(service.spec.name)


def _start_anew(host: HostState, service: Service) -> None:
    """Let a start begin again; that of a job is lost: its firing is settled."""
    service.death = None
    if service.job is not None:
        timing.judge(host, service, _LOST_JOB)
    move(host, service, Move.SPAWN_FAILED)


def _await_again(host: HostState, service: Service) -> None:
    if not service.origin.probe:
        move(host, service, Move.READY)
        return
    if service.spec.ready.probe is not None:
        host.emit(AwaitReady(service.spec.name, service.generation, service.spec.ready))
    arm_deadline(host, service)

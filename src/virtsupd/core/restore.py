"""What an earlier virtsupd left is taken over: services as they were, processes as they are.

Before the first event, each service that the predecessor kept stands in the state in which it was
kept. Booting then asks for its process (`Adopt`), and what is found out is an event like any other:
a leader that ended meanwhile is a death, and a start of which nothing was made begins again. A
start or stop that was under way goes on.

A deadline that nobody kept ends nothing: it begins anew, but for a guest of libvirt's, which is only
said to be late. READY=1 may have been said while nobody
listened, so a service that says it when asked no more is taken for ready at the end of that time;
not if virtsupd only became another program, which heard it (`was_heard`).

What was running is believed to run, so that nothing falls, but nothing new is started upon it before
its process was found (`HostState.sought`).
"""

from collections.abc import Mapping
from copy import copy
from dataclasses import replace

from virtsupd.core import timing
from virtsupd.core.domain import GuestNote
from virtsupd.core.effects import Adopt, AdoptDomain, ArmTimer, AwaitReady
from virtsupd.core.events import Adopted, Timer
from virtsupd.core.jobs import FRESH
from virtsupd.core.lifecycle import Move
from virtsupd.core.made import LOST
from virtsupd.core.moves import (
    arm_deadline,
    end_again,
    move,
    tell_to_reload,
    watch_condition,
    watch_health,
)
from virtsupd.core.names import Name
from virtsupd.core.reload import with_leftovers
from virtsupd.core.service import Death, Service
from virtsupd.core.snapshot import State
from virtsupd.core.spec import Readiness, ServiceSpec
from virtsupd.core.state import HostState

_LOST_JOB = "was lost: virtsupd died before it could start it"


def restore(host: HostState, kept: Mapping[Name, Service]) -> None:
    """Put services into the states in which a predecessor kept them; nothing is done yet.

    One whose definition is gone stays in the graph as long as it is alive: it stops, unless it is a
    guest or guests may lose something by its end; that runs on until somebody stops it. Renamed ones
    come under their new names.
    """
    for name, service in sorted(kept.items()):
        host.generations = max(host.generations, service.generation)
        host.kept[name] = service
        if name in host.graph.spec_by_name:
            _put(host, host.graph.spec_by_name[name], service)
        elif name not in host.graph.canonical:
            _restore_leftover(host, name, service)
    leftovers = [s.spec for n, s in host.services.items() if n not in host.graph.spec_by_name]
    host.graph = with_leftovers(host.graph, leftovers)


def _restore_leftover(host: HostState, name: Name, service: Service) -> None:
    made = service.made or service.definition
    is_there = service.has_process and service.made is not None
    if made.domain is not None or not (is_there or service.clean_up is not None):
        return  # a guest of libvirt's runs on, as those that never were services do
    spec = ServiceSpec(
        name=name,
        provides=(name,),
        description="no longer configured",
        process=LOST,
        respawn=None,
        stop=made.stop,
        autostart=False,
        is_guest=made.is_guest,
        guard=made.guard,
        transient=True,
    )
    found = _put(host, spec, service)
    runs_on = made.is_guest or bool(made.guard)
    found.is_removed = not runs_on
    found.wanted = runs_on and service.wanted


def _put(host: HostState, spec: ServiceSpec, service: Service) -> Service:
    found = copy(service)
    found.spec = spec
    found.is_removed = False
    if found.made is not None and not found.made.guard:
        # An older version may have started it, which knew nothing of guards.
        found.made = replace(found.made, guard=spec.guard)
    found.take_definition()
    known = host.services.get(spec.name)
    found.enabled = known.enabled if known is not None else True
    found.firings = known.firings if known is not None else FRESH
    found.fires_at = found.wakes_at = None
    # An older version noted the fingerprint, whatever the kind of rest.
    if found.rest is not None and found.rests_as not in (
        found.rest_mark,
        found.definition.fingerprint,
    ):
        found.clear_failure()  # as a reload of the changed definition would have
    host.services[spec.name] = found
    return found


def adopt(host: HostState) -> None:
    """Ask for the processes of all services that may have one, and go on waiting where it was."""
    alive = [service for service in host.services.values() if service.has_process]
    for service in alive:
        name, process = service.spec.name, service.spec.process or LOST
        process = replace(process, machine=service.origin.machine)
        domain = service.origin.domain
        if domain is not None:
            was_running = service.state is not State.STARTING or service.pid is not None
            was_arriving = service.note is GuestNote.ARRIVING
            _arm_again(host, service)
            generation = service.generation
            host.emit(AdoptDomain(name, generation, domain, was_running, was_arriving))
        else:
            host.emit(Adopt(name, service.generation, process))
        if service.state is State.RUNNING and service.job is None and not service.is_done:
            host.sought.add(name)
    for service in tuple(host.services.values()):
        _go_on(host, service)


def _go_on(host: HostState, service: Service) -> None:
    """Take up what needs no news of a process; of a stop, the signal may not have been sent."""
    name, generation = service.spec.name, service.generation
    if service.is_ending:
        end_again(host, service)
    elif service.state is State.STARTING and not service.has_process:
        _ask_again(host, service)
    elif service.state is State.RUNNING:
        watch_condition(host, service)
    elif service.retry_at is not None:
        host.emit(ArmTimer(name, generation, Timer.BACKOFF, service.retry_at.monotonic))


def _arm_again(host: HostState, service: Service) -> None:
    """Have the start of a guest of libvirt's be late when it would have been, seen or not."""
    if service.state is State.STARTING:
        service.forget_deadline()
        arm_deadline(host, service)


def _ask_again(host: HostState, service: Service) -> None:
    """Ask a condition again; what is none any more is started as what it is now."""
    spec = service.spec
    if not spec.is_stage or spec.ready.probe is None:
        move(host, service, Move.SPAWN_FAILED)
        return
    host.emit(AwaitReady(spec.name, service.generation, spec.ready))
    arm_deadline(host, service)


def take_found(host: HostState, service: Service, event: Adopted) -> None:
    """Go on with a service whose process is watched again, or whose end an Exited tells."""
    if service.is_done:
        return  # what was found, if anything, is something that it left behind
    if not event.was_heard:
        service.adopted_at = host.now.wall
    host.announce(service.spec.name, "service adopted")
    if event.pid is not None or service.state is State.STARTING:
        service.pid = event.pid
    if service.state is State.STARTING:
        _await_again(host, service)
    elif service.job is not None:
        timing.adopted(host, service)
    elif event.pid is not None or service.origin.domain is not None:
        host.sought.discard(service.spec.name)
        host.dirty.add(service.spec.name)
        if service.state is State.RUNNING:
            watch_health(host, service)
            tell_to_reload(host, service)


def start_anew(host: HostState, service: Service) -> None:
    """Let a start begin again of which nothing was made; that of a job is lost: its firing is settled."""
    if service.job is not None:
        timing.judge(host, service, _LOST_JOB)
    move(host, service, Move.SPAWN_FAILED)


def _await_again(host: HostState, service: Service) -> None:
    """Judge a start by the probe in force; one that asks nothing is satisfied."""
    ready = service.spec.ready
    made = service.origin
    service.forget_deadline()
    if made.forks and not service.definition.forks:
        _give_up_background(host, service)
        return
    if not made.probe or (ready.probe is None and not made.one_shot):
        move(host, service, Move.READY)
        return
    if ready.probe is not None:
        host.emit(AwaitReady(service.spec.name, service.generation, ready))
    if service.may_have_been_unheard and not ready.timeout_seconds:
        host.arm(service, Timer.START_DEADLINE, Readiness().timeout_seconds)
    arm_deadline(host, service)


def _give_up_background(host: HostState, service: Service) -> None:
    """End a start that was going into the background: no pid file will name its process any more."""
    service.death = Death("its definition changed while it started, and has no pid file now")
    service.note_start_failure(host.now)
    move(host, service, Move.NEVER_READY)

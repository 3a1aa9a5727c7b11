"""What a move of one service means: the steps of the lifecycle table, carried out.

The first half is starting, the second ending. Every end comes to `_after_end`, once, when nothing
is left of the service: there it is decided whether it starts again by itself, rests, or vanishes.
"""

from dataclasses import replace
from typing import assert_never

from virtsupd.core import lifecycle
from virtsupd.core.domain import GuestStop
from virtsupd.core.effects import (
    AwaitReady,
    CancelTimer,
    EndDomain,
    EndWatches,
    Kill,
    Release,
    RunCleanUp,
    RunPrepare,
    RunReload,
    Spawn,
    StartDomain,
    Terminate,
    WatchCondition,
    WatchHealth,
)
from virtsupd.core.events import Instant, Timer
from virtsupd.core.graph import ServiceGraph
from virtsupd.core.jobs import Phase
from virtsupd.core.lifecycle import Move, Step
from virtsupd.core.restart import next_respawn
from virtsupd.core.service import Death, Rest, RestKind, Service
from virtsupd.core.snapshot import State
from virtsupd.core.spec import ProcessSpec, Readiness
from virtsupd.core.state import HostState

_KILL_PATIENCE_SECONDS = 10.0
"""How long KILL may take before the stop is reported as stuck."""
_DESTROY_PATIENCE_SECONDS = 60.0
"""Likewise for libvirt, which asks QEMU first and kills it after 15 s or so (libvirt 9.0)."""


def move(host: HostState, service: Service, kind: Move) -> None:
    """Let a move happen to a service and carry out what the lifecycle says it means."""
    state, steps = lifecycle.advance(service.state, kind)
    if state is not service.state:
        host.sought.discard(service.spec.name)
        service.enter(state, host.now)
        host.announce(service.spec.name, f"service {state}")
    host.dirty.add(service.spec.name)
    for step in steps:
        _carry_out(host, service, step)


def _carry_out(host: HostState, service: Service, step: Step) -> None:
    match step:
        case Step.SPAWN:
            _spawn(host, service)
        case Step.ARM_DEADLINE:
            _time_start(host, service)
        case Step.BEGIN_RUN:
            _begin_run(host, service)
        case Step.END_WATCHES:
            end_watches(host, service)
        case Step.TERMINATE | Step.ESCALATE | Step.CLEAN_UP:
            _end(host, service, step)
        case Step.SETTLE:
            _after_end(host, service)
        case Step.SPAWN_JOB | Step.END_JOB:
            _pass_job(host, service, step)
        case _:
            assert_never(step)


def _spawn(host: HostState, service: Service) -> None:
    spec = service.spec
    service.begin_start(host.next_generation())
    if spec.domain is not None:
        host.emit(StartDomain(spec.name, service.generation, spec.domain, spec.ready))
    elif spec.process is not None and spec.timer is None:
        _make(host, service, spec.process, spec.ready)
    elif spec.ready.probe is not None:
        host.emit(AwaitReady(spec.name, service.generation, spec.ready))
    else:
        move(host, service, Move.READY)


def _make(host: HostState, service: Service, process: ProcessSpec, ready: Readiness) -> None:
    """Make a process, or first have run what prepares it."""
    name, prepare = service.spec.name, service.spec.prepare
    if prepare is None:
        _emit_spawn(host, service, process, ready)
    else:
        service.prepared_for = process, ready
        host.emit(RunPrepare(name, service.generation, prepare))


def make_prepared(host: HostState, service: Service) -> None:
    """Make the process that was prepared; its time to become ready begins now."""
    if service.prepared_for is None:
        return
    process, ready = service.prepared_for
    service.prepared_for = None
    _emit_spawn(host, service, process, ready)
    if service.state is State.STARTING and ready.probe is not None and ready.timeout_seconds:
        host.arm(service, Timer.START_DEADLINE, ready.timeout_seconds)


def _emit_spawn(host: HostState, service: Service, process: ProcessSpec, ready: Readiness) -> None:
    """Have a process made now, with what the newest command that still waits for it gives this one run."""
    service.once = host.take_once(service.spec.name)
    if service.once:
        process = replace(process, command=(*process.command, *service.once))
    host.emit(Spawn(service.spec.name, service.generation, process, ready))


def _pass_job(host: HostState, service: Service, step: Step) -> None:
    """Begin the job of a timer, or end it; events and timers of before are void from here on."""
    spec = service.spec
    service.wakes_at = None
    if step is Step.SPAWN_JOB and spec.process is not None:
        service.begin_process(host.next_generation())
        _make(host, service, spec.process, spec.ready)
        return
    service.forget_process(host.next_generation())
    host.cancel(spec.name, Timer.STOP_DELAY)
    if spec.transient:
        service.is_removed = True


def _time_start(host: HostState, service: Service) -> None:
    if service.prepared_for is None:  # else its time begins when its process is made
        arm_deadline(host, service)


def arm_deadline(host: HostState, service: Service) -> None:
    """Let a start fail after the time that its definition gives it from now on.

    That of a guest of libvirt's counts from its beginning: it is never ended for being slow, so what
    nobody kept meanwhile does no harm.
    """
    seconds = service.spec.ready.timeout_seconds
    if service.state is not State.STARTING or service.spec.ready.probe is None or not seconds:
        return
    if service.origin.domain is not None:
        seconds -= max(0.0, host.now.wall - service.since)
    host.arm(service, Timer.START_DEADLINE, max(0.0, seconds))


def _begin_run(host: HostState, service: Service) -> None:
    service.ready_at = host.now.monotonic
    service.due = None
    service.is_asked_again = False
    watch_health(host, service)
    watch_condition(host, service)
    host.retry_not_needed(host.graph.needed_by[service.spec.name])
    tell_to_reload(host, service)


def tell_to_reload(host: HostState, service: Service) -> None:
    """Have a service read its changed files again, if it is to and can; if not, once it runs."""
    reload = service.spec.reload
    if service.is_to_reload and service.can_reload and reload is not None:
        host.emit(RunReload(service.spec.name, service.generation, reload))


def watch_health(host: HostState, service: Service) -> None:
    """Probe a running service as its definition says, if it has a process or is a guest of libvirt's."""
    health = service.spec.health
    has_one = service.pid is not None or service.origin.domain is not None
    if health is not None and has_one:
        is_well = service.unhealthy is None
        host.emit(WatchHealth(service.spec.name, service.generation, health, is_well))


def watch_condition(host: HostState, service: Service) -> None:
    """Watch a condition that holds, if it is of a kind that may cease to."""
    probe = service.spec.lasting
    if probe is not None and service.origin.is_stage:
        host.emit(WatchCondition(service.spec.name, service.generation, probe))


def end_watches(host: HostState, service: Service) -> None:
    """Have its probes and the deadline of its start forgotten."""
    name = service.spec.name
    host.emit(CancelTimer(name, Timer.START_DEADLINE))
    host.emit(EndWatches(name, service.generation))


def _end(host: HostState, service: Service, step: Step) -> None:
    if step is Step.ESCALATE:
        _escalate(host, service)
    elif step is Step.CLEAN_UP:
        _clean_up(host, service)
    else:
        _terminate(host, service)


def _terminate(host: HostState, service: Service) -> None:
    service.prepared_for = None
    if not service.has_process:
        move(host, service, Move.GONE)
    elif service.job is None or service.job.phase is not Phase.ENDING:
        _send_end(host, service)


def _send_end(host: HostState, service: Service) -> None:
    stop = service.stop
    domain = service.origin.domain
    if domain is None:
        host.emit(Terminate(service.spec.name, service.generation, stop))
        host.arm(service, Timer.STOP_DELAY, stop.delay_seconds)
    else:
        how = stop.how or GuestStop.SHUTDOWN
        _await_libvirt(host, service)
        host.emit(EndDomain(service.spec.name, service.generation, domain, how))


def _escalate(host: HostState, service: Service) -> None:
    service.kills += 1
    if service.kills == 1:
        _kill(host, service)
    else:
        host.announce(service.spec.name, "service cannot be killed")


def _kill(host: HostState, service: Service) -> None:
    name, domain = service.spec.name, service.origin.domain
    if domain is None:
        host.emit(Kill(name, service.generation, service.stop))
        host.arm(service, Timer.STOP_DELAY, _KILL_PATIENCE_SECONDS)
    else:
        _await_libvirt(host, service)
        host.emit(EndDomain(name, service.generation, domain, GuestStop.DESTROY))


def _await_libvirt(host: HostState, service: Service) -> None:
    service.due = None
    host.cancel(service.spec.name, Timer.STOP_DELAY)


def time_end(host: HostState, service: Service, *, is_reached: bool) -> None:
    """Let the time that a guest of libvirt's has to end begin when libvirt can be asked to end it.

    Who could not be asked is not destroyed for it. In a shutdown of the host that is overdue all
    that begun goes on.
    """
    if service.state is not State.STOPPING:
        return
    if is_reached and service.due is None:
        patience = _DESTROY_PATIENCE_SECONDS if service.kills else service.stop.delay_seconds
        host.arm(service, Timer.STOP_DELAY, patience)
    elif not is_reached and not (host.shutdown is not None and host.shutdown.is_overdue):
        _await_libvirt(host, service)


def end_at_last(host: HostState, service: Service) -> None:
    """End in the hardest way, and after its time give up, what a shutdown waits for no longer."""
    if not service.kills:
        move(host, service, Move.OVERDUE)
    if service.due is None:
        host.arm(service, Timer.STOP_DELAY, _DESTROY_PATIENCE_SECONDS)
        host.touched.add(service.spec.name)


def end_again(host: HostState, service: Service) -> None:
    """Go on with a stop that an earlier virtsupd began: the signal may not have been sent.

    It ends when it would have; a time that passed while nobody was there begins anew.
    """
    due = service.due
    if service.kills:
        service.kills = 1
        _kill(host, service)
    else:
        _send_end(host, service)
    if due is not None and not host.is_past(due):
        host.arm(service, Timer.STOP_DELAY, due.monotonic - host.now.monotonic)


def _clean_up(host: HostState, service: Service) -> None:
    if service.clean_up is not None:
        host.end_backoff(service)
        service.is_cleaning = service.is_half_cleaned = True
        service.kills = 0  # those of an earlier stop say nothing of this one
        service.due = None
        host.cancel(service.spec.name, Timer.STOP_DELAY)
        host.emit(RunCleanUp(service.spec.name, service.generation, service.clean_up))


def _after_end(host: HostState, service: Service) -> None:
    """Decide what becomes of a service that has just stopped."""
    name, death = service.spec.name, service.death
    has_sockets, was_timer = service.origin.has_sockets, service.origin.is_timer
    service.is_marked = False
    service.is_asked_again = False
    service.made = None
    service.death = None
    service.fires_at = service.wakes_at = None
    # Whatever is still under way for the last generation is void.
    service.forget_process(host.next_generation())
    host.cancel(name, Timer.STOP_DELAY)
    if was_timer:
        host.cancel(name, Timer.FIRING)
        host.cancel(name, Timer.JOB_DEADLINE)
    if host.vanishes(service):
        if service.clean_up is None:  # else it comes here once more, cleaned up
            _vanish(host, service, death.text if death is not None else "stopped")
    elif death is not None and _is_followed_up(host, service, death):
        _rest_or_respawn(host, service, death)
    if has_sockets and (not host.is_wanted(service) or service.rest is not None):
        host.emit(Release(name))


def _is_followed_up(host: HostState, service: Service, death: Death) -> bool:
    """Whether something has to be noted: where a guest went is, also of one that nobody wants now."""
    is_elsewhere = death.rest is not None and death.rest.kind is RestKind.ELSEWHERE
    return is_elsewhere or (host.is_wanted(service) and service.enabled)


def _rest_or_respawn(host: HostState, service: Service, death: Death) -> None:
    service.rest = death.rest
    if death.rest is None:
        _respawn(host, service, death)
    if service.rest is not None:
        service.rests_as = service.rest_mark
    if service.rest is not None and service.rest.kind is RestKind.FAILED:
        host.announce(service.spec.name, "service failed")


def _respawn(host: HostState, service: Service, death: Death) -> None:
    policy = service.spec.respawn
    if policy is None:
        service.rest = Rest(RestKind.FAILED, death.text)
        return
    now = host.now.monotonic
    ran = now - service.ready_at if service.ready_at is not None else None
    if ran is None and service.spec.is_stage:
        ran = 0.0  # a condition may come true at any time
    found = next_respawn(policy, service.respawn_record, now=now, ran_seconds=ran)
    if found is None:
        limit = f"{policy.limit} respawns within {policy.window_seconds:g} s"
        service.rest = Rest(RestKind.FAILED, f"{death.text}; the limit is {limit}")
        return
    delay, service.respawn_record = found
    service.setback = death.text
    service.note_respawn(host.now)
    if delay > 0:
        service.retry_at = Instant(now + delay, host.now.wall + delay)
        host.arm(service, Timer.BACKOFF, delay)


def _vanish(host: HostState, service: Service, text: str) -> None:
    """Drop a stopped service from the graph."""
    name = service.spec.name
    host.dirty.update(host.neighbours(name))
    host.forget(service, text)
    specs = tuple(s for n, s in host.graph.spec_by_name.items() if n != name)
    absent = host.graph.absent | {name, *service.spec.provides}
    host.graph = ServiceGraph.build(specs, absent=absent)

"""What happened to one service: each event is judged and becomes a move, or a fact to show.

An end that nobody asked for is judged when it is seen, while it is known what the service was
doing; what follows from it is decided when nothing is left (`moves`).
"""

from dataclasses import replace
from typing import Final, assert_never

from virtsupd.core import restore, timing
from virtsupd.core.domain import GuestStop
from virtsupd.core.effects import Report, Result
from virtsupd.core.events import (
    Adopted,
    Appeared,
    BecameReady,
    CleanedUp,
    Defined,
    Exited,
    Fell,
    Fired,
    Gone,
    HealthChanged,
    NeverMade,
    NeverReady,
    Prepared,
    Reached,
    ReloadEnded,
    Spawned,
    SpawnFailed,
    Timer,
    Told,
    Verb,
)
from virtsupd.core.exits import ExitStatus
from virtsupd.core.jobs import Phase
from virtsupd.core.lifecycle import Move
from virtsupd.core.moves import make_prepared, move, time_end
from virtsupd.core.service import Death, Rest, RestKind, Service
from virtsupd.core.snapshot import ExitRecord, State
from virtsupd.core.state import HostState
from virtsupd.core.wanted import set_wanted

_PROGRESS_SECONDS: Final = 0.2
"""How often at most others are told what a service says of itself while it starts."""

ServiceEvent = (
    Spawned
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
    | CleanedUp
    | Prepared
)


def take(host: HostState, service: Service, event: ServiceEvent) -> None:
    """Take an event about the present generation of a service."""
    match event:
        case Prepared():
            _prepared(host, service, event)
        case Spawned() | SpawnFailed():
            _spawn_ended(host, service, event)
        case Adopted() | NeverMade() | BecameReady() | NeverReady() | Fell():
            _found(host, service, event)
        case Exited():
            _exited(host, service, event)
        case Gone() | CleanedUp():
            _gone(host, service, event)
        case Fired():
            _fired(host, service, event.timer)
        case HealthChanged() | Told() | Reached() | ReloadEnded():
            _heard(host, service, event)
        case _:
            assert_never(event)


def appeared(host: HostState, event: Appeared) -> None:
    """Want a guest that somebody else started, and take it for what it is; not in a shutdown.

    It is started whatever would hold it back, since it runs: that start only finds it. One that a
    command left to itself, under an earlier virtsupd perhaps, stays so until it is started anew.
    """
    service = host.services.get(event.name)
    if service is None or service.is_alive or host.is_shutting_down:
        return
    was_left = service.spec.stop.how is GuestStop.LEAVE and not service.wanted
    if was_left and service.wanted_by and not event.is_new:
        return
    host.clear_failure(service)
    set_wanted(host, [event.name], wanted=True, who="libvirt")
    host.touched.add(event.name)
    move(host, service, Move.START)


def defined(host: HostState, event: Defined) -> None:
    """Let a guest start that libvirt did not know when it was to; other failures stand."""
    service = host.services.get(event.name)
    if service is not None and service.is_undefined and not service.is_alive:
        service.is_undefined = False
        host.clear_failure(service)
        host.dirty.add(event.name)


def _spawn_ended(host: HostState, service: Service, event: Spawned | SpawnFailed) -> None:
    if isinstance(event, Spawned):
        service.pid = event.pid
        service.warnings = event.warnings
        timing.spawned(host, service)
        move(host, service, Move.SPAWNED)
        if service.state is State.STARTING and not service.origin.probe:
            move(host, service, Move.READY)
        return
    text = f"{event.stage}: {event.message}"
    service.note_start_failure(host.now)
    if service.job is not None:
        timing.judge(host, service, f"could not be started: {text}")
        move(host, service, Move.SPAWN_FAILED)
        return
    service.is_undefined = event.is_permanent and service.origin.domain is not None
    rest = Rest(RestKind.FAILED, text) if event.is_permanent else None
    if event.is_elsewhere:
        rest = Rest(RestKind.ELSEWHERE, event.message)
    service.death = Death(text, rest)
    # One that was running could not be looked for; whatever is left of it is nobody's to end.
    is_running = service.state is State.RUNNING
    move(host, service, Move.DIED if is_running else Move.SPAWN_FAILED)


def _prepared(host: HostState, service: Service, event: Prepared) -> None:
    """Make a process once it is prepared; one that is to stop meanwhile is not made."""
    if event.why is None:
        make_prepared(host, service)
    elif service.prepared_for is not None:
        service.prepared_for = None
        failed = SpawnFailed(event.name, event.generation, "prepare", event.why, is_permanent=False)
        _spawn_ended(host, service, failed)


def _found(
    host: HostState, service: Service, event: Adopted | NeverMade | BecameReady | NeverReady | Fell
) -> None:
    if isinstance(event, Adopted | NeverMade):
        _looked_for(host, service, event)
    elif isinstance(event, Fell):
        _fell(host, service, event)
    else:
        _probe_ended(host, service, event)


def _probe_ended(host: HostState, service: Service, event: BecameReady | NeverReady) -> None:
    if isinstance(event, NeverReady):
        _start_failed(host, service, f"did not become ready: {event.why}")
        return
    if event.pid is not None:
        service.pid = event.pid
    move(host, service, Move.READY)


def _fell(host: HostState, service: Service, event: Fell) -> None:
    """Wait for a condition again; what relies on it runs on, if it is not bound to it."""
    if service.state is State.RUNNING and service.spec.lasting is not None:
        move(host, service, Move.FELL)
        service.not_ready_because = event.why
        host.announce(service.spec.name, "condition fell")


def _start_failed(host: HostState, service: Service, text: str) -> None:
    if service.state is State.STARTING and _is_dispensable(host, service):
        rest = Rest(RestKind.NOT_NEEDED, f"not here, and nothing requires it: {text}")
        service.death = Death(text, rest)
    elif service.state is State.STARTING:
        service.death = Death(text)
        service.note_start_failure(host.now)
    move(host, service, Move.NEVER_READY)


def _is_dispensable(host: HostState, service: Service) -> bool:
    """Whether it is a condition that is asked once and that others at most want.

    Not needed satisfies every edge, and here there is none: who requires it later comes with a
    reload, which asks again.
    """
    spec = service.spec
    return spec.is_stage and spec.respawn is None and not host.graph.needed_by.get(spec.name)


def _looked_for(host: HostState, service: Service, event: Adopted | NeverMade) -> None:
    """Go on with what was found of a start; it died if there is no trace, and it was ever seen."""
    if isinstance(event, Adopted):
        restore.take_found(host, service, event)
    elif _was_seen(service) and service.state is State.STARTING and service.origin.forks:
        _start_failed(host, service, "its first process has ended, and no other is left")
    elif _was_seen(service):
        _exited(host, service, Exited(service.spec.name, service.generation, ExitStatus()))
    else:
        restore.start_anew(host, service)


def _was_seen(service: Service) -> bool:
    """Whether a process is known to have been made, and how it ended is still to be judged."""
    if service.job is not None:
        return service.is_up and service.job.phase is not Phase.SPAWNING
    return service.is_up and (service.state is State.RUNNING or service.pid is not None)


def _exited(host: HostState, service: Service, event: Exited) -> None:
    made, status = service.origin, event.status
    is_unknown = status == ExitStatus()
    if event.is_elsewhere:
        # Also while it ends for a restart: that would have it here and on the other host.
        service.death = Death(str(status), Rest(RestKind.ELSEWHERE, str(status)))
    if service.is_done:
        return  # an earlier virtsupd saw it end
    if service.is_ending and service.pid is None and (is_unknown or service.adopted_at is not None):
        return  # an earlier virtsupd saw it, and began to end what is left
    if made.is_timer:
        timing.exited(host, service, status)
        return
    is_success = status.code in service.spec.success_exit
    if service.state is State.STARTING and made.forks and (is_success or is_unknown):
        # How the first process of an adopted one ended may be unknown: its pid file tells more.
        service.pid = None
        move(host, service, Move.HANDED_OVER)
        return
    service.note_exit(ExitRecord(status, host.now.wall))
    if service.state is State.STARTING and is_success and made.one_shot:
        move(host, service, Move.COMPLETED)
        return
    if not event.is_elsewhere and service.state is not State.STOPPING:
        service.death = _death_of(host, service, event)
    host.announce(service.spec.name, "service exited")
    move(host, service, Move.DIED)


def _death_of(host: HostState, service: Service, event: Exited) -> Death:
    """Judge an end that nobody asked for; of a machine's the exit code says nothing."""
    if service.origin.machine is None:
        return _death(host, service, event.status)
    text = event.end or str(event.status)
    if event.end is None and event.status.tells_little:
        text = f"{text}; its monitor did not say why"
    policy = service.spec.respawn
    if event.end is not None and event.end.is_wish and (policy is None or policy.only_failures):
        return Death(text, Rest(RestKind.FINISHED, text))
    if service.state is State.STARTING:
        service.note_start_failure(host.now)
        text = f"{text}, before it was ready"
    return Death(text)


def _death(host: HostState, service: Service, status: ExitStatus) -> Death:
    """Judge an end that nobody asked for by its exit status."""
    spec = service.spec
    if status.code is not None and status.code in spec.not_needed_exit:
        return Death(str(status), Rest(RestKind.NOT_NEEDED, f"not needed here: {status}"))
    rests_well = spec.respawn is None or spec.respawn.only_failures
    has_finished = rests_well and status.code in spec.success_exit
    is_ours = service.origin.domain is None
    if service.state is State.STARTING and (is_ours or not has_finished):
        service.note_start_failure(host.now)
        return Death(f"{status} before it was ready")
    if has_finished:
        return Death(str(status), Rest(RestKind.FINISHED, str(status)))
    return Death(str(status))


def _gone(host: HostState, service: Service, event: Gone | CleanedUp) -> None:
    """Let a stop end when nothing is left of its processes, and then nothing that they made."""
    if isinstance(event, CleanedUp):
        service.is_cleaning = service.is_half_cleaned = False
        service.clean_up = None
        if event.why is not None:
            service.not_cleaned = event.why
            host.announce(service.spec.name, "service clean-up failed")
        move(host, service, Move.GONE)
        return
    if service.is_cleaning:
        return
    if service.state is State.STOPPING and host.is_to_be_cleaned(service):
        move(host, service, Move.CLEAN_UP)
    elif service.state is State.STOPPING or service.job is not None:
        move(host, service, Move.GONE)


def _start_overdue(host: HostState, service: Service) -> None:
    seconds = service.spec.ready.timeout_seconds
    if service.may_have_been_unheard:
        move(host, service, Move.READY)
        return
    if service.has_fallen and not _is_dispensable(host, service):
        service.due = None  # what was there may come back at any time
        return
    if service.may_be_late:
        # Slow is no reason to end it: `Service.is_late` is what is told.
        service.due = None
        service.is_overdue = True
        host.announce(service.spec.name, "service late")
        return
    seen = f": {service.not_ready_because}" if service.not_ready_because else ""
    _start_failed(host, service, f"not ready within {seconds:g} s{seen}")


def _fired(host: HostState, service: Service, timer: Timer) -> None:
    match timer:
        case Timer.START_DEADLINE:
            _start_overdue(host, service)
        case Timer.STOP_DELAY:
            if service.state is State.STOPPING or service.job is not None:
                move(host, service, Move.OVERDUE)
        case Timer.BACKOFF:
            if service.retry_at is not None:
                service.retry_at = None
                host.dirty.add(service.spec.name)
        case Timer.SHUTDOWN:
            raise AssertionError(timer)  # it belongs to no service
        case Timer.FIRING | Timer.JOB_DEADLINE:
            timing.fired(host, service, timer)
        case _:
            assert_never(timer)


def _heard(
    host: HostState, service: Service, event: HealthChanged | Told | Reached | ReloadEnded
) -> None:
    match event:
        case Told():
            _told(host, service, event)
        case HealthChanged():
            _health_changed(host, service, event.why)
        case Reached():
            time_end(host, service, is_reached=event.is_reached)
        case ReloadEnded():
            _reload_ended(host, service, event)
        case _:
            assert_never(event)


def _told(host: HostState, service: Service, event: Told) -> None:
    match event.kind:
        case "status":
            _says(host, service, event)
        case "waiting":
            service.not_ready_because = event.text
        case "denied":
            service.denied = event.text
        case "stopping" | "reloading":
            pass
        case _:
            assert_never(event.kind)


def _says(host: HostState, service: Service, event: Told) -> None:
    """Take what it says of itself; of one that starts, whoever waits is told, but not of each word of a chatterer."""
    before = service.said_at
    service.say(event.text, host.now.wall, event.note)
    is_slow = not 0 <= service.said_at - before < _PROGRESS_SECONDS
    if service.state is State.STARTING and service.said_at != before and is_slow:
        host.announce(service.spec.name, "service progress")


def _health_changed(host: HostState, service: Service, why: str | None) -> None:
    health = service.spec.health
    if health is None:
        return
    if why is not None and health.on_failure == "restart":
        if service.is_up:
            service.death = Death(f"failed its health check: {why}")
        move(host, service, Move.UNHEALTHY)
        return
    if service.unhealthy is None:
        service.unhealthy_at = host.now.wall
    service.unhealthy = why
    host.announce(service.spec.name, "service degraded" if why else "service recovered")


def _reload_ended(host: HostState, service: Service, event: ReloadEnded) -> None:
    name = service.spec.name
    service.is_to_reload = False
    if event.why is None and service.made is not None:
        service.made = replace(service.made, reread=service.definition.reread)
    host.announce(name, "service reload failed" if event.why else "service reloaded")
    for ticket in host.tickets.values():
        if ticket.verb is Verb.RELOAD and name in ticket.open:
            result = Result.FAILED if event.why else Result.DONE
            ticket.close(Report(name, result, event.why or f"{name} has been reloaded"))

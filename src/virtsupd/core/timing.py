"""Timers: which firings run a job, and what becomes of the job.

Theory of operation. A timer's past is one number: all firings up to `Firings.seen` are settled. The
next one after it is due or is not, so a firing can neither be repeated nor forgotten, whatever
happened meanwhile: virtsupd was away, the host was off, the clock was set, what the timer needs was
down. Nothing else is kept, and what was missed is derived.

Every settling of firings is written down before anything comes of it (`RememberFirings` precedes
the `Spawn`). A crash between the two loses that firing; none runs a job twice.

However many were missed, one job makes up for them. A firing during a job is dropped.
"""

import math
from collections.abc import Iterable
from dataclasses import replace

from virtsupd.core.effects import ArmTimer, Report, Result
from virtsupd.core.events import Asked, Timer, Verb
from virtsupd.core.exits import ExitStatus
from virtsupd.core.jobs import FRESH, Firings, Job, JobRun, Phase, times_of
from virtsupd.core.lifecycle import Move
from virtsupd.core.moves import move
from virtsupd.core.names import Name
from virtsupd.core.service import Service
from virtsupd.core.snapshot import ExitRecord, State
from virtsupd.core.spec import TimerSpec
from virtsupd.core.state import HostState, is_held
from virtsupd.core.ticket import Ticket

_DAY_SECONDS = 86_400.0
"""If more than this is settled ahead of now, the clock was wrong when it was noted."""
_LATE_SECONDS = 30.0
"""A firing may always be this late: virtsupd was restarted, or had much to do."""
BY_ITSELF = "its timer"


def look(host: HostState, service: Service) -> None:
    """Run a job if a firing of an armed timer is due, and wait for the next one.

    Nothing of a service that is no timer, or not armed. In a shutdown nothing fires.
    """
    timer = _armed(service)
    if timer is None or host.is_shutting_down:
        return
    now = host.now.wall
    upcoming = _next(host, service, timer, _begin(host, service, timer))
    if upcoming is not None and upcoming <= now and _is_settled(host, service, timer):
        upcoming = _next(host, service, timer, now)
    _arm(host, service, upcoming)
    is_held_back = service.firings.held_until is not None
    if service.spec.transient and upcoming is None and service.job is None and not is_held_back:
        service.is_removed = True
        host.dirty.add(service.spec.name)


def _armed(service: Service) -> TimerSpec | None:
    """Return when the jobs of an armed timer run."""
    return service.timer if service.state is State.RUNNING else None


def _begin(host: HostState, service: Service, timer: TimerSpec) -> float:
    """Return up to when firings are settled: those before the timer was armed, or had these times, are."""
    known, now, times = service.firings, host.now.wall, times_of(timer)
    if known.seen is None or known.of != times:
        known = Firings(now, times, known.held_until)
    known = _recall(host, timer, _set_back(known, now))
    if known.held_until is not None and known.held_until <= now:
        known = replace(known, seen=max(known.seen or now, known.held_until), held_until=None)
        host.announce(service.spec.name, "timer released")
    host.remember_firings(service, known)
    return now if known.seen is None else known.seen


def _set_back(known: Firings, now: float) -> Firings:
    """Return what counts if the clock may have been set back: of its own, what was settled alone.

    What is settled far ahead was noted by a clock that was wrong; one that is wrong now may have
    been right then, so it is noted `ahead`.
    """
    seen, settled_at = known.seen, known.settled_at
    if seen is None or seen <= now:
        return known
    if seen <= now + _DAY_SECONDS:
        return replace(known, seen=now if settled_at is None else max(now, settled_at))
    is_near = settled_at is not None and settled_at <= now + _DAY_SECONDS
    ahead = seen if known.ahead is None else max(seen, known.ahead)
    if settled_at is None or not is_near:
        return replace(known, seen=now, settled_at=None, ahead=ahead)
    return replace(known, seen=max(now, settled_at), ahead=ahead)


def _recall(host: HostState, timer: TimerSpec, known: Firings) -> Firings:
    """Return what counts if the clock was set to where it had been: what was settled there, too.

    A clock that came there by itself let the timer fire in time on the way.
    """
    seen, ahead, now = known.seen, known.ahead, host.now.wall
    if seen is None or ahead is None or ahead > now + _DAY_SECONDS:
        return known
    due = host.calendar.next_firing(timer, seen)
    if due is None or now - due <= _LATE_SECONDS:
        return known
    return replace(known, seen=max(seen, ahead), settled_at=ahead, ahead=None)


def _next(host: HostState, service: Service, timer: TimerSpec, seen: float) -> float | None:
    """Return the first firing that is neither settled nor held."""
    held_until = service.firings.held_until
    if held_until is not None:
        seen = max(seen, held_until)
    return None if math.isinf(seen) else host.calendar.next_firing(timer, seen)


def _is_settled(host: HostState, service: Service, timer: TimerSpec) -> bool:
    """Settle what is due; False: it waits for what the timer needs."""
    name = service.spec.name
    if service.job is not None:
        service.skipped += 1
        host.touched.add(name)
        host.announce(name, "firing skipped")
    elif unmet(host, service):
        return False
    elif _is_too_late(host, timer):
        host.announce(name, "firing missed")
    else:
        _settle(host, service)
        run(host, service, BY_ITSELF)
        return True
    _settle(host, service)
    return True


def _settle(host: HostState, service: Service) -> None:
    now = host.now.wall
    host.remember_firings(service, replace(service.firings, seen=now, settled_at=now))


def _is_too_late(host: HostState, timer: TimerSpec) -> bool:
    last = host.calendar.last_firing(timer, host.now.wall) or 0.0
    return host.now.wall - last > max(timer.catch_up_seconds, _LATE_SECONDS)


def unmet(host: HostState, service: Service) -> tuple[Name, ...]:
    """Return what a job cannot run without, and is not there."""
    needs = host.graph.needs[service.spec.name]
    services, sought = host.services, host.sought
    return tuple(n for n in needs if n in sought or not services[n].view.is_satisfied)


def _arm(host: HostState, service: Service, upcoming: float | None) -> None:
    """Wake when a timer fires next, or may again."""
    service.fires_at = upcoming
    times = (upcoming, service.firings.held_until)
    ahead = [at for at in times if at is not None and host.now.wall < at < math.inf]
    wakes_at = min(ahead, default=None)
    if wakes_at is not None and wakes_at != service.wakes_at:
        host.arm(service, Timer.FIRING, wakes_at - host.now.wall)
    service.wakes_at = wakes_at


def begin_anew(host: HostState, service: Service) -> None:
    """Count no firing so far as missed: somebody arms or disarms the timer."""
    known = _set_back(service.firings, host.now.wall)
    if known.seen is not None:
        known = replace(known, seen=max(known.seen, host.now.wall))
        host.remember_firings(service, known)


def look_again(host: HostState, service: Service) -> None:
    """Forget what an armed timer waits for, so that it is found anew."""
    service.wakes_at = None
    host.dirty.add(service.spec.name)


def clock_set(host: HostState) -> None:
    """Wait anew for all firings: the wall clock shows something else than was expected."""
    for service in host.services.values():
        if _armed(service) is not None:
            look_again(host, service)


def boot(host: HostState) -> None:
    """Forget the firings of what is no longer there or is not armed: it would begin anew."""
    for service in host.services.values():
        if not service.wanted:
            begin_anew(host, service)
    for name, known in list(host.remembered.items()):
        if name not in host.services and known.firings != FRESH:
            host.forget_firings(name)


# What is asked of a timer


def ask(host: HostState, event: Asked, ticket: Ticket) -> None:
    """Take a command about timers; of what is none it is said to fail."""
    for name in ticket.names:
        if host.services[name].spec.timer is None:
            ticket.close(Report(name, Result.FAILED, f"{name}: it has no timer"))
    timers = [host.services[name] for name in ticket.names if name in ticket.open]
    match event.verb:
        case Verb.TRIGGER:
            _trigger(host, timers, ticket, event.who)
        case Verb.HOLD:
            _hold(host, timers, math.inf if event.until is None else event.until)
        case _:
            _release(host, timers)


def _trigger(host: HostState, timers: Iterable[Service], ticket: Ticket, who: str) -> None:
    """Start jobs by hand, also of timers that are held; those that cannot are said to fail."""
    for service in timers:
        refusal = _why_no_job(host, service)
        if refusal is not None:
            name = service.spec.name
            ticket.close(Report(name, Result.FAILED, f"{name}: {refusal}"))
        else:
            run(host, service, who)


def _why_no_job(host: HostState, service: Service) -> str | None:
    if _armed(service) is None or service.view.must_stop or host.is_shutting_down:
        return "its timer is not armed; virtsupctl start arms it"
    if service.job is not None:
        return "a job of it is under way"
    missing = unmet(host, service)
    return f"it needs {', '.join(missing)}" if missing else None


def _hold(host: HostState, timers: Iterable[Service], until: float) -> None:
    """Let nothing fire until then, or until it is released; what would have is not made up for."""
    for service in timers:
        host.remember_firings(service, replace(service.firings, held_until=until))
        look_again(host, service)
        host.announce(service.spec.name, "timer held")


def _release(host: HostState, timers: Iterable[Service]) -> None:
    """Let timers fire again, from now on."""
    for service in timers:
        seen = host.now.wall if is_held(host, service) else service.firings.seen
        host.remember_firings(service, replace(service.firings, seen=seen, held_until=None))
        look_again(host, service)
        host.announce(service.spec.name, "timer released")


def outcome_of_trigger(host: HostState, service: Service) -> Report | None:
    """Return what a trigger came to, once there is a process or none could be made."""
    name = service.spec.name
    if service.job is None:
        is_news = service.start_failures[:1] == (host.now.wall,)
        why = service.job_failure if is_news else "was stopped"
        return Report(name, Result.FAILED, f"{name}: its job {why}")
    if service.job.phase is Phase.SPAWNING:
        return None
    return Report(name, Result.DONE, f"{name}: its job has been started")


# Jobs


def run(host: HostState, service: Service, cause: str) -> None:
    """Start a job of an armed timer that has none."""
    service.job = Job(cause, host.now.wall)
    move(host, service, Move.RUN_JOB)


def spawned(host: HostState, service: Service) -> None:
    """Note that the process of a job is there, and how long it may be."""
    if service.job is None:
        return
    service.job = replace(service.job, phase=Phase.RUNNING)
    host.announce(service.spec.name, "job started")
    _arm_deadline(host, service)


def _arm_deadline(host: HostState, service: Service) -> None:
    """Let a job be ended after the time that its timer gives it from now on."""
    seconds = service.timer.timeout_seconds if service.timer is not None else 0.0
    if seconds:
        host.arm(service, Timer.JOB_DEADLINE, seconds)


def adopted(host: HostState, service: Service) -> None:
    """Go on with a job that an earlier virtsupd began, unless it is being ended."""
    job = service.job
    if job is None or job.phase is Phase.ENDING:
        return
    service.job = replace(job, phase=Phase.RUNNING)
    if service.due is not None:
        at = service.due.monotonic
        host.emit(ArmTimer(service.spec.name, service.generation, Timer.JOB_DEADLINE, at))
    elif job.phase is Phase.SPAWNING:
        _arm_deadline(host, service)  # it was made, and virtsupd died before that was kept


def exited(host: HostState, service: Service, status: ExitStatus) -> None:
    """Judge how the process of a job ended, and end what it left behind."""
    job, now = service.job, host.now.wall
    service.note_exit(ExitRecord(status, now))
    service.note_run(JobRun(status, job.began if job is not None else now, now))
    host.announce(service.spec.name, "service exited")
    if job is None or job.phase is Phase.ENDING:
        return
    is_success = status.code in service.spec.success_exit
    if service.state is State.RUNNING:
        judge(host, service, None if is_success else str(status))
        _end(host, service, job)
    elif host.is_wanted(service) and not is_success:
        judge(
            host, service, f"was ended by a restart, or because what it needs went down: {status}"
        )


def fired(host: HostState, service: Service, timer: Timer) -> None:
    """Take what was armed for a timer or its job."""
    if timer is Timer.FIRING:
        look_again(host, service)
    else:
        _overran(host, service)


def _overran(host: HostState, service: Service) -> None:
    """End a job that has run as long as it may."""
    timer, job = _armed(service), service.job
    if timer is not None and job is not None and job.phase is Phase.RUNNING:
        judge(host, service, f"ran longer than {timer.timeout_seconds:g} s")
        _end(host, service, job)


def _end(host: HostState, service: Service, job: Job) -> None:
    """End what there is of a job."""
    host.cancel(service.spec.name, Timer.JOB_DEADLINE)
    move(host, service, Move.JOB_ENDED)
    service.job = replace(job, phase=Phase.ENDING)


def judge(host: HostState, service: Service, failure: str | None) -> None:
    """Note whether the last job was a success (None), which is how well the timer is."""
    before, service.job_failure = service.job_failure, failure
    if failure is not None:
        host.announce(service.spec.name, "job failed")
    elif before is not None:
        host.announce(service.spec.name, "service recovered")

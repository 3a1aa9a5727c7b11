"""What happens to a service next if nobody does anything: for each state and each thing that holds it."""

import math
from collections.abc import Sequence
from enum import StrEnum
from shlex import quote
from typing import assert_never

from virtsupd.core.domain import GuestNote, GuestStop
from virtsupd.core.explain import Hold, HoldKind, goes_first, hold, stops_after
from virtsupd.core.frozen import frozen
from virtsupd.core.jobs import Phase
from virtsupd.core.names import Name
from virtsupd.core.service import RestKind, Service
from virtsupd.core.shutdown import awaited, goes_after
from virtsupd.core.snapshot import State
from virtsupd.core.state import HostState, is_held


class NextKind(StrEnum):
    """What sort of thing happens next, and what `Next.at` is the time of."""

    FIRES = "fires"
    """A timer runs its job `at` that time."""
    STAYS = "stays"
    """Nothing changes by itself, and nothing has to."""
    STARTS = "starts"
    """It starts by itself: `at` that time, or when `names` are as the text says."""
    NEEDS_COMMAND = "needs-command"
    """Nothing, until somebody gives `command`."""
    BECOMES_READY = "becomes-ready"
    """It starts; unless it is ready `at` that time, the start has failed."""
    STOPS = "stops"
    """It stops once `names` are gone."""
    ENDS = "ends"
    """Its processes end by themselves, or get KILL `at` that time."""


@frozen
class Next:
    """What happens next. `text`, `at` and `then` make a sentence: "is killed" at T; then "starts again"."""

    kind: NextKind
    text: str
    at: float | None = None
    """Wall clock."""
    then: str = ""
    names: tuple[Name, ...] = ()
    """The services it depends on."""
    command: tuple[str, ...] = ()
    """The words behind virtsupctl that move it on."""


def what_next(host: HostState, service: Service) -> Next:
    """Return what happens to a service next."""
    if service.view.must_stop:
        return _next_stop(host, service)
    match service.state:
        case State.STOPPED:
            return _next_start(host, service)
        case State.STARTING:
            return _next_of_start(service)
        case State.RUNNING:
            return _next_of_run(host, service)
        case State.STOPPING:
            return _next_of_end(host, service)
        case _:
            assert_never(service.state)


def joined(names: Sequence[str]) -> str:
    """List names as one reads them: "a, b and c"."""
    return " and ".join(part for part in (", ".join(names[:-1]), *names[-1:]) if part)


def _when(names: Sequence[str], one: str, many: str) -> str:
    return f"when {joined(names)} {one if len(names) == 1 else many}"


def _next_stop(host: HostState, service: Service) -> Next:
    names = stops_after(host, service)
    guests = _guests(host, goes_after(host, service.spec.name))
    if guests:
        turn = "one of " if service.spec.is_guest and len(guests) > 1 else ""
        text = f"stops after the end of {turn}{joined(guests)}"
        return Next(NextKind.STOPS, text, then=_afterwards(host, service), names=names)
    text = f"stops {_when(names, 'is gone', 'are gone')}" if names else "stops now"
    return Next(NextKind.STOPS, text, then=_afterwards(host, service), names=names)


def _guests(host: HostState, names: Sequence[Name]) -> list[str]:
    """Name the guests that a shutdown waits for: those that are services, and those of hosts."""
    hosts = host.shutdown.hosts if host.shutdown is not None else {}
    found: list[str] = []
    for name in names:
        if name not in hosts:
            found.append(f"guest {name}")
        elif hosts[name].has_guests:
            guests = hosts[name].guests.values()
            found += [f"guest {guest.name}" for guest in guests if not guest.is_settled]
        else:
            found.append(f"all guests of {name}")
    return found


# Stopped


def _next_start(host: HostState, service: Service) -> Next:
    found = hold(host, service)
    if found is None:
        return Next(NextKind.STARTS, "starts now")
    match found.kind:
        case HoldKind.UNWANTED | HoldKind.DISABLED:
            return _next_of_down(host, service)
        case HoldKind.RESTING:
            return _next_of_rest(host, service)
        case HoldKind.BACKING_OFF:
            at = service.retry_at.wall if service.retry_at is not None else None
            return Next(NextKind.STARTS, "starts again by itself", at=at)
        case _:
            return _next_of_held(host, service, found)


def _next_of_down(host: HostState, service: Service) -> Next:
    name = service.spec.name
    if host.is_shutting_down:
        return Next(NextKind.STAYS, "stays down")
    if service.enabled:
        text = "stays down until somebody starts it, or what needs it"
        return Next(NextKind.NEEDS_COMMAND, text, command=("start", name))
    then = "" if service.wanted else " and started"
    text = f"stays down until it is enabled{then}"
    return Next(NextKind.NEEDS_COMMAND, text, command=("enable", name))


def _next_of_rest(host: HostState, service: Service) -> Next:
    name = service.spec.name
    if service.rest is not None and service.rest.kind is RestKind.NOT_NEEDED:
        needs = host.graph.needs[name]
        cause = f", {_when(needs, 'starts again', 'start again')}" if needs else ""
        text = f"is asked again at a start by command{cause}, or at a reload of the configuration"
        return Next(NextKind.STAYS, text, command=("start", name))
    if service.is_undefined:
        return Next(NextKind.STARTS, "starts when libvirt has its domain (virsh define)")
    if service.is_elsewhere:
        text = "stays down until it runs here again, or somebody starts it by its own name"
        return Next(NextKind.NEEDS_COMMAND, text, command=("start", name))
    text = "stays down until somebody starts it, or what needs it"
    return Next(NextKind.NEEDS_COMMAND, text, command=("start", name))


def _next_of_held(host: HostState, service: Service, found: Hold) -> Next:
    names = found.names
    if found.kind is HoldKind.ORDER:
        text = f"starts {_when(names, 'runs or cannot', 'run or cannot')}"
        return Next(NextKind.STARTS, text, names=names)
    if found.kind is HoldKind.NEEDS:
        return Next(NextKind.STARTS, f"starts {_when(names, 'runs', 'run')}", names=names)
    text = f"starts {_when(names, 'has stopped', 'have stopped')}"
    if all(goes_first(host, host.services[rival]) for rival in names):
        return Next(NextKind.STARTS, text, names=names)
    text += "; a start by command stops what is in its way"
    return Next(NextKind.STARTS, text, names=names, command=("start", service.spec.name))


# Starting and running


def _next_of_start(service: Service) -> Next:
    probe, due, domain = service.origin.probe, service.due, service.origin.domain
    if service.note is GuestNote.ARRIVING and domain is not None:
        return _next_of_guest(service.note, quote(domain.domain))
    if not probe:
        return Next(NextKind.BECOMES_READY, "runs as soon as its process is there")
    text = f"runs when {'its process has ended well' if probe == 'exit' else 'it is ready'}"
    if due is None:
        limit = "each rung has its own limit" if probe == "machine" else "nothing limits the wait"
        return Next(NextKind.BECOMES_READY, f"{text}; {limit}")
    if service.may_have_been_unheard:
        # What it said while there was nobody to hear it is lost.
        return Next(NextKind.BECOMES_READY, f"{text}, and is taken for ready", at=due.wall)
    late = "is waited for all the same" if service.may_be_late else "its start has failed"
    return Next(NextKind.BECOMES_READY, f"{text}, else {late}", at=due.wall)


def _next_of_run(host: HostState, service: Service) -> Next:
    if host.shutdown is not None:
        names = awaited(host, host.shutdown)
        text = f"stops after the end of {joined(_guests(host, names))}"
        return Next(NextKind.STOPS, text, names=names)
    if service.note is not None and service.origin.domain is not None:
        return _next_of_guest(service.note, quote(service.origin.domain.domain))
    needs = host.graph.needs[service.spec.name]
    unmet = tuple(need for need in needs if not host.services[need].view.is_satisfied)
    if unmet:
        text = f"runs on, and is whole again {_when(unmet, 'runs', 'run')}"
        if service.fires_at is not None and service.fires_at <= host.now.wall:
            text = f"runs the job that was missed {_when(unmet, 'runs', 'run')}"
        return Next(NextKind.STAYS, text, names=unmet)
    if service.unhealthy is not None or service.output_trouble is not None:
        what = "health check is repeated" if service.unhealthy is not None else "log is tried again"
        return Next(NextKind.STAYS, f"runs on; its {what}")
    if service.timer is not None:
        return _next_of_timer(host, service)
    is_done = service.origin.one_shot and service.pid is None
    text = "counts as running until this host is booted again" if is_done else "runs on"
    return Next(NextKind.STAYS, "holds" if service.origin.is_stage else text)


def _next_of_guest(note: GuestNote, domain: str) -> Next:
    """Return what happens to a guest that does not simply run, by its name for a shell."""
    match note:
        case GuestNote.PAUSED:
            text = f"stays paused until somebody lets it go on: virsh resume {domain}"
        case GuestNote.SUSPENDED:
            text = f"sleeps until something wakes it: virsh dompmwakeup {domain}"
        case GuestNote.POWERING_OFF:
            text = "ends by itself"
        case GuestNote.ARRIVING:
            text = (
                f"runs as soon as it is here; if it was saved while paused: virsh resume {domain}"
            )
        case GuestNote.UNSEEN:
            text = "runs on, as far as is known; what became of it is seen when libvirt is back"
        case _:
            assert_never(note)
    return Next(NextKind.STAYS, text)


def _next_of_timer(host: HostState, service: Service) -> Next:
    name, job, at = service.spec.name, service.job, service.fires_at
    if job is not None:
        due = service.due.wall if service.due is not None else None
        is_limited = due is not None and job.phase is Phase.RUNNING
        text = "runs its job, which is stopped if it does not end" if is_limited else "runs its job"
        return Next(
            NextKind.FIRES, text, at=due if is_limited else None, then="waits to fire again"
        )
    if is_held(host, service):
        until = service.firings.held_until
        text = "fires again when somebody releases it"
        if until is not None and math.isfinite(until):
            return Next(NextKind.FIRES, "fires next", at=at, command=("release", name))
        return Next(NextKind.NEEDS_COMMAND, text, command=("release", name))
    if at is None:
        text = "fires no more, and runs its job when somebody triggers it"
        return Next(NextKind.NEEDS_COMMAND, text, command=("trigger", name))
    return Next(NextKind.FIRES, "fires next", at=at)


# Stopping


def _next_of_end(host: HostState, service: Service) -> Next:
    then = _afterwards(host, service)
    at = service.due.wall if service.due is not None else None
    if service.is_stuck:
        text = "nothing more can be done until the kernel lets its processes go"
        if service.origin.domain is not None:
            text = "is destroyed as soon as libvirt does it"
        return Next(NextKind.ENDS, text, then=then)
    return Next(NextKind.ENDS, _end_in_words(service), at=at, then=then)


def _end_in_words(service: Service) -> str:
    stop = service.stop
    if service.is_cleaning:
        return "is down when its clean-up command has ended"
    if service.origin.domain is not None:
        is_destroyed = service.kills or stop.how is GuestStop.DESTROY
        how = "is destroyed" if is_destroyed else f"is ending ({stop.how or GuestStop.SHUTDOWN})"
        if service.due is None:
            return f"{how} when libvirt can be asked"
        return f"{how}; what is left {'counts as stuck' if service.kills else 'is destroyed'}"
    if service.kills:
        return "is ending on SIGKILL; what is left counts as stuck"
    return f"is ending on {stop.signal}; what is left gets SIGKILL"


def _afterwards(host: HostState, service: Service) -> str:
    """Say what becomes of a service once it has stopped."""
    if service.is_removed or service.spec.transient:
        return "is forgotten"
    if not host.is_wanted(service):
        return "stays down"
    if not service.enabled:
        return "stays down until it is enabled"
    if service.death is not None:
        return _after_death(service)
    needs = host.graph.needs[service.spec.name]
    unmet = [need for need in needs if not host.services[need].view.is_satisfied]
    return f"starts again {_when(unmet, 'runs', 'run')}" if unmet else "starts again"


def _after_death(service: Service) -> str:
    rest = service.death.rest if service.death is not None else None
    if rest is not None:
        return f"is {rest.kind}"
    if service.spec.respawn is None:
        return "has failed"
    return "starts again by itself, if it has not done so too often"

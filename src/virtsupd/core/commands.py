"""Commands in progress: what each would stop, when it is refused, and when it is answered."""

from collections.abc import Iterable, Sequence

from virtsupd.core import timing
from virtsupd.core.effects import Report, Result
from virtsupd.core.events import Asked, Verb
from virtsupd.core.explain import IS_DISABLED, HoldKind, hold, reason
from virtsupd.core.frozen import frozen
from virtsupd.core.names import Name
from virtsupd.core.service import RestKind, Service
from virtsupd.core.snapshot import State
from virtsupd.core.state import HostState
from virtsupd.core.ticket import Ticket

_DONE = {
    Verb.ENABLE: "enabled",
    Verb.DISABLE: "disabled",
    Verb.HOLD: "held",
    Verb.RELEASE: "released",
}


@frozen
class Touch:
    """What a command about services would do now, by canonical name."""

    stopped: tuple[Name, ...] = ()
    """What it ends, or keeps from coming up: rivals that are displaced even before they run."""
    started: tuple[Name, ...] = ()
    """The named services and all that is started along with them, in rank order, without those that
    run on. What returns by itself once its requirement is back is not among them."""


def would_touch(host: HostState, verb: Verb, names: Sequence[Name]) -> Touch:
    """Return what a command would stop and start if it came now, and change nothing.

    A refusal is not looked at: what would be refused for its guests or for something disabled is
    told as if it were done.
    """
    ticket = _touching(host, verb, names)
    names = ticket.names
    stopped = tuple(dict.fromkeys((*ticket.displaced, *ticket.touched)))
    if verb not in (Verb.START, Verb.RESTART):
        return Touch(stopped)
    closure = host.graph.closure(names)
    return Touch(
        stopped, tuple(n for n in closure if n in stopped or not host.services[n].is_alive)
    )


def refusal(host: HostState, asked: Asked) -> tuple[Report, ...]:
    """Return how a command would be refused if it came now; () if it would not, or what it names has gone."""
    if not all(name in host.services for name in asked.names):
        return ()
    return _refusal(host, asked, _touching(host, asked.verb, asked.names)) or ()


def open_ticket(host: HostState, asked: Asked) -> Ticket:
    """Work out what a command touches; the ticket carries a refusal if it must not be done."""
    ticket = _touching(host, asked.verb, asked.names)
    ticket.refusal = _refusal(host, asked, ticket)
    ticket.once = asked.once
    return ticket


def _touching(host: HostState, verb: Verb, asked: Sequence[Name]) -> Ticket:
    names = _meant(host, verb, asked)
    ticket = Ticket(verb, names, open=set(names))
    ticket.were_running = frozenset(n for n in names if host.services[n].state is State.RUNNING)
    if verb in (Verb.START, Verb.RESTART):
        ticket.displaced = _displaced(host, names)
    ending = [*ticket.displaced, *(names if verb in (Verb.STOP, Verb.RESTART) else ())]
    dependents = _falling(host, ending)
    restarted = names if verb is Verb.RESTART else ()
    ticket.cascade = _alive(host, (*restarted, *dependents))
    ticket.touched = _alive(host, dict.fromkeys((*ending, *reversed(dependents))))
    return ticket


def _meant(host: HostState, verb: Verb, asked: Sequence[Name]) -> tuple[Name, ...]:
    """Return the services that a command is about: with a whole its parts, to restart those that run."""
    if verb not in (Verb.STOP, Verb.RESTART):
        return tuple(asked)
    names = host.graph.with_parts(asked)
    if verb is Verb.STOP:
        return names
    return tuple(n for n in names if n in asked or host.services[n].is_alive)


def _falling(host: HostState, ending: Iterable[Name]) -> tuple[Name, ...]:
    """Return what goes down with `ending`: with a target or condition, only what is bound to it."""
    graph = host.graph
    given = set(ending)
    found = set(graph.dependents(n for n in given if not host.services[n].spec.is_stage))
    waiting = [n for n in given if host.services[n].spec.is_stage]
    while waiting:
        name = waiting.pop()
        bound = {n for n in graph.needed_by[name] if name in graph.binds[n]} - found - given
        found |= bound
        waiting.extend(bound)
    return tuple(sorted(found - given, key=host.rank))


def _alive(host: HostState, names: Iterable[Name]) -> tuple[Name, ...]:
    return tuple(name for name in names if host.services[name].is_alive)


def _displaced(host: HostState, names: Sequence[Name]) -> tuple[Name, ...]:
    closure = host.graph.closure(names)
    rivals = {rival for name in closure for rival in host.graph.conflicts[name]}
    others = (host.services[rival] for rival in sorted(rivals.difference(closure)))
    return tuple(other.spec.name for other in others if other.is_alive or other.wanted)


def _refusal(host: HostState, asked: Asked, ticket: Ticket) -> tuple[Report, ...] | None:
    if host.is_shutting_down and asked.verb in (Verb.START, Verb.RESTART, Verb.WAIT):
        return refused(asked.names, "virtsupd is shutting down")
    unfit = _why_not_once(host, asked)
    if unfit is not None:
        return refused(asked.names, f"--once {unfit}")
    held = _disabled(host, asked, ticket)
    if held is not None:
        return held
    guests = [
        name
        for name in ticket.touched
        if host.services[name].spec.is_guest and name not in asked.names
    ]
    if guests and not asked.guests:
        listed = ", ".join(guests)
        return refused(
            asked.names, f"this would end the guests {listed}; name them too, or give --guests"
        )
    return None


def _why_not_once(host: HostState, asked: Asked) -> str | None:
    """Say why arguments for one run cannot be given to what is named; None if they can, or there are none."""
    if not asked.once:
        return None
    if len(asked.names) != 1:
        return "is for one service at a time"
    spec = host.services[asked.names[0]].spec
    if spec.timer is not None:
        return f"cannot be given to {spec.name}: it is a timer"
    if spec.domain is not None:
        return f"cannot be given to {spec.name}: libvirt starts it"
    if spec.is_stage:
        kind = "target" if spec.ready.probe is None else "condition"
        return f"cannot be given to {spec.name}: it is a {kind}, and has no command"
    return None


def _disabled(host: HostState, asked: Asked, ticket: Ticket) -> tuple[Report, ...] | None:
    """Refuse to start what would stay down because it, or something it needs, is disabled."""
    if asked.verb not in (Verb.START, Verb.RESTART):
        return None
    reports = []
    for name in asked.names:
        needed = host.graph.needed_closure([name])
        # With arguments for one run it is enabled by the command: only an admin may give them.
        down = (
            n for n in needed if _cannot_be_up(host, ticket, n) and not (asked.once and n == name)
        )
        culprit = next(down, None)
        if culprit is not None:
            who = name if culprit == name else f"{name} needs {culprit}"
            reports.append(Report(name, Result.DISABLED, f"{who}: {IS_DISABLED}"))
    if not reports:
        return None
    bad = {report.name for report in reports}
    others = refused(
        (n for n in asked.names if n not in bad), "nothing was started: see the others"
    )
    return (*reports, *others)


def _cannot_be_up(host: HostState, ticket: Ticket, name: Name) -> bool:
    service = host.services[name]
    return not service.enabled and (not service.is_alive or name in ticket.cascade)


def refused(names: Iterable[Name], message: str) -> tuple[Report, ...]:
    """Return the reports of a command that changed nothing."""
    return tuple(Report(name, Result.REFUSED, message) for name in names)


def resolve(host: HostState, ticket: Ticket) -> None:
    """Close what of a command has come to its end."""
    for name in sorted(ticket.open):
        report = _outcome(host, ticket, name)
        if report is not None:
            ticket.close(report)


def _outcome(host: HostState, ticket: Ticket, name: Name) -> Report | None:
    service = host.services[name]
    match ticket.verb:
        case Verb.START | Verb.RESTART | Verb.WAIT:
            return _outcome_of_start(host, ticket, service)
        case Verb.STOP:
            return _outcome_of_stop(ticket, service)
        case Verb.RELOAD:
            return _outcome_of_reload(service)
        case Verb.TRIGGER:
            return timing.outcome_of_trigger(host, service)
        case _:  # the others are done as soon as they are asked
            return Report(name, Result.DONE, f"{name} has been {_DONE[ticket.verb]}")


def _outcome_of_start(host: HostState, ticket: Ticket, service: Service) -> Report | None:
    name = service.spec.name
    if service.state is State.STOPPED:
        return _why_not_started(host, ticket, service)
    if service.is_up and not service.is_done and _is_in_vain(ticket, service):
        return _in_vain(service)
    if service.state is State.RUNNING and not service.view.must_stop:
        # They are left over if its process had been made when they came; with the same ones if
        # virtsupd became another program meanwhile, and was asked again.
        unused = "; --once has no effect" if ticket.once not in ((), service.once) else ""
        if ticket.verb is Verb.START and name in ticket.were_running:
            return Report(name, Result.ALREADY, f"{name} is already running{unused}")
        return Report(name, Result.DONE, f"{name} is running{unused}")
    if _is_given_up(host, ticket, service):
        return _superseded(name, "stopped")
    overdue = _overdue(ticket, service)
    return Report(name, Result.FAILED, overdue) if overdue is not None else None


def _is_in_vain(ticket: Ticket, service: Service) -> bool:
    """Whether the process that got a command's arguments is gone: no other one gets them."""
    return bool(ticket.given) and service.once != ticket.given


def _in_vain(service: Service) -> Report:
    name = service.spec.name
    text = f"{name}: the run with the arguments of --once has ended ({service.setback}); it is tried again without them"
    return Report(name, Result.FAILED, text)


def _overdue(ticket: Ticket, service: Service) -> str | None:
    """Say why a service that is on its way should have arrived; None if it may take its time."""
    name = service.spec.name
    if service.is_stuck:
        return f"{name}: {service.stuck_text}"
    if not service.is_late or ticket.verb is Verb.WAIT:
        return None
    seen = f": {service.not_ready_because}" if service.not_ready_because else ""
    seconds = service.start_seconds
    text = f"not ready within {seconds:g} s" if seconds else "not ready in time"
    return f"{name}: {text}{seen}; the guest runs on, and is waited for"


def _is_given_up(host: HostState, ticket: Ticket, service: Service) -> bool:
    """Tell whether a newer command took back what this one waits for."""
    waits_for_anybody = ticket.verb is Verb.WAIT and not host.is_shutting_down
    return not host.is_wanted(service) and not waits_for_anybody


def _superseded(name: Name, by: str) -> Report:
    return Report(name, Result.SUPERSEDED, f"{name} was {by} by a newer command")


def _stuck(service: Service) -> Report | None:
    if service.is_stuck:
        name = service.spec.name
        return Report(name, Result.FAILED, f"{name}: {service.stuck_text}")
    return None


def _why_not_started(host: HostState, ticket: Ticket, service: Service) -> Report | None:
    name = service.spec.name
    own = hold(host, service)
    if own is None or own.kind is HoldKind.BACKING_OFF:
        return _in_vain(service) if _is_in_vain(ticket, service) else None
    if own.kind is HoldKind.UNWANTED:
        return _superseded(name, "stopped") if _is_given_up(host, ticket, service) else None
    if own.kind in (HoldKind.DISABLED, HoldKind.RESTING, HoldKind.RIVALS):
        return _verdict(host, service, name)
    for need in host.graph.needed_closure([name]):
        other = host.services[need]
        overdue = _overdue(ticket, other) if other is not service else None
        if overdue is not None:
            return Report(name, Result.FAILED, f"{name} needs {overdue}")
        if other is service or other.view.is_satisfied or other.is_alive:
            continue
        found = _verdict(host, other, name)
        if found is not None:
            return found
    return None


def _verdict(host: HostState, culprit: Service, name: Name) -> Report | None:
    """Say what it means for `name` that `culprit` (itself, or what it needs) stays down."""
    found = hold(host, culprit)
    why = reason(host, culprit)
    if found is None or why is None:
        return None
    other = culprit.spec.name
    text = f"{name}: {why.text}" if other == name else f"{name} needs {other}: {why.text}"
    match found.kind:
        case HoldKind.DISABLED:
            return Report(name, Result.DISABLED, text)
        case HoldKind.UNWANTED:
            return Report(name, Result.WAITING, text)
        case HoldKind.RESTING:
            rest = culprit.rest
            idle = rest is not None and rest.kind is RestKind.NOT_NEEDED
            return Report(name, Result.NOT_NEEDED if idle else Result.FAILED, text)
        case HoldKind.RIVALS if any(_stays(host.services[rival]) for rival in found.names):
            return Report(name, Result.WAITING, text)
        case _:
            return None


def _stays(service: Service) -> bool:
    is_to_stay = service.state is State.RUNNING and not service.view.must_stop
    return is_to_stay or service.is_stuck


def _outcome_of_stop(ticket: Ticket, service: Service) -> Report | None:
    name = service.spec.name
    if service.wanted:
        return _superseded(name, "started")
    if service.state is State.STOPPED:
        if service.not_cleaned:
            text = f"{name} is down, and its clean-up failed: {service.not_cleaned}"
            return Report(name, Result.FAILED, text)
        if name in ticket.touched:
            return Report(name, Result.DONE, f"{name} has been stopped")
        return Report(name, Result.ALREADY, f"{name} is not running")
    return _stuck(service)


def _outcome_of_reload(service: Service) -> Report | None:
    name = service.spec.name
    if service.spec.reload is None:
        return Report(name, Result.FAILED, f"{name} cannot reload; use restart")
    if service.state is not State.RUNNING:
        return Report(name, Result.FAILED, f"{name} is not running")
    if not service.can_reload:
        return Report(name, Result.FAILED, f"{name} has no process to reload")
    return None

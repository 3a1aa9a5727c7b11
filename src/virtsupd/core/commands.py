"""Commands in progress: what each would stop, when it is refused, and when it is answered."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from virtsupd.core.effects import Report, Result
from virtsupd.core.events import Asked, Verb
from virtsupd.core.explain import HoldKind, reason
from virtsupd.core.graph import ServiceGraph
from virtsupd.core.names import Name
from virtsupd.core.service import RestKind, Service
from virtsupd.core.snapshot import State

if TYPE_CHECKING:
    from virtsupd.core.engine import Engine


@dataclass(slots=True)
class Ticket:
    """A command that is not answered yet."""

    verb: Verb
    names: tuple[Name, ...]
    cascade: tuple[Name, ...] = ()
    """What is marked: it stops, and returns if it is still wanted."""
    displaced: tuple[Name, ...] = ()
    """What has to go because it conflicts with what is started."""
    touched: tuple[Name, ...] = ()
    """What the command stops, as it was alive when it came."""
    were_running: frozenset[Name] = frozenset()
    refusal: tuple[Report, ...] | None = None
    """Set if nothing was or will be done."""
    open: set[Name] = field(default_factory=set)
    closed: dict[Name, Report] = field(default_factory=dict)

    def close(self, report: Report) -> None:
        """Note what became of one of its services."""
        self.open.discard(report.name)
        self.closed[report.name] = report

    def reports(self) -> tuple[Report, ...]:
        """Return all reports, in the order asked."""
        return tuple(self.closed[name] for name in self.names)


def open_ticket(engine: "Engine", asked: Asked) -> Ticket:
    """Work out what a command touches; the ticket carries a refusal if it must not be done."""
    ticket = Ticket(asked.verb, asked.names, open=set(asked.names))
    ticket.were_running = frozenset(
        n for n in asked.names if engine.service(n).state is State.RUNNING
    )
    if asked.verb in (Verb.START, Verb.RESTART):
        ticket.displaced = _displaced(engine, asked.names)
    ending = [*ticket.displaced, *(asked.names if asked.verb in (Verb.STOP, Verb.RESTART) else ())]
    dependents = engine.graph.dependents(n for n in ending if not engine.service(n).spec.is_stage)
    restarted = asked.names if asked.verb is Verb.RESTART else ()
    ticket.cascade = _alive(engine, (*restarted, *dependents))
    ticket.touched = _alive(engine, dict.fromkeys((*ending, *reversed(dependents))))
    ticket.refusal = _refusal(engine, asked, ticket)
    return ticket


def _alive(engine: "Engine", names: Iterable[Name]) -> tuple[Name, ...]:
    return tuple(name for name in names if engine.service(name).is_alive)


def _displaced(engine: "Engine", names: Sequence[Name]) -> tuple[Name, ...]:
    closure = engine.graph.closure(names)
    rivals = {rival for name in closure for rival in engine.graph.conflicts[name]}
    return _alive(engine, sorted(rivals.difference(closure)))


def _refusal(engine: "Engine", asked: Asked, ticket: Ticket) -> tuple[Report, ...] | None:
    if engine.is_shutting_down and asked.verb in (Verb.START, Verb.RESTART, Verb.WAIT):
        return _refused(asked.names, "virtsupd is shutting down")
    guests = [
        name
        for name in ticket.touched
        if engine.service(name).spec.is_guest and name not in asked.names
    ]
    if guests and not asked.guests:
        listed = ", ".join(guests)
        return _refused(
            asked.names, f"this would end the guests {listed}; name them too, or give --guests"
        )
    return None


def _refused(names: Iterable[Name], message: str) -> tuple[Report, ...]:
    return tuple(Report(name, Result.REFUSED, message) for name in names)


def reload_problems(engine: "Engine", graph: ServiceGraph) -> tuple[str, ...]:
    """Return why a valid new graph cannot be taken over now; () if it can."""
    problems: list[str] = []
    for name in engine.names():
        service = engine.service(name)
        if name in graph.spec_by_name or not service.is_alive:
            continue
        if service.spec.is_guest:
            problems.append(f"{name}: removing it would end a running guest; stop it first")
        heirs = {graph.canonical[n] for n in service.spec.provides if n in graph.canonical}
        problems.extend(
            f"{heir}: takes over a name of {name}, which still runs; stop {name} first"
            for heir in sorted(heirs)
        )
    return tuple(problems)


def resolve(engine: "Engine", ticket: Ticket) -> None:
    """Close what of a command has come to its end."""
    for name in sorted(ticket.open):
        report = _outcome(engine, ticket, name)
        if report is not None:
            ticket.close(report)


def _outcome(engine: "Engine", ticket: Ticket, name: Name) -> Report | None:
    service = engine.service(name)
    match ticket.verb:
        case Verb.START | Verb.RESTART | Verb.WAIT:
            return _outcome_of_start(engine, ticket, service)
        case Verb.STOP:
            return _outcome_of_stop(ticket, service)
        case Verb.RELOAD:
            return _outcome_of_reload(service)
        case Verb.ENABLE:
            return Report(name, Result.DONE, f"{name} has been enabled")
        case Verb.DISABLE:
            return Report(name, Result.DONE, f"{name} has been disabled")
        case Verb.SHUTDOWN:
            return None


def _outcome_of_start(engine: "Engine", ticket: Ticket, service: Service) -> Report | None:
    name = service.spec.name
    if service.is_marked or service.state in (State.STARTING, State.STOPPING):
        return _stuck(service) if engine.is_wanted(service) else _superseded(name, "stopped")
    if service.state is State.RUNNING and not service.view.must_stop:
        already = ticket.verb is Verb.START and name in ticket.were_running
        if already:
            return Report(name, Result.ALREADY, f"{name} is already running")
        return Report(name, Result.DONE, f"{name} is running")
    if service.state is State.STOPPED:
        return _why_not_started(engine, ticket, service)
    return None


def _superseded(name: Name, by: str) -> Report:
    return Report(name, Result.SUPERSEDED, f"{name} was {by} by a newer command")


def _stuck(service: Service) -> Report | None:
    if service.kills > 1:
        name = service.spec.name
        return Report(name, Result.FAILED, f"{name}: its processes are still there after SIGKILL")
    return None


def _why_not_started(engine: "Engine", ticket: Ticket, service: Service) -> Report | None:
    name = service.spec.name
    own = engine.holds_back(service)
    if own is None or own.kind is HoldKind.BACKING_OFF:
        return None
    waits_for_anybody = ticket.verb is Verb.WAIT and not engine.is_shutting_down
    if own.kind is HoldKind.UNWANTED and not waits_for_anybody:
        return _superseded(name, "stopped")
    if own.kind in (HoldKind.DISABLED, HoldKind.RESTING):
        return _verdict(engine, service, name)
    for need in engine.graph.needed_closure([name]):
        other = engine.service(need)
        if other is service or other.view.is_satisfied or other.is_alive:
            continue
        found = _verdict(engine, other, name)
        if found is not None:
            return found
    return None


def _verdict(engine: "Engine", culprit: Service, name: Name) -> Report | None:
    """Say what it means for `name` that `culprit` (itself, or what it needs) stays down."""
    found = engine.holds_back(culprit)
    why = reason(engine, culprit)
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
        case _:
            return None


def _outcome_of_stop(ticket: Ticket, service: Service) -> Report | None:
    name = service.spec.name
    if service.wanted:
        return _superseded(name, "started")
    if service.state is State.STOPPED:
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
    return None

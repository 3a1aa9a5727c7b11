"""All that the engine holds: the graph, its services, the open commands, and the event at hand."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from virtsupd.core.effects import (
    Announce,
    ArmTimer,
    CancelTimer,
    Effect,
    Forget,
    Remember,
    RememberFirings,
    Report,
    Result,
)
from virtsupd.core.events import Instant, Timer, Verb
from virtsupd.core.frozen import frozen
from virtsupd.core.graph import ServiceGraph
from virtsupd.core.host_scope import Shutdown
from virtsupd.core.jobs import FRESH, NO_TIMERS, Calendar, Firings
from virtsupd.core.names import Name
from virtsupd.core.service import RestKind, Service
from virtsupd.core.shutdown_policy import ShutdownPolicy
from virtsupd.core.spec import ServiceSpec
from virtsupd.core.ticket import Ticket


@frozen
class Remembered:
    """What was kept of a service from an earlier virtsupd."""

    wanted: bool | None
    """None: as its definition says (a new boot)."""
    enabled: bool
    by: str = ""
    """Who wanted it so; "" if that was not kept."""
    since: float = 0.0
    """Since when, by the wall clock; 0 if that was not kept."""
    firings: Firings = FRESH


@dataclass(slots=True)
class HostState:
    """The state of the whole graph. Written by the parts of the engine, read by all of core."""

    graph: ServiceGraph
    remembered: dict[Name, Remembered]
    """What a later virtsupd would be told."""
    calendar: Calendar = NO_TIMERS
    services: dict[Name, Service] = field(default_factory=dict)
    tickets: dict[int, Ticket] = field(default_factory=dict)
    shutdown_policy: ShutdownPolicy = field(default_factory=ShutdownPolicy)
    shutdown: Shutdown | None = None
    """None: nobody ordered one."""
    now: Instant = field(default_factory=lambda: Instant(0.0, 0.0))
    """When the event at hand came."""
    generations: int = 0
    """The last one given out; none is used twice, so that nothing late is taken for news."""
    sought: set[Name] = field(default_factory=set)
    """Services that were running when an earlier virtsupd died: not known yet whether they still do."""
    dirty: set[Name] = field(default_factory=set)
    """Services that changed and whose neighbourhood is to be judged."""
    touched: set[Name] = field(default_factory=set)
    """Services that the event at hand may have changed."""
    kept: dict[Name, Service] = field(default_factory=dict)
    """What a successor would find: copies of those with a past."""
    effects: list[Effect] = field(default_factory=list)
    """What the event at hand has led to so far, in order."""

    def is_wanted(self, service: Service) -> bool:
        """Whether it should be up now, apart from everything that may hold it back."""
        wanted = service.wanted
        if self.shutdown is not None:
            name = service.spec.name
            if name not in self.shutdown.kept_up:
                return False
            wanted = wanted or name in self.shutdown.raised
        return wanted and not service.is_removed

    def take_once(self, name: Name) -> tuple[str, ...]:
        """Return what the newest command that waits for a service gives the process to be made now.

        No other process gets it, nor what older ones would have given this one.
        """
        waiting = [
            ticket for ticket in self.tickets.values() if ticket.once and name in ticket.open
        ]
        given = [ticket.take_once() for ticket in waiting]
        return given[-1] if given else ()

    def is_to_be_cleaned(self, service: Service) -> bool:
        """Whether it left something behind, and is not to be started again or was being cleaned up."""
        may_start = self.is_wanted(service) and service.enabled and service.rest is None
        stays_down = not may_start or self.vanishes(service)
        return service.clean_up is not None and (stays_down or service.is_half_cleaned)

    def is_there(self, service: Service) -> bool:
        """Whether it is in the way of its rivals: alive, or about to be cleaned up."""
        return service.is_alive or self.is_to_be_cleaned(service)

    def vanishes(self, service: Service) -> bool:
        """Whether it is no longer there once it has stopped."""
        return service.is_removed or service.spec.transient

    @property
    def is_shutting_down(self) -> bool:
        """Whether everything is being stopped, for good."""
        return self.shutdown is not None

    def add(self, spec: ServiceSpec) -> Service:
        """Begin to supervise a service; it is stopped and not wanted yet."""
        kept = self.remembered.get(spec.name)
        enabled = kept.enabled if kept is not None else True
        service = Service(spec=spec, since=self.now.wall, enabled=enabled)
        if kept is not None:
            service.firings = kept.firings
        self.services[spec.name] = service
        return service

    def next_generation(self) -> int:
        """Return a generation that no event carries yet."""
        self.generations += 1
        return self.generations

    def emit(self, effect: Effect) -> None:
        """Add something to do."""
        self.effects.append(effect)

    def announce(self, name: Name, event: str) -> None:
        """Tell everybody that something about a service changed."""
        self.effects.append(Announce(name, event))

    def later(self, seconds: float) -> Instant:
        """Return the instant so many seconds from now."""
        return Instant(self.now.monotonic + seconds, self.now.wall + seconds)

    def is_past(self, due: Instant | None) -> bool:
        """Whether a deadline has passed; None never does."""
        return due is not None and due.monotonic <= self.now.monotonic

    def arm(self, service: Service, timer: Timer, seconds: float) -> None:
        """Have `Fired` posted for the present generation, so many seconds from now."""
        at = self.now.monotonic + seconds
        if timer not in (Timer.BACKOFF, Timer.FIRING):
            service.due = Instant(at, self.now.wall + seconds)
        self.effects.append(ArmTimer(service.spec.name, service.generation, timer, at))

    def remember(self, service: Service) -> None:
        """Have what is wanted of a service written down."""
        name, wanted, enabled = service.spec.name, service.wanted, service.enabled
        by, since = service.wanted_by, service.wanted_since
        self.remembered[name] = Remembered(wanted, enabled, by, since, service.firings)
        self.effects.append(Remember(name, wanted=wanted, enabled=enabled, by=by, since=since))

    def remember_firings(self, service: Service, firings: Firings) -> None:
        """Have it written down how far a timer's firings are settled, if that is news."""
        if service.firings != firings:
            service.firings = firings
            name = service.spec.name
            known = self.remembered.get(name, Remembered(None, service.enabled))
            self.remembered[name] = replace(known, firings=firings)
            self.effects.append(RememberFirings(name, firings))

    def forget_firings(self, name: Name) -> None:
        """Have it forgotten what was settled of a timer that is no longer there."""
        self.remembered[name] = replace(self.remembered[name], firings=FRESH)
        self.effects.append(RememberFirings(name, FRESH))

    def cancel(self, name: Name, timer: Timer) -> None:
        """Have a timer of a service forgotten, armed or not."""
        self.effects.append(CancelTimer(name, timer))

    def end_backoff(self, service: Service) -> None:
        """Let a service that is backing off do so no longer."""
        if service.retry_at is not None:
            service.retry_at = None
            self.cancel(service.spec.name, Timer.BACKOFF)

    def clear_failure(self, service: Service) -> None:
        """Forget why it rests, and the respawns that count against it: a person took over."""
        self.end_backoff(service)
        service.clear_failure()

    def retry_not_needed(self, names: Iterable[Name]) -> None:
        """Let those that said they are not needed here be asked again."""
        for name in names:
            service = self.services[name]
            if service.rest is not None and service.rest.kind is RestKind.NOT_NEEDED:
                service.end_rest()
                self.dirty.add(name)

    def rank(self, name: Name) -> int:
        """Return a service's place in one topological order; what left the graph comes first."""
        return self.graph.rank.get(name, -1)

    def neighbours(self, name: Name) -> set[Name]:
        """Return all that an edge joins to a service, whichever way."""
        graph = self.graph
        edges = (graph.needs, graph.needed_by, graph.earlier, graph.later, graph.conflicts)
        return {other for kind in edges for other in kind.get(name, ())}

    def forget(self, service: Service, text: str) -> None:
        """Drop a stopped service; commands that name it end with `text`."""
        name = service.spec.name
        for ticket in self.tickets.values():
            if name in ticket.open:
                result = Result.DONE if ticket.verb is Verb.STOP else Result.FAILED
                ticket.close(Report(name, result, f"{name} is gone: {text}"))
        self.end_backoff(service)
        del self.services[name]
        self.kept.pop(name, None)
        self.dirty.discard(name)
        is_over = not self.is_shutting_down or service.is_removed or not service.wanted
        if is_over:
            self.remember_firings(service, FRESH)
        self.effects.append(Forget(name, is_over))
        self.announce(name, "service removed")


def is_held(host: HostState, service: Service) -> bool:
    """Whether a timer does not fire because somebody said so."""
    held_until = service.firings.held_until
    return held_until is not None and held_until > host.now.wall

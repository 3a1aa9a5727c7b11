"""The engine: one event over the whole graph gives the new state and what to do.

Theory of operation. The engine holds, for each service, what is *wanted* and what *is*; every
step asks what now differs. It is therefore indifferent to how a difference arose: a crash, a
command, a reload and a start after an upgrade are the same case. `advance` is a function of the
state it holds, the event and the instant; it reads no clock and does nothing but return effects.

The state is one `HostState`, and each part of the engine owns one idea of it:

- `wanted`: what should be so; written by commands, boot and reload only, never by the loop;
- `processes`: what happened to a process, judged and turned into a move of its service;
- `moves` (with the table of `lifecycle`): what a move means, from the spawn to what follows an end;
- `shutdown` (with the data of `host_scope`): the mode in which guests and services are all ended;
- `timing`: which firings of a timer run a job, and what becomes of the job;
- `settle`: the loop, which starts and stops what the difference asks for until nothing differs;
- `commands`: when a command is refused, and when it is answered;
- `reload`: how services pass into another configuration;
- `restore`: how services pass from a virtsupd that died to the next one;
- `explain`: why a service is as it is.

Each start of a process has a generation. It is made at the start and every event about a process
carries it; what belongs to an earlier one is dropped.

A crash cascades nothing: those that need the crashed service run on, degraded. Only bonds fall.
A cascade is a *mark*, which a service loses when it has stopped; it touches neither `wanted` nor
respawn counts, so whatever a cascade stopped returns by itself when what it needs does.
"""

from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from types import MappingProxyType

from virtsupd.core import (
    chain,
    commands,
    explain,
    processes,
    reload,
    restore,
    shutdown,
    shutdown_view,
    timing,
    wanted,
)
from virtsupd.core.effects import Answer, Effect, Keep, Report
from virtsupd.core.events import (
    Added,
    Appeared,
    Asked,
    Booted,
    ClockSet,
    Defined,
    Event,
    Fired,
    GuestEnded,
    GuestsFound,
    Hung,
    Instant,
    OutputChanged,
    Reloaded,
    Timer,
    Verb,
)
from virtsupd.core.forecast import Forecast, forecast
from virtsupd.core.graph import ServiceGraph
from virtsupd.core.host_scope import ShutdownOrder
from virtsupd.core.jobs import NO_TIMERS, Calendar
from virtsupd.core.names import Name
from virtsupd.core.service import Service
from virtsupd.core.settle import settle
from virtsupd.core.shutdown_policy import ShutdownPolicy
from virtsupd.core.snapshot import ServiceSnapshot
from virtsupd.core.state import HostState, Remembered

__all__ = ["Engine", "Remembered"]


class Engine:
    """The state of the whole graph, and how it moves."""

    def __init__(
        self,
        graph: ServiceGraph,
        remembered: Mapping[Name, Remembered],
        kept: Mapping[Name, Service] = MappingProxyType({}),
        *,
        shutdown_order: ShutdownOrder | None = None,
        shutdown_policy: ShutdownPolicy | None = None,
        calendar: Calendar = NO_TIMERS,
    ) -> None:
        """Begin with what an earlier virtsupd was told, and the services as it left them.

        A `shutdown_order` is that of an earlier virtsupd which did not come to its end.
        """
        policy = shutdown_policy or ShutdownPolicy()
        self._host = HostState(graph, dict(remembered), calendar, shutdown_policy=policy)
        for spec in graph.spec_by_name.values():
            self._host.add(spec)
        restore.restore(self._host, kept)
        if shutdown_order is not None:
            shutdown.restore(self._host, shutdown_order)

    # What others read

    @property
    def graph(self) -> ServiceGraph:
        """The graph in force."""
        return self._host.graph

    @property
    def is_shutting_down(self) -> bool:
        """Whether everything is being stopped, for good."""
        return self._host.is_shutting_down

    def shutdown_view(self) -> shutdown_view.ShutdownView | None:
        """Return what a shutdown has come to; None: there is none."""
        return shutdown_view.view(self._host)

    def service(self, name: Name) -> Service:
        """Return what is known of a service by its canonical name, to read only."""
        return self._host.services[name]

    def names(self) -> tuple[Name, ...]:
        """Return the canonical names of all services, sorted."""
        return tuple(sorted(self._host.services))

    def snapshot(self, name: Name) -> ServiceSnapshot:
        """Return what `status` shows of a service."""
        return explain.snapshot(self._host, name)

    def why(self, name: Name) -> chain.Explanation:
        """Return why a service is as it is, down to the causes."""
        return chain.why(self._host, name)

    def would_touch(self, verb: Verb, names: Sequence[Name]) -> commands.Touch:
        """Return what a command about services of the graph would stop and start now.

        Nothing changes. Asked by who decides whether a command may be given at all.
        """
        return commands.would_touch(self._host, verb, names)

    def refusal(self, verb: Verb, names: Sequence[Name], *, guests: bool) -> tuple[Report, ...]:
        """Return how a command about services of the graph would be refused now; () if it would not."""
        return commands.refusal(self._host, Asked(0, verb, tuple(names), "", guests=guests))

    def reload_problems(self, graph: ServiceGraph) -> tuple[str, ...]:
        """Return why a valid new configuration cannot be taken over now; () if it can.

        It must not end a guest as a side effect, and a service that runs must not lose its name
        to another one.
        """
        return reload.reload_problems(self._host, graph)

    def forecast(self, event: Reloaded) -> Mapping[Name, Forecast]:
        """Return what a new configuration would do to each service now, and change nothing.

        `reload_problems` has nothing against it.
        """
        return forecast(self._host, event)

    # The one way in

    def advance(self, event: Event, now: Instant) -> tuple[Effect, ...]:
        """Take one event and return what to do, in order.

        What a successor has to know comes first: whenever virtsupd dies, the state that was kept
        is that of the last thing done, or ahead of it by what can be done again.
        """
        host = self._host
        host.now = now
        self._take(event)
        settle(host)
        self._answer()
        effects, host.effects = (*self._keep(), *host.effects), []
        return effects

    def _keep(self) -> Iterator[Keep]:
        """Yield copies of the services that changed in what outlives virtsupd."""
        host = self._host
        touched, host.touched = host.touched, set()
        for name in sorted(touched):
            service = host.services.get(name)
            if service is not None and service.has_past and service != host.kept.get(name):
                kept = host.kept[name] = copy(service)
                yield Keep(name, kept)

    def _take(self, event: Event) -> None:
        host = self._host
        match event:
            case Booted():
                restore.adopt(host)
                wanted.boot(host)
                shutdown.boot(host)
            case Reloaded() | Added():
                self._graph_changed(event)
            case Asked():
                wanted.ask(host, event)
            case Hung():
                host.tickets.pop(event.ticket, None)
            case OutputChanged() | ClockSet() | Appeared() | Defined():
                self._surroundings_changed(event)
            case GuestsFound() | GuestEnded() | Fired(timer=Timer.SHUTDOWN):
                shutdown.take(host, event)
            case _:
                service = host.services.get(event.name)
                if service is not None and service.generation == event.generation:
                    host.touched.add(event.name)
                    processes.take(host, service, event)

    def _graph_changed(self, event: Reloaded | Added) -> None:
        host = self._host
        if isinstance(event, Added):
            reload.add(host, event.spec)
            return
        host.shutdown_policy = event.shutdown_policy or host.shutdown_policy
        reload.take_over(host, event.graph, spared=event.spared)

    def _surroundings_changed(self, event: OutputChanged | ClockSet | Appeared | Defined) -> None:
        if isinstance(event, ClockSet):
            timing.clock_set(self._host)
            return
        if isinstance(event, Appeared):
            processes.appeared(self._host, event)
            return
        if isinstance(event, Defined):
            processes.defined(self._host, event)
            return
        service = self._host.services.get(event.name)
        if service is not None and service.output_trouble != event.why:
            service.output_trouble = event.why
            self._host.announce(event.name, "output lost" if event.why else "output restored")

    def _answer(self) -> None:
        host = self._host
        for number, ticket in list(host.tickets.items()):
            commands.resolve(host, ticket)
            if not ticket.open and ticket.verb is not Verb.SHUTDOWN:
                del host.tickets[number]
                host.emit(Answer(number, ticket.reports(), ticket.touched))
        shutdown.finish(host)

"""The engine: one event over the whole graph gives the new state and what to do.

Theory of operation. The engine holds, for each service, what is *wanted* and what *is*; every
step asks what now differs. It is therefore indifferent to how a difference arose: a crash, a
command, a reload and a start after an upgrade are the same case. `advance` is a function of the
state it holds, the event and the instant; it reads no clock and does nothing but return effects.

`wanted` is changed by commands, boot and reload only. The loop (`_settle`) starts a service that
is wanted, enabled, not resting, not backing off and not marked, once all it needs are satisfied,
nothing it conflicts with is alive, and nothing that comes earlier is still on its way. It stops a
service that is not wanted, that a cascade has marked, or one of whose bonds fell; it lets those
go down first that depend on it or come later. The two conditions exclude each other, and both
read only what lies before (or behind) a service in an acyclic order, so the effects end.

A pass has two halves. First the *views* of the changed services and of those behind them are
brought up to date in rank order: a view is all that neighbours look at. Then each service whose
surroundings changed is judged once. Moves made there make services dirty again; the passes end
when nothing is dirty. The cost of an event is that of its neighbourhood, not of the graph.

Each start of a process has a generation. It is made at the start and every event about a process
carries it; what belongs to an earlier one is dropped.

A crash cascades nothing: those that need the crashed service run on, degraded. Only bonds fall.
A cascade is a *mark*, which a service loses when it has stopped; it touches neither `wanted` nor
respawn counts, so whatever a cascade stopped returns by itself when what it needs does.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from heapq import heapify, heappop, heappush
from typing import assert_never

from virtsupd.core import commands, explain, lifecycle
from virtsupd.core.effects import (
    Announce,
    Answer,
    ArmTimer,
    AwaitReady,
    CancelTimer,
    Effect,
    EndWatches,
    Finish,
    Forget,
    Kill,
    Remember,
    Report,
    Result,
    RunReload,
    Spawn,
    Terminate,
    WatchHealth,
)
from virtsupd.core.events import (
    Asked,
    BecameReady,
    Booted,
    Event,
    Exited,
    Fired,
    Gone,
    HealthChanged,
    Hung,
    Instant,
    NeverReady,
    OutputChanged,
    Reloaded,
    ReloadEnded,
    Spawned,
    SpawnFailed,
    Timer,
    Told,
    Verb,
)
from virtsupd.core.exits import ExitStatus
from virtsupd.core.graph import GraphError, ServiceGraph
from virtsupd.core.lifecycle import Move, Step
from virtsupd.core.names import Name
from virtsupd.core.restart import next_respawn
from virtsupd.core.service import Death, Rest, RestKind, Service, View
from virtsupd.core.snapshot import ExitRecord, ServiceSnapshot, State
from virtsupd.core.spec import ServiceSpec

_KILL_PATIENCE_SECONDS = 10.0
"""How long KILL may take before the stop is reported as stuck."""

_BOOT = "boot"
_RELOAD = "reload"

ProcessEvent = Spawned | SpawnFailed | BecameReady | NeverReady | Exited | Gone
RunEvent = Fired | HealthChanged | Told | ReloadEnded


@dataclass(frozen=True, slots=True)
class Remembered:
    """What was kept of a service from an earlier virtsupd."""

    wanted: bool | None
    """None: as its definition says (a new boot)."""
    enabled: bool


class Engine:
    """The state of the whole graph, and how it moves."""

    def __init__(self, graph: ServiceGraph, remembered: Mapping[Name, Remembered]) -> None:
        self.graph = graph
        self.is_shutting_down = False
        self._is_finished = False
        self._remembered = remembered
        self._tickets: dict[int, commands.Ticket] = {}
        self._dirty: set[Name] = set()
        self._effects: list[Effect] = []
        self._now = Instant(0.0, 0.0)
        self._services = {name: self._new(spec) for name, spec in graph.spec_by_name.items()}

    # What others read

    def service(self, name: Name) -> Service:
        """Return what is known of a service by its canonical name, to read only."""
        return self._services[name]

    def names(self) -> tuple[Name, ...]:
        """Return the canonical names of all services, sorted."""
        return tuple(sorted(self._services))

    def snapshot(self, name: Name) -> ServiceSnapshot:
        """Return what `status` shows of a service."""
        return explain.snapshot(self, name)

    def is_wanted(self, service: Service) -> bool:
        """Whether it should be up now, apart from everything that may hold it back."""
        return service.wanted and not service.is_removed and not self.is_shutting_down

    def reload_problems(self, graph: ServiceGraph) -> tuple[str, ...]:
        """Return why a valid new configuration cannot be taken over now; () if it can.

        It must not end a guest as a side effect, and a service that runs must not lose its name
        to another one.
        """
        return commands.reload_problems(self, graph)

    # The one way in

    def advance(self, event: Event, now: Instant) -> tuple[Effect, ...]:
        """Take one event and return what to do, in order."""
        self._now = now
        self._take(event)
        self._settle()
        self._answer()
        effects, self._effects = tuple(self._effects), []
        return effects

    def _take(self, event: Event) -> None:
        match event:
            case Booted():
                self._boot()
            case Reloaded():
                self._reload(event.graph)
            case Asked():
                self._ask(event)
            case Hung():
                self._tickets.pop(event.ticket, None)
            case OutputChanged():
                self._output_changed(event)
            case _:
                service = self._services.get(event.name)
                if service is not None and service.generation == event.generation:
                    self._take_for(service, event)

    def _take_for(self, service: Service, event: ProcessEvent | RunEvent) -> None:
        match event:
            case Spawned() | SpawnFailed():
                self._spawn_ended(service, event)
            case BecameReady() | NeverReady():
                self._probe_ended(service, event)
            case Exited():
                self._exited(service, event.status)
            case Gone():
                self._gone(service)
            case Fired():
                self._fired(service, event.timer)
            case HealthChanged() | Told():
                self._heard(service, event)
            case ReloadEnded():
                self._reload_ended(service, event)
            case _:
                assert_never(event)

    # Boot, reload and commands: the only places where `wanted` changes

    def _boot(self) -> None:
        known: dict[Name, bool] = {}
        for name, service in self._services.items():
            service.since = self._now.wall
            kept = self._remembered.get(name)
            if kept is not None and kept.wanted is not None:
                known[name] = kept.wanted
                self._set_wanted([name], wanted=kept.wanted, who="an earlier command")
        specs = self.graph.spec_by_name.items()
        started = self.graph.closure(n for n, s in specs if s.autostart and n not in known)
        self._set_wanted((n for n in started if n not in known), wanted=True, who=_BOOT)
        self._dirty.update(self._services)

    def _reload(self, graph: ServiceGraph) -> None:
        leaving = [s for n, s in self._services.items() if n not in graph.spec_by_name]
        last = {s.spec.name: s for s in leaving if s.is_alive}
        for service in leaving:
            if not service.is_alive:
                self._forget(service, "it left the configuration")
        for name, service in last.items():
            staying = (n for n in self.graph.needs[name] if n in graph.spec_by_name or n in last)
            self._leave(service, behind=tuple(staying))
        fresh = [n for n, spec in graph.spec_by_name.items() if self._replace_spec(n, spec)]
        self.graph = _with_leftovers(graph, [s.spec for s in last.values()])
        self._set_wanted(self.graph.closure(fresh), wanted=True, who=_RELOAD)
        self._retry_not_needed(self._services)
        self._dirty.update(self._services)

    def _leave(self, service: Service, *, behind: tuple[Name, ...]) -> None:
        """Take a running service out of the configuration; it stays in the graph until stopped."""
        old = service.spec
        service.is_removed = True
        service.wanted = False
        service.wanted_by = _RELOAD
        service.spec = ServiceSpec(
            name=old.name,
            provides=(old.name,),
            description=old.description,
            source=old.source,
            after=behind,
            process=old.process,
            ready=old.ready,
            respawn=None,
            stop=old.stop,
            autostart=False,
            is_guest=old.is_guest,
        )

    def _replace_spec(self, name: Name, spec: ServiceSpec) -> bool:
        """Put a definition in force; return whether reload starts the service."""
        service = self._services.get(name)
        if service is None:
            self._services[name] = self._new(spec)
            return spec.autostart and self._services[name].enabled
        returns = service.is_removed or (spec.autostart and not service.spec.autostart)
        if spec != service.spec:
            service.clear_failure()
        service.spec = spec
        service.is_removed = False
        return returns and spec.autostart

    def _ask(self, event: Asked) -> None:
        ticket = commands.open_ticket(self, event)
        if ticket.refusal is not None:
            self._effects.append(Answer(event.ticket, ticket.refusal))
            return
        self._tickets[event.ticket] = ticket
        match event.verb:
            case Verb.START | Verb.RESTART:
                self._ask_up(event, ticket)
            case Verb.STOP:
                self._set_wanted(event.names, wanted=False, who=event.who)
                self._mark(ticket.cascade)
            case Verb.ENABLE | Verb.DISABLE:
                self._set_enabled(event.names, enabled=event.verb is Verb.ENABLE)
            case Verb.RELOAD:
                self._ask_reload(event.names)
            case Verb.SHUTDOWN:
                self._shut_down()
            case Verb.WAIT:
                pass
            case _:
                assert_never(event.verb)

    def _ask_up(self, event: Asked, ticket: commands.Ticket) -> None:
        closure = self.graph.closure(event.names)
        for name in closure:
            self._services[name].clear_failure()
            self._effects.append(CancelTimer(name, Timer.BACKOFF))
        for name in event.names:
            self._services[name].death = None
        self._set_wanted(ticket.displaced, wanted=False, who=event.who)
        self._set_wanted(closure, wanted=True, who=event.who)
        self._mark(ticket.cascade)
        self._dirty.update(closure)

    def _ask_reload(self, names: Iterable[Name]) -> None:
        for name in names:
            service = self._services[name]
            if service.spec.reload is not None:
                self._effects.append(RunReload(name, service.generation, service.spec.reload))

    def _shut_down(self) -> None:
        self.is_shutting_down = True
        for name, service in self._services.items():
            if service.retry_at is not None:
                service.retry_at = None
                self._effects.append(CancelTimer(name, Timer.BACKOFF))
        self._dirty.update(self._services)

    def _set_wanted(self, names: Iterable[Name], *, wanted: bool, who: str) -> None:
        for name in names:
            service = self._services[name]
            if service.wanted != wanted or not service.wanted_by:
                service.wanted = wanted
                service.wanted_by = who
                service.wanted_since = self._now.wall
                self._dirty.add(name)
                if who not in (_BOOT, _RELOAD):
                    self._effects.append(Remember(name, wanted=wanted, enabled=service.enabled))
            if not wanted and service.retry_at is not None:
                service.retry_at = None
                self._effects.append(CancelTimer(name, Timer.BACKOFF))

    def _set_enabled(self, names: Iterable[Name], *, enabled: bool) -> None:
        for name in names:
            service = self._services[name]
            service.enabled = enabled
            if enabled:
                service.clear_failure()
            self._dirty.add(name)
            self._effects.append(Remember(name, wanted=service.wanted, enabled=enabled))
            self._announce(name, "service enabled" if enabled else "service disabled")

    def _mark(self, names: Iterable[Name]) -> None:
        for name in names:
            if self._services[name].is_alive:
                self._services[name].is_marked = True
                self._dirty.add(name)

    # What happened to a process

    def _spawn_ended(self, service: Service, event: Spawned | SpawnFailed) -> None:
        if isinstance(event, Spawned):
            service.pid = event.pid
            service.warnings = event.warnings
            self._move(service, Move.SPAWNED)
            if service.state is State.STARTING and service.spec.ready.probe is None:
                self._move(service, Move.READY)
            return
        text = f"{event.stage}: {event.message}"
        rest = Rest(RestKind.FAILED, text) if event.is_permanent else None
        service.death = Death(text, rest)
        service.note_start_failure(self._now)
        self._move(service, Move.SPAWN_FAILED)

    def _probe_ended(self, service: Service, event: BecameReady | NeverReady) -> None:
        if isinstance(event, NeverReady):
            self._start_failed(service, f"did not become ready: {event.why}")
            return
        if event.pid is not None:
            service.pid = event.pid
        self._move(service, Move.READY)

    def _start_failed(self, service: Service, text: str) -> None:
        if service.state is State.STARTING:
            service.death = Death(text)
            service.note_start_failure(self._now)
        self._move(service, Move.NEVER_READY)

    def _exited(self, service: Service, status: ExitStatus) -> None:
        made = service.made_from or service.spec
        is_success = status.code in made.success_exit
        if service.state is State.STARTING and is_success and made.forks:
            service.pid = None
            self._move(service, Move.HANDED_OVER)
            return
        service.note_exit(ExitRecord(status, self._now.wall))
        if service.state is State.STARTING and is_success and made.one_shot:
            self._move(service, Move.COMPLETED)
            return
        if service.state is not State.STOPPING:
            service.death = self._death(service, status)
        self._announce(service.spec.name, "service exited")
        self._move(service, Move.DIED)

    def _death(self, service: Service, status: ExitStatus) -> Death:
        """Judge an end that nobody asked for."""
        spec = service.spec
        if status.code is not None and status.code in spec.not_needed_exit:
            return Death(str(status), Rest(RestKind.NOT_NEEDED, f"not needed here: {status}"))
        if service.state is State.STARTING:
            service.note_start_failure(self._now)
            return Death(f"{status} before it was ready")
        if spec.respawn is None and status.code in spec.success_exit:
            return Death(str(status), Rest(RestKind.FINISHED, str(status)))
        return Death(str(status))

    def _gone(self, service: Service) -> None:
        if service.state is State.STOPPING:
            self._move(service, Move.GONE)

    def _fired(self, service: Service, timer: Timer) -> None:
        match timer:
            case Timer.START_DEADLINE:
                seconds = service.spec.ready.timeout_seconds
                seen = f": {service.not_ready_because}" if service.not_ready_because else ""
                self._start_failed(service, f"not ready within {seconds:g} s{seen}")
            case Timer.STOP_DELAY:
                if service.state is State.STOPPING:
                    self._move(service, Move.OVERDUE)
            case Timer.BACKOFF:
                if service.retry_at is not None:
                    service.retry_at = None
                    self._dirty.add(service.spec.name)
            case Timer.RELOAD_DEADLINE:
                pass
            case _:
                assert_never(timer)

    def _heard(self, service: Service, event: HealthChanged | Told) -> None:
        if isinstance(event, Told):
            if event.kind == "status":
                service.status_text = event.text
            elif event.kind == "waiting":
                service.not_ready_because = event.text
            return
        health = service.spec.health
        if event.why is not None and (health is None or health.on_failure == "restart"):
            if service.is_up:
                service.death = Death(f"failed its health check: {event.why}")
            self._move(service, Move.UNHEALTHY)
            return
        service.unhealthy = event.why
        self._announce(service.spec.name, "service degraded" if event.why else "service recovered")

    def _output_changed(self, event: OutputChanged) -> None:
        service = self._services.get(event.name)
        if service is not None and service.output_trouble != event.why:
            service.output_trouble = event.why
            self._announce(event.name, "output lost" if event.why else "output restored")

    def _reload_ended(self, service: Service, event: ReloadEnded) -> None:
        name = service.spec.name
        self._announce(name, "service reload failed" if event.why else "service reloaded")
        for ticket in self._tickets.values():
            if ticket.verb is Verb.RELOAD and name in ticket.open:
                result = Result.FAILED if event.why else Result.DONE
                ticket.close(Report(name, result, event.why or f"{name} has been reloaded"))

    # Moves

    def _move(self, service: Service, move: Move) -> None:
        state, steps = lifecycle.advance(service.state, move)
        if state is not service.state:
            service.enter(state, self._now)
            self._announce(service.spec.name, f"service {state}")
        self._dirty.add(service.spec.name)
        for step in steps:
            self._carry_out(service, step)

    def _carry_out(self, service: Service, step: Step) -> None:
        match step:
            case Step.SPAWN:
                self._spawn(service)
            case Step.ARM_DEADLINE:
                self._arm_deadline(service)
            case Step.BEGIN_RUN:
                self._begin_run(service)
            case Step.END_WATCHES:
                self._end_watches(service)
            case Step.TERMINATE:
                self._terminate(service)
            case Step.ESCALATE:
                self._escalate(service)
            case Step.SETTLE:
                self._after_end(service)
            case _:
                assert_never(step)

    def _spawn(self, service: Service) -> None:
        spec = service.spec
        service.begin_start()
        if spec.process is not None:
            self._effects.append(Spawn(spec.name, service.generation, spec.process, spec.ready))
        elif spec.ready.probe is not None:
            self._effects.append(AwaitReady(spec.name, service.generation, spec.ready))
        else:
            self._move(service, Move.READY)

    def _arm_deadline(self, service: Service) -> None:
        seconds = service.spec.ready.timeout_seconds
        if service.state is State.STARTING and service.spec.ready.probe is not None and seconds:
            self._arm(service, Timer.START_DEADLINE, seconds)

    def _arm(self, service: Service, timer: Timer, seconds: float) -> None:
        at = self._now.monotonic + seconds
        self._effects.append(ArmTimer(service.spec.name, service.generation, timer, at))

    def _begin_run(self, service: Service) -> None:
        service.ready_at = self._now.monotonic
        name, spec = service.spec.name, service.spec
        if spec.health is not None and service.pid is not None:
            self._effects.append(WatchHealth(name, service.generation, spec.health))
        self._retry_not_needed(self.graph.needed_by[name])

    def _end_watches(self, service: Service) -> None:
        name = service.spec.name
        self._effects.append(CancelTimer(name, Timer.START_DEADLINE))
        self._effects.append(EndWatches(name, service.generation))

    def _terminate(self, service: Service) -> None:
        made = service.made_from or service.spec
        if made.is_stage:
            self._move(service, Move.GONE)
            return
        stop = service.spec.stop
        self._effects.append(Terminate(service.spec.name, service.generation, stop))
        self._arm(service, Timer.STOP_DELAY, stop.delay_seconds)

    def _escalate(self, service: Service) -> None:
        service.kills += 1
        name = service.spec.name
        if service.kills == 1:
            self._effects.append(Kill(name, service.generation, service.spec.stop))
            self._arm(service, Timer.STOP_DELAY, _KILL_PATIENCE_SECONDS)
        else:
            self._announce(name, "service cannot be killed")

    def _after_end(self, service: Service) -> None:
        """Decide what becomes of a service that has just stopped."""
        name, death = service.spec.name, service.death
        service.is_marked = False
        service.made_from = None
        service.pid = None
        self._effects.append(CancelTimer(name, Timer.STOP_DELAY))
        if death is not None and self.is_wanted(service) and service.enabled:
            service.rest = death.rest
            if death.rest is None:
                self._respawn(service, death)
            if service.rest is not None and service.rest.kind is RestKind.FAILED:
                self._announce(name, "service failed")
        service.death = None
        # Whatever is still under way for this generation is void.
        service.generation += 1
        if service.is_removed or service.spec.transient:
            self._vanish(service, death.text if death is not None else "stopped")

    def _respawn(self, service: Service, death: Death) -> None:
        policy = service.spec.respawn
        if policy is None:
            service.rest = Rest(RestKind.FAILED, death.text)
            return
        now = self._now.monotonic
        ran = now - service.ready_at if service.ready_at is not None else 0.0
        found = next_respawn(policy, service.respawn_record, now=now, ran_seconds=ran)
        if found is None:
            limit = f"{policy.limit} respawns within {policy.window_seconds:g} s"
            service.rest = Rest(RestKind.FAILED, f"{death.text}; the limit is {limit}")
            return
        delay, service.respawn_record = found
        service.note_respawn(self._now)
        if delay > 0:
            service.retry_at = Instant(now + delay, self._now.wall + delay)
            at = service.retry_at.monotonic
            self._effects.append(
                ArmTimer(service.spec.name, service.generation + 1, Timer.BACKOFF, at)
            )

    def _retry_not_needed(self, names: Iterable[Name]) -> None:
        for name in names:
            service = self._services[name]
            if service.rest is not None and service.rest.kind is RestKind.NOT_NEEDED:
                service.rest = None
                self._dirty.add(name)

    def _vanish(self, service: Service, text: str) -> None:
        """Drop a stopped service from the graph."""
        name = service.spec.name
        self._dirty.update(self._around(name))
        self._forget(service, text)
        specs = tuple(s for n, s in self.graph.spec_by_name.items() if n != name)
        absent = self.graph.absent | {name, *service.spec.provides}
        self.graph = ServiceGraph.build(specs, absent=absent)

    def _forget(self, service: Service, text: str) -> None:
        name = service.spec.name
        for ticket in self._tickets.values():
            if name in ticket.open:
                result = Result.DONE if ticket.verb is Verb.STOP else Result.FAILED
                ticket.close(Report(name, result, f"{name} is gone: {text}"))
        del self._services[name]
        self._dirty.discard(name)
        self._effects.append(Forget(name))
        self._announce(name, "service removed")

    # The loop: what is wanted against what is

    def _settle(self) -> None:
        while self._dirty:
            for name in sorted(self._refresh_views(), key=self._rank):
                service = self._services.get(name)
                if service is not None:
                    self._judge(service)

    def _rank(self, name: Name) -> int:
        return self.graph.rank.get(name, -1)

    def _refresh_views(self) -> set[Name]:
        """Bring views up to date, causes first; return the services to judge."""
        waiting = [(self._rank(name), name) for name in self._dirty]
        heapify(waiting)
        self._dirty = set()
        affected: set[Name] = set()
        last = None
        while waiting:
            name = heappop(waiting)[1]
            if name == last or name not in self._services:
                continue
            last = name
            affected.add(name)
            affected.update(self._around(name))
            if self._refresh(self._services[name]):
                graph = self.graph
                behind = (*graph.needed_by[name], *graph.later[name], *graph.conflicts[name])
                for other in behind:
                    heappush(waiting, (self._rank(other), other))
        return affected

    def _refresh(self, service: Service) -> bool:
        """Bring one view up to date; return whether it changed."""
        old, service.view = service.view, self._view(service)
        if service.view.is_degraded != old.is_degraded:
            word = "service degraded" if service.view.is_degraded else "service recovered"
            self._announce(service.spec.name, word)
        return service.view != old

    def _around(self, name: Name) -> set[Name]:
        graph = self.graph
        edges = (graph.needs, graph.needed_by, graph.earlier, graph.later, graph.conflicts)
        return {other for kind in edges for other in kind.get(name, ())}

    def _view(self, service: Service) -> View:
        name = service.spec.name
        must_stop = service.is_up and (
            not self.is_wanted(service)
            or service.is_marked
            or any(not self._services[b].view.is_satisfied for b in self.graph.binds[name])
        )
        needs = [self._services[need].view for need in self.graph.needs[name]]
        runs = service.state is State.RUNNING and not must_stop
        rests = service.rest is not None and service.rest.kind is RestKind.NOT_NEEDED
        return View(
            is_satisfied=runs or (rests and not service.is_alive),
            is_coming=not runs and self._is_coming(service, needs, must_stop=must_stop),
            must_stop=must_stop,
            is_degraded=runs and any(not need.is_satisfied for need in needs),
            is_alive=service.is_alive,
        )

    def _is_coming(self, service: Service, needs: Iterable[View], *, must_stop: bool) -> bool:
        if not self.is_wanted(service) or not service.enabled:
            return False
        if service.state is State.STARTING and not must_stop:
            return True
        if service.rest is not None or service.retry_at is not None or service.death is not None:
            return False
        if any(self._services[rival].is_alive for rival in self.graph.conflicts[service.spec.name]):
            return False
        return all(need.is_satisfied or need.is_coming for need in needs)

    def _judge(self, service: Service) -> None:
        if service.is_up:
            if service.view.must_stop and self._may_stop(service):
                self._move(service, Move.STOP)
        elif not service.is_alive and self.holds_back(service) is None:
            self._move(service, Move.START)

    def _may_stop(self, service: Service) -> bool:
        name = service.spec.name
        behind = (*self.graph.needed_by[name], *self.graph.later[name])
        return not any(self._goes_first(self._services[other]) for other in behind)

    def _goes_first(self, other: Service) -> bool:
        """Whether a service behind one that is to stop has to be gone before."""
        return (other.is_up and other.view.must_stop) or other.state is State.STOPPING

    def holds_back(self, service: Service) -> explain.Hold | None:
        """Return what keeps a stopped service from starting; None: nothing."""
        return explain.hold(self, service)

    # Answers

    def _answer(self) -> None:
        for number, ticket in list(self._tickets.items()):
            commands.resolve(self, ticket)
            if not ticket.open and ticket.verb is not Verb.SHUTDOWN:
                del self._tickets[number]
                self._effects.append(Answer(number, ticket.reports(), ticket.touched))
        if self.is_shutting_down and not self._is_finished:
            self._finish_if_down()

    def _finish_if_down(self) -> None:
        if any(service.is_alive for service in self._services.values()):
            return
        self._is_finished = True
        self._effects += [Answer(number, ()) for number in self._tickets]
        self._tickets.clear()
        self._effects.append(Finish())

    def _announce(self, name: Name, event: str) -> None:
        self._effects.append(Announce(name, event))

    def _new(self, spec: ServiceSpec) -> Service:
        kept = self._remembered.get(spec.name)
        enabled = kept.enabled if kept is not None else True
        return Service(spec=spec, since=self._now.wall, enabled=enabled)


def _with_leftovers(graph: ServiceGraph, leftovers: Iterable[ServiceSpec]) -> ServiceGraph:
    """Return `graph` with services that are only there until they have stopped."""
    last = tuple(leftovers)
    if not last:
        return graph
    specs = tuple(graph.spec_by_name.values())
    try:
        return ServiceGraph.build((*specs, *last), absent=graph.absent)
    except GraphError:
        # The new edges contradict the old order; what leaves then goes without order.
        free = (replace(spec, after=()) for spec in last)
        return ServiceGraph.build((*specs, *free), absent=graph.absent)

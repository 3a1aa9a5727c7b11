"""A host without processes: carries out the engine's effects by hand, for playbooks and machines.

Nothing happens by itself. A spawn makes a `Process` that the test lets become ready, exit or ignore
its stop signal; timers fire when the test moves the clock past them. virtsupd may die between any
two effects; a `successor` then finds the processes, and what was kept of the services.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields, replace
from typing import Any

from tests.support.intervals import INTERVALS

from virtsupd.core.domain import DomainSpec, GuestStop
from virtsupd.core.effects import (
    Adopt,
    AdoptDomain,
    Announce,
    Answer,
    ArmTimer,
    AwaitReady,
    CancelTimer,
    Effect,
    EndDomain,
    EndGuest,
    FindGuests,
    Finish,
    Forget,
    Keep,
    Kill,
    Remember,
    RememberFirings,
    RememberShutdown,
    Report,
    RunCleanUp,
    RunPrepare,
    RunReload,
    Spawn,
    StartDomain,
    Terminate,
    WatchHealth,
)
from virtsupd.core.engine import Engine, Remembered
from virtsupd.core.events import (
    Added,
    Adopted,
    Asked,
    BecameReady,
    Booted,
    CleanedUp,
    ClockSet,
    Event,
    Exited,
    Fired,
    Gone,
    HealthChanged,
    Instant,
    NeverMade,
    NeverReady,
    Prepared,
    Reached,
    Reloaded,
    ReloadEnded,
    Spawned,
    SpawnFailed,
    Timer,
    Verb,
)
from virtsupd.core.exits import ExitStatus
from virtsupd.core.explain import Hold, hold
from virtsupd.core.graph import ServiceGraph
from virtsupd.core.host_scope import ShutdownOrder
from virtsupd.core.names import Name
from virtsupd.core.service import Service
from virtsupd.core.shutdown_policy import ShutdownPolicy
from virtsupd.core.snapshot import State
from virtsupd.core.spec import (
    LogSpec,
    NotifyProbe,
    ProcessSpec,
    Readiness,
    Respawn,
    ServiceSpec,
    Stop,
    TimerSpec,
)

KILLED = ExitStatus(signal=9)
TERMINATED = ExitStatus(signal=15)
CLEAN = ExitStatus(code=0)
POWERED_OFF = ExitStatus(code=0, words="the guest powered off")
CRASHED = ExitStatus(code=1, words="crashed")
FAILED = ExitStatus(code=1)
UNKNOWN = ExitStatus()
NOTIFY = Readiness(NotifyProbe())
_FORGOTTEN = Remembered(wanted=None, enabled=True)
_EDGES = frozenset({"requires", "binds_to", "wants", "after", "before", "conflicts", "part_of"})


def process(*command: str) -> ProcessSpec:
    return ProcessSpec(command or ("run",), LogSpec(""))


def service(name: str, **fields: Any) -> ServiceSpec:
    """A process that is ready at once, unless `fields` say otherwise; edges are given as names."""
    made: dict[str, Any] = {k: tuple(map(Name, v)) if k in _EDGES else v for k, v in fields.items()}
    made.setdefault("provides", (Name(name),))
    made.setdefault("process", process(name))
    return ServiceSpec(Name(name), **made)


def timer(
    name: str,
    seconds: str = "100",
    *,
    catch_up: float = math.inf,
    timeout: float = 0.0,
    **fields: Any,
) -> ServiceSpec:
    """A service whose command is a job that runs at the multiples of `seconds` (`INTERVALS`)."""
    times = TimerSpec((seconds,), catch_up_seconds=catch_up, timeout_seconds=timeout)
    return service(name, timer=times, respawn=None, **fields)


def target(name: str, **fields: Any) -> ServiceSpec:
    return service(name, process=None, **fields)


def domain(name: str, **fields: Any) -> ServiceSpec:
    """A guest of libvirt's, with the policies that it has unless its file says others."""
    made: dict[str, Any] = {
        "domain": DomainSpec(f"{name}-domain"),
        "is_guest": True,
        "respawn": Respawn(delay_seconds=1.0, window_seconds=300.0, only_failures=True),
        "stop": Stop(delay_seconds=300.0, how=GuestStop.SHUTDOWN),
    }
    return service(name, process=None, **made | fields)


_WORDS: dict[type, str] = {
    Spawn: "spawn",
    Adopt: "adopt",
    StartDomain: "start guest",
    AdoptDomain: "adopt guest",
    AwaitReady: "await",
    WatchHealth: "watch",
    Terminate: "terminate",
    Kill: "kill",
    RunReload: "reload",
    RunCleanUp: "clean up",
    FindGuests: "find guests of",
    Forget: "forget",
}


def in_words(effect: Effect) -> str:
    """Say an effect in a few words; "" for those that playbooks leave out."""
    if isinstance(effect, Answer):
        return " ".join(["answer", *(f"{r.name} {r.result}" for r in effect.reports)])
    if isinstance(effect, Finish):
        return "finish"
    if isinstance(effect, RememberShutdown):
        return ""
    if isinstance(effect, EndGuest):
        return f"{effect.end} guest {effect.guest}"
    if isinstance(effect, EndDomain):
        return f"{effect.how} guest {effect.name}"
    word = _WORDS.get(type(effect))
    return f"{word} {effect.name}" if word is not None else ""


@dataclass(slots=True)
class Process:
    """One process of the pretended host."""

    pid: int
    generation: int
    is_done: bool = False
    """Its leader has ended; what it left behind may still be there."""
    status: ExitStatus = UNKNOWN
    """How it did, as far as anybody can tell."""
    is_domain: bool = False
    """It is a guest of libvirt's, of which no process is known."""


def _rename(kept: dict[Name, Any], name: Name, heir: Name) -> None:
    if name in kept:
        kept[heir] = kept.pop(name)


def as_kept(name: Name, found: Service) -> Service:
    """What is read back of a service that was kept: only what counts in comparisons."""
    fresh: dict[str, Any] = {
        f.name: f.default for f in fields(Service) if not f.compare and f.default is not MISSING
    }
    return replace(found, **fresh | {"spec": ServiceSpec(name, (name,))})


@dataclass(slots=True)
class PureHost:
    """An engine and a host that does what it says."""

    engine: Engine
    now: float = 1000.0
    wall_ahead: float = 0.0
    """By how much the wall clock differs from the monotonic one."""
    processes: dict[Name, Process] = field(default_factory=dict)
    timers: dict[tuple[Name, Timer], ArmTimer] = field(default_factory=dict)
    answers: dict[int, Answer] = field(default_factory=dict)
    announced: list[tuple[str, str]] = field(default_factory=list)
    effects: list[Effect] = field(default_factory=list)
    forgotten: list[Name] = field(default_factory=list)
    conditions: dict[Name, int] = field(default_factory=dict)
    stubborn: set[str] = field(default_factory=set)
    """Services that ignore the stop signal."""
    unkillable: set[str] = field(default_factory=set)
    """Services that not even KILL ends."""
    unasked: dict[Name, EndDomain] | None = None
    """What libvirt is to end when it returns; None: it is there."""
    reload_fails: str | None = None
    """What reload commands end with."""
    held_reloads: bool = False
    """Reload commands do not end."""
    prepare_fails: str | None = None
    held_preparations: bool = False
    """Whether those end only when the test says so."""
    clean_up_fails: str | None = None
    """What clean-up commands end with."""
    held_clean_ups: bool = False
    """Clean-up commands do not end."""
    held: set[str] = field(default_factory=set)
    """Services whose spawn the test answers itself."""
    unspawnable: dict[str, SpawnFailed] = field(default_factory=dict)
    is_finished: bool = False
    pids: int = 100
    tickets: int = 0
    specs: tuple[ServiceSpec, ...] = ()
    """The configuration."""
    kept: dict[Name, Service] = field(default_factory=dict)
    """What a successor is left of the services."""
    records: dict[Name, Process] = field(default_factory=dict)
    """Where it would look for their processes."""
    remembered: dict[Name, Remembered] = field(default_factory=dict)
    order: ShutdownOrder | None = None
    """What it would be told of a shutdown."""
    policy: ShutdownPolicy | None = None
    effects_left: int | None = None
    """virtsupd is killed when it has carried out so many more effects."""
    is_dead: bool = False

    @classmethod
    def of(
        cls,
        *specs: ServiceSpec,
        remembered: Mapping[str, Remembered] | None = None,
        boot: bool = True,
        engine: type[Engine] = Engine,
        policy: ShutdownPolicy | None = None,
    ) -> "PureHost":
        known = {Name(name): kept for name, kept in (remembered or {}).items()}
        made = engine(ServiceGraph.build(specs), known, shutdown_policy=policy, calendar=INTERVALS)
        host = cls(made, specs=specs, remembered=dict(known), policy=policy)
        if boot:
            host.post(Booted())
        return host

    # What the test does

    def post(self, *events: Event) -> None:
        """Feed events, and all that comes of them at once."""
        waiting = list(events)
        while waiting and not self.is_dead:
            event = waiting.pop(0)
            effects = self.engine.advance(event, self.instant())
            kinds = [type(effect) for effect in effects]
            assert Keep not in kinds[kinds.count(Keep) :], "kept too late"
            for effect in effects:
                if self.effects_left == 0:
                    self.is_dead = True
                    return
                if self.effects_left is not None:
                    self.effects_left -= 1
                self.effects.append(effect)
                waiting.extend(self._carry_out(effect))
            self._check_kept()

    def _check_kept(self) -> None:
        """A successor would find all that lasts as it is now."""
        for name in self.engine.names():
            found = self.engine.service(name)
            if found.has_past:
                assert self.kept.get(name) == found, f"{name} changed and was not kept"

    def instant(self, later: float = 0.0) -> Instant:
        return Instant(self.now + later, self.now + later + self.wall_ahead)

    def set_clock(self, ahead: float) -> None:
        """Set the wall clock so far ahead of where it was; intervals stay what they are."""
        self.wall_ahead += ahead
        self.post(ClockSet())

    def successor(
        self,
        *specs: ServiceSpec,
        died: Mapping[str, ExitStatus] | None = None,
        lost: Iterable[str] = (),
        away: float = 0.0,
        boot: bool = True,
    ) -> "PureHost":
        """A virtsupd that starts on the same host after this one was killed, and looks around.

        `specs` are its configuration, if it is another one. `died` ended in the meantime; of
        `lost` there is no record, and no process. It starts `away` seconds later.
        """
        self.is_dead = True
        for name, status in (died or {}).items():
            self.processes.pop(Name(name)).status = status
            self.records[Name(name)].is_done = True
        for name in lost:
            self.processes.pop(Name(name), None)
            self.records.pop(Name(name), None)
        specs = specs or self.specs
        graph = ServiceGraph.build(specs)
        found = {name: as_kept(name, service) for name, service in self.kept.items()}
        for name in tuple(found):
            self._take_name(found, name, graph)
        engine = type(self.engine)(
            graph,
            dict(self.remembered),
            found,
            shutdown_order=self.order,
            shutdown_policy=self.policy,
            calendar=INTERVALS,
        )
        heir = PureHost(
            engine,
            policy=self.policy,
            order=self.order,
            now=self.now + away,
            wall_ahead=self.wall_ahead,
            processes=self.processes,
            stubborn=self.stubborn,
            unkillable=self.unkillable,
            unspawnable=self.unspawnable,
            held=self.held,
            pids=self.pids,
            tickets=self.tickets,
            specs=specs,
            kept=dict(found),
            records=self.records,
            remembered=dict(self.remembered),
        )
        if boot:
            heir.post(Booted())
        return heir

    def _take_name(self, found: dict[Name, Service], name: Name, graph: ServiceGraph) -> None:
        """Bring what was kept under the names of the graph, as is done before an engine is made."""
        heir = graph.canonical.get(name)
        if heir is None and not found[name].has_process and found[name].clean_up is None:
            del found[name]
        elif heir is not None and heir not in found:
            _rename(found, name, heir)
            _rename(self.processes, name, heir)
            _rename(self.records, name, heir)

    def ask(self, verb: Verb, *names: str, guests: bool = False, once: tuple[str, ...] = ()) -> int:
        self.tickets += 1
        asked = Asked(
            self.tickets, verb, tuple(map(Name, names)), "tester", guests=guests, once=once
        )
        self.post(asked)
        return self.tickets

    def start(self, *names: str, once: tuple[str, ...] = ()) -> int:
        return self.ask(Verb.START, *names, once=once)

    def stop(self, *names: str, guests: bool = False) -> int:
        return self.ask(Verb.STOP, *names, guests=guests)

    def restart(self, *names: str) -> int:
        return self.ask(Verb.RESTART, *names)

    def ready(self, *names: str) -> None:
        for name in names:
            key = Name(name)
            found = self.processes.get(key)
            generation = found.generation if found is not None else self.conditions.pop(key)
            self.post(BecameReady(key, generation))

    def exits(self, name: str, status: ExitStatus = FAILED) -> None:
        """Let a service's leader end by itself, leaving nothing behind."""
        found = self.processes[Name(name)]
        found.is_done, found.status = True, status
        if found.is_domain:
            del self.processes[Name(name)]
        self.post(Exited(Name(name), found.generation, status))

    def never_ready(self, name: str, why: str = "nobody answers") -> None:
        """Let a readiness probe find that it cannot hold any more."""
        self.post(NeverReady(Name(name), self.engine.service(Name(name)).generation, why))

    def health(self, name: str, why: str | None) -> None:
        """Let a health probe fail as often as its policy allows, or hold again."""
        self.post(HealthChanged(Name(name), self.processes[Name(name)].generation, why))

    def fails_to_spawn(self, name: str, *, permanent: bool, stage: str = "exec") -> None:
        self.unspawnable[name] = SpawnFailed(Name(name), 0, stage, "no such file", permanent)

    def lets_go(self, name: str) -> None:
        """Let the last process of a stubborn or unkillable service end after all."""
        self.stubborn.discard(name)
        self.unkillable.discard(name)
        found = self.processes.pop(Name(name))
        if not found.is_done:
            self.post(Exited(Name(name), found.generation, KILLED))
        self.post(Gone(Name(name), found.generation))

    def loses_libvirt(self) -> None:
        """Let guests not be ended until libvirt returns."""
        self.unasked = {}

    def finds_libvirt(self) -> None:
        """Let libvirt end what it was to end meanwhile."""
        unasked, self.unasked = self.unasked or {}, None
        for effect in unasked.values():
            self.post(*self._end_domain(effect))

    def pass_time(self, seconds: float) -> None:
        """Move the clock, firing what becomes due, in order."""
        end = self.now + seconds
        while due := [t for t in self.timers.values() if t.at <= end]:
            first = min(due, key=lambda timer: (timer.at, timer.name, timer.timer))
            del self.timers[first.name, first.timer]
            self.now = max(self.now, first.at)
            self.post(Fired(first.name, first.generation, first.timer))
        self.now = end

    def reload(
        self,
        *specs: ServiceSpec,
        absent: frozenset[str] = frozenset(),
        spared: Iterable[Name] = (),
    ) -> tuple[str, ...]:
        graph = ServiceGraph.build(specs, absent=absent)
        problems = self.engine.reload_problems(graph)
        if not problems:
            self.specs = specs
            self.post(Reloaded(graph, spared=frozenset(spared)))
        return problems

    def add(self, spec: ServiceSpec) -> None:
        """Put one service more into the graph."""
        self.specs = (*(s for s in self.specs if s.name != spec.name), spec)
        self.post(Added(spec))

    # What the test looks at

    def state(self, name: str) -> State:
        return self.engine.service(Name(name)).state

    def hold(self, name: str) -> Hold | None:
        """What keeps a stopped service from starting."""
        return hold(self.engine._host, self.engine.service(Name(name)))

    def is_wanted(self, name: str) -> bool:
        return self.engine._host.is_wanted(self.engine.service(Name(name)))

    def running(self) -> list[str]:
        return [n for n in self.engine.names() if self.state(n) is State.RUNNING]

    def service(self, name: str) -> Service:
        return self.engine.service(Name(name))

    def pid(self, name: str) -> int | None:
        """The pid of the living leader, as the host knows it."""
        found = self.processes.get(Name(name))
        return found.pid if found is not None and not found.is_done else None

    def states(self, name: str) -> list[str]:
        """The states a service went through, oldest first."""
        return [str(state) for state, _ in reversed(self.engine.service(Name(name)).changes)]

    def reports(self, ticket: int) -> Sequence[Report]:
        return self.answers[ticket].reports

    def result(self, ticket: int) -> str:
        (report,) = self.reports(ticket)
        return str(report.result)

    def reason(self, name: str) -> str:
        found = self.engine.snapshot(Name(name)).reason
        return f"{found.kind}: {found.text}" if found is not None else ""

    def did(self) -> list[str]:
        """Say what was done since the last call, in order: "spawn web", "answer web done"."""
        said = [words for effect in self.effects if (words := in_words(effect))]
        self.effects.clear()
        return said

    def tells(self, name: str) -> list[str]:
        """What was announced of a service, without the word service."""
        return [event.removeprefix("service ") for who, event in self.announced if who == name]

    def take(self, *kinds: type) -> list[Effect]:
        """Return the effects since the last call, only those of `kinds`."""
        found = [effect for effect in self.effects if isinstance(effect, kinds)]
        self.effects.clear()
        return found

    # How the host carries out an effect

    def _carry_out(self, effect: Effect) -> Iterable[Event]:
        match effect:
            case Spawn():
                yield from self._spawn(effect)
            case Adopt():
                yield from self._adopt(effect)
            case Terminate() | Kill():
                yield from self._end(effect)
            case StartDomain() | AdoptDomain() | EndDomain():
                yield from self._touch_domain(effect)
            case AwaitReady():
                self.conditions[effect.name] = effect.generation
            case RunReload() | RunCleanUp() | RunPrepare():
                yield from self._run(effect)
            case _:
                self._note(effect)

    def _run(self, effect: RunReload | RunCleanUp | RunPrepare) -> Iterable[Event]:
        name, generation = effect.name, effect.generation
        if isinstance(effect, RunPrepare):
            assert name not in self.processes, "it is there already"
            if not self.held_preparations:
                yield Prepared(name, generation, self.prepare_fails)
            return
        if isinstance(effect, RunCleanUp):
            assert name not in self.processes, "its processes are not gone"
            if not self.held_clean_ups:
                yield CleanedUp(name, generation, self.clean_up_fails)
            return
        assert not self.processes[name].is_done, "nobody to tell"
        if not self.held_reloads:
            yield ReloadEnded(name, generation, self.reload_fails)

    def _note(self, effect: Effect) -> None:
        match effect:
            case Keep() | Remember() | RememberFirings() | Forget():
                self._remember(effect)
            case ArmTimer():
                self.timers[effect.name, effect.timer] = effect
            case CancelTimer():
                self.timers.pop((effect.name, effect.timer), None)
            case Answer():
                assert effect.ticket not in self.answers, "answered twice"
                self.answers[effect.ticket] = effect
            case Announce():
                self.announced.append((effect.name, effect.event))
            case RememberShutdown():
                self.order = effect.order
            case Finish():
                ours = {name for name, found in self.processes.items() if not found.is_domain}
                assert ours <= self.unkillable, "finished with processes"
                self.is_finished = True
                self.order = None
            case _:
                pass

    def _remember(self, effect: Keep | Remember | RememberFirings | Forget) -> None:
        match effect:
            case Keep():
                self.kept[effect.name] = effect.service
                if not effect.service.is_alive:
                    self.records.pop(effect.name, None)
            case Remember():
                known = self.remembered.get(effect.name, _FORGOTTEN)
                kept = (effect.wanted, effect.enabled, effect.by, effect.since, known.firings)
                self.remembered[effect.name] = Remembered(*kept)
            case RememberFirings():
                known = self.remembered.get(effect.name, _FORGOTTEN)
                self.remembered[effect.name] = replace(known, firings=effect.firings)
            case Forget():
                found = self.processes.get(effect.name)
                is_domain = found is not None and found.is_domain
                assert found is None or is_domain, "forgotten while it runs"
                self.forgotten.append(effect.name)
                if self.unasked is not None:
                    self.unasked.pop(effect.name, None)  # a guest is left as it is
                self.kept.pop(effect.name, None)
                self.records.pop(effect.name, None)

    def _spawn(self, effect: Spawn) -> Iterable[Event]:
        engine, graph = self.engine, self.engine.graph
        assert effect.name not in self.processes, f"{effect.name} twice"
        for need in graph.needs[effect.name]:
            assert engine.service(need).view.is_satisfied, f"{effect.name} without {need}"
            assert self._is_there(need), f"{effect.name} with a dead {need}"
        for rival in graph.conflicts[effect.name]:
            assert not engine.service(rival).is_alive, f"{effect.name} beside {rival}"
        if effect.name in self.held:
            return
        failure = self.unspawnable.get(effect.name)
        if failure is not None:
            yield SpawnFailed(
                effect.name,
                effect.generation,
                failure.stage,
                failure.message,
                failure.is_permanent,
            )
            return
        self.pids += 1
        made = Process(self.pids, effect.generation)
        self.processes[effect.name] = self.records[effect.name] = made
        yield Spawned(effect.name, effect.generation, self.pids)

    def _touch_domain(self, effect: StartDomain | AdoptDomain | EndDomain) -> Iterable[Event]:
        match effect:
            case StartDomain():
                yield from self._start_domain(effect)
            case AdoptDomain():
                yield from self._adopt_domain(effect)
            case EndDomain():
                yield from self._end_domain(effect)

    def _start_domain(self, effect: StartDomain) -> Iterable[Event]:
        """Start it, or find that it runs."""
        name, generation = effect.name, effect.generation
        if name in self.held:
            return
        found = self.processes.setdefault(name, Process(0, generation, is_domain=True))
        assert found.is_domain, f"{name} is a process"
        found.generation = generation
        yield Spawned(name, generation, None)

    def _adopt_domain(self, effect: AdoptDomain) -> Iterable[Event]:
        name, generation = effect.name, effect.generation
        if name in self.processes:
            self.processes[name].generation = generation
            yield Adopted(name, generation, None)
        elif effect.was_running:
            yield Exited(name, generation, POWERED_OFF)
        else:
            yield NeverMade(name, generation)

    def _end_domain(self, effect: EndDomain) -> Iterable[Event]:
        name, generation = effect.name, effect.generation
        found = self.processes.get(name)
        is_deaf = name in self.stubborn and effect.how is not GuestStop.DESTROY
        if effect.how is GuestStop.LEAVE or found is None or found.generation != generation:
            yield Gone(name, generation)
        elif self.unasked is not None:
            self.unasked[name] = effect
        else:
            yield Reached(name, generation, is_reached=True)
            if name not in self.unkillable and not is_deaf:
                del self.processes[name]
                yield Exited(name, generation, POWERED_OFF)
                yield Gone(name, generation)

    def _is_there(self, name: Name) -> bool:
        """Whether what should have a process has one that lives."""
        return self.engine.service(name).pid is None or self.pid(name) is not None

    def _adopt(self, effect: Adopt) -> Iterable[Event]:
        found = self.records.get(effect.name)
        if found is None or found.generation != effect.generation:
            self.records.pop(effect.name, None)
            yield NeverMade(effect.name, effect.generation)
            return
        pid = self.pid(effect.name)
        yield Adopted(effect.name, effect.generation, pid)
        if pid is None:
            yield Exited(effect.name, effect.generation, found.status)

    def _end(self, effect: Terminate | Kill) -> Iterable[Event]:
        found = self.processes.get(effect.name)
        if found is None or found.generation != effect.generation:
            yield Gone(effect.name, effect.generation)
            return
        if effect.name in self.unkillable:
            return
        if isinstance(effect, Terminate) and effect.name in self.stubborn and not found.is_done:
            return
        del self.processes[effect.name]
        if not found.is_done:
            status = KILLED if isinstance(effect, Kill) else TERMINATED
            found.is_done, found.status = True, status
            yield Exited(effect.name, effect.generation, status)
        yield Gone(effect.name, effect.generation)

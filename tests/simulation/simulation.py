"""A simulation: one schedule, carried out on one world, with one virtsupd after another."""

import contextlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random

from tests.simulation.actions import (
    Action,
    Ask,
    Behave,
    Cling,
    Crash,
    Die,
    HangUp,
    Pass,
    Probe,
    Quit,
    Reboot,
    Reload,
    Settle,
    Shutdown,
    schedule,
)
from tests.simulation.disk import Disk
from tests.simulation.graphs import behaviour_of, graph_of
from tests.simulation.judge import Judge
from tests.simulation.power import Crash as Struck
from tests.simulation.settled import judge_settled
from tests.simulation.virtsupd import Around, Virtsupd, WatchedEngine
from tests.simulation.world import Behaviour, Process, Violation, World

from virtsupd.core.events import Booted, Hung, Reloaded
from virtsupd.core.exits import ExitStatus
from virtsupd.core.graph import ServiceGraph
from virtsupd.core.names import Name

_STEPS = (0.0, 0.0, 0.0, 0.003)
_MOST_HAPPENINGS = 20_000
"""Of one settling; more of them never end."""


@dataclass(frozen=True, slots=True)
class Case:
    """All that a run is a function of."""

    seed: int
    graph: int
    step: float
    """Seconds that each step of virtsupd's work takes."""
    actions: tuple[Action, ...]


def draw(seed: int, length: int = 40) -> Case:
    """Return the case of a seed."""
    random = Random(seed)
    graph, step = random.randrange(1_000_000), random.choice(_STEPS)
    return Case(seed, graph, step, tuple(schedule(random, length)))


@dataclass(slots=True)
class Tally:
    """What was gone through."""

    seeds: int = 0
    events: int = 0
    crashes: int = 0
    adoptions: int = 0
    spawns: int = 0
    commands: int = 0


@dataclass(slots=True)
class _Plan:
    """What comes after the next crash."""

    steps: tuple[int, ...] = ()
    away: float = 0.0
    graph: int | None = None


@dataclass
class Simulation:
    """Carries out a case; raises what is broken."""

    case: Case
    tally: Tally = field(default_factory=Tally)
    disk: Disk = field(default_factory=Disk)

    def __post_init__(self) -> None:
        self.world = World(self.case.seed)
        self.graph = graph_of(self.case.graph)
        self.behaviours: dict[Name, int] = {}
        self.judge = Judge(self.world, self.disk)
        self.plan = _Plan()
        self._is_reloading = False
        self.virtsupd: Virtsupd
        self._make_strangers()

    def run(self) -> None:
        begin = WatchedEngine.events
        try:
            self._start(is_same=False)
            for action in self.case.actions:
                self._do(action)
        finally:
            self.tally.seeds += 1
            self.tally.events += WatchedEngine.events - begin

    # virtsupd comes and goes

    def _start(self, steps: tuple[int, ...] = (), *, is_same: bool) -> None:
        """Start virtsupd, again and again if it dies of what is planned for it."""
        while True:
            around = Around(
                self.world, self.disk, self.graph, self._behaviour, self.judge, self.case.step
            )
            self.virtsupd = virtsupd = Virtsupd(around)
            if steps:
                virtsupd.power.arm(steps[0])
            try:
                virtsupd.boot()
                self.judge.virtsupd = virtsupd
                virtsupd.supervisor.post(Booted())
            except Struck:
                self._leave_it(0.0)
                steps = steps[1:]
                continue
            break
        self.plan = _Plan(steps[1:])
        self.judge.taken_over(virtsupd, is_same=is_same)
        self.judge.quickly()

    def _died(self) -> None:
        """It was struck dead: the world goes on without it, then comes the next."""
        plan, self.plan = self.plan, _Plan()
        self._leave_it(plan.away)
        self._begin_again(plan)

    def _begin_again(self, plan: _Plan) -> None:
        is_same = plan.graph is None and not self._is_reloading
        if plan.graph is not None:
            self.graph = graph_of(plan.graph)
        self._start(plan.steps, is_same=is_same)

    def _leave_it(self, away: float) -> None:
        self.tally.crashes += 1
        self._count()
        self.virtsupd.power.is_dead = True
        self.judge.died(self.virtsupd)
        self.world.becomes_orphaned()
        self._let_pass(away)

    def _count(self) -> None:
        if self.virtsupd.is_made:
            self.tally.adoptions += self.virtsupd.machine.adoptions
            self.tally.spawns += self.virtsupd.machine.spawns
            self.graph = self.virtsupd.configured

    def _enter(self, call: Callable[[], object]) -> None:
        """Have virtsupd do something; it may die of it."""
        try:
            call()
        except Struck:
            self._died()
        self.judge.quickly()

    def _let_pass(self, seconds: float) -> None:
        until = self.world.now + seconds
        happened = 0
        while True:
            try:
                for _ in self.world.run(until):
                    self.judge.quickly()
                    happened += 1
                    if happened > _MOST_HAPPENINGS:
                        raise Violation("it never settles")
            except Struck:
                self._died()
            else:
                return

    # What the schedule says

    def _do(self, action: Action) -> None:  # noqa: C901, PLR0912 - one line for each
        match action:
            case Ask():
                self._ask(action)
            case HangUp():
                self._hang_up(action.pick)
            case Pass():
                self._let_pass(action.seconds)
            case Settle():
                self._settle()
            case Die():
                self._let_die(action)
            case Behave():
                if name := self._name(action.pick):
                    self.behaviours[name] = action.behaviour
            case Cling():
                self._cling(action)
            case Probe():
                self._probe(action)
            case Reload():
                self._reload(graph_of(action.graph))
            case Crash():
                self._crash(action)
            case Quit():
                self._quit(action)
            case Shutdown():
                self._shut_down(action)
            case Reboot():
                self._reboot()

    def _ask(self, action: Ask) -> None:
        picked = (self._name(pick) for pick in action.picks)
        names = tuple(dict.fromkeys(name for name in picked if name is not None))
        if not names:
            return
        self.tally.commands += 1
        self._enter(
            lambda: self.virtsupd.ask(
                action.verb, names, guests=action.guests, on_answer=self.judge.answered
            )
        )

    def _hang_up(self, pick: int) -> None:
        waiting = [c for c in self.virtsupd.clients.values() if not c.answers]
        if waiting:
            ticket = waiting[pick % len(waiting)].asked.ticket
            del self.virtsupd.clients[ticket]
            del self.virtsupd.supervisor._waiters[ticket]
            self._enter(lambda: self.virtsupd.supervisor.post(Hung(ticket)))

    def _let_die(self, action: Die) -> None:
        living = [p for name in sorted(self.world.by_name) for p in self.world.living(name)]
        found = living if action.is_any else [p for p in living if p.is_lead]
        if found:
            process = found[action.pick % len(found)]
            self._enter(lambda: self.world.end(process, ExitStatus(action.code)))

    def _cling(self, action: Cling) -> None:
        living = [p for name in sorted(self.world.by_name) for p in self.world.living(name)]
        if action.is_stuck and living:
            living[action.pick % len(living)].is_unkillable = True
        elif not action.is_stuck:
            self._let_go(living)

    def _let_go(self, living: Sequence[Process]) -> None:
        for process in living:
            process.is_unkillable = False
            if process.killed:
                self.world.end(process, ExitStatus(signal=9))

    def _probe(self, action: Probe) -> None:
        name = self._name(action.pick)
        if name is None:
            return
        machine = self.virtsupd.machine
        match action.finds:
            case "never ready":
                self._enter(lambda: machine.fails(name))
            case _:
                why = "slow" if action.finds == "unhealthy" else None
                self._enter(lambda: machine.turns(name, why))

    def _reload(self, graph: ServiceGraph) -> None:
        engine = self.virtsupd.engine
        is_idle = self.virtsupd.supervisor.is_idle
        if not is_idle or engine.is_shutting_down or engine.reload_problems(graph):
            return
        self.virtsupd.configured = graph
        self.judge.reloading()
        self._is_reloading = True
        self._enter(lambda: self.virtsupd.supervisor.post(Reloaded(graph)))
        self._is_reloading = False

    def _crash(self, action: Crash) -> None:
        self.plan = _Plan(action.steps[1:], action.away, action.graph)
        if action.steps:
            self.virtsupd.power.arm(action.steps[0])
        else:
            self._died()

    def _quit(self, action: Quit) -> None:
        self.virtsupd.supervisor.close()
        with contextlib.suppress(Struck):
            self.virtsupd.interpreter.leave()
        self.plan = _Plan((), action.away, action.graph)
        self._died()

    def _settle(self) -> None:
        self._let_pass(math.inf)
        judge_settled(self.judge)

    def _shut_down(self, action: Shutdown) -> None:
        virtsupd = self.virtsupd
        if action.steps:
            self.plan = _Plan(action.steps[1:])
            virtsupd.power.arm(action.steps[0])
        self._enter(lambda: virtsupd.supervisor.shut_down("an operator"))
        self._let_pass(math.inf)
        virtsupd = self.virtsupd
        if not virtsupd.engine.is_shutting_down:
            return  # it was struck before it had written down what it was asked
        if not virtsupd.supervisor.finished.is_set():
            raise Violation("the shutdown does not end")
        # What cannot be killed is not cleaned up either: the host goes down.
        services = virtsupd.engine._host.services.values()
        self.world.remains -= {service.spec.name for service in services if service.is_stuck}
        self._let_go([p for living in self.world.by_name.values() for p in tuple(living)])
        self._let_pass(math.inf)
        virtsupd.power = type(virtsupd.power)()
        self._finish(virtsupd)

    def _finish(self, virtsupd: Virtsupd) -> None:
        try:
            virtsupd.records.clear()
            left = dict(self.disk.records)
        except Struck:
            left = {}
        if left:
            raise Violation(f"after a shutdown there are {sorted(left)}")
        self._count()
        self.judge.reloading()
        self.world.becomes_orphaned()
        self._start(is_same=False)

    def _reboot(self) -> None:
        self._count()
        self.world.reboot()
        self._make_strangers()
        self.disk.boot_id = self.world.epoch
        self.judge.reloading()
        self.plan = _Plan()
        self._start(is_same=False)

    # Around it

    def _name(self, pick: int) -> Name | None:
        names = self.virtsupd.engine.names()
        return names[pick % len(names)] if names else None

    def _behaviour(self, name: Name) -> Behaviour:
        number = self.behaviours.get(name)
        return behaviour_of(self.case.seed * 100 + ord(name[0]) if number is None else number)

    def _make_strangers(self) -> None:
        for _ in range(3):
            self.world.make("stranger", None, 0, None)

"""One virtsupd of the simulation: the real engine, supervisor, interpreter and records, put together."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog
from tests.simulation.disk import Disk, Files
from tests.simulation.machine import Hooks, SimMachine
from tests.simulation.power import Power
from tests.simulation.watcher import Watcher
from tests.simulation.world import Behaviour, Violation, World

from virtsupd.core.effects import Answer, ArmTimer, Effect, Finish, Keep, Remember
from virtsupd.core.engine import Engine
from virtsupd.core.events import Asked, Event, Fired, Instant, Reloaded, Timer, Verb
from virtsupd.core.graph import ServiceGraph
from virtsupd.core.names import Name
from virtsupd.supervisor.interpreter import Interpreter
from virtsupd.supervisor.memory import Memory
from virtsupd.supervisor.predecessor import take_names
from virtsupd.supervisor.records import Records
from virtsupd.supervisor.supervisor import Supervisor

_DEFECTS = frozenset({"event could not be taken", "effect could not be carried out"})


class StrictLog:
    """A logger that says nothing, and lets no defect pass as a mere line in a log."""

    def exception(self, event: str, **_: object) -> None:
        """Raise what was caught; called where it was."""
        error = sys.exc_info()[1]
        if isinstance(error, Violation):
            raise error
        raise Violation(f"{event}: {error!r}") from error

    def critical(self, event: str, **_: object) -> None:
        raise Violation(event)

    def info(self, _event: str, **_facts: object) -> None:
        return

    warning = error = debug = info

    def bind(self, **_: object) -> "StrictLog":
        return self

    new = bind


_STRICT = StrictLog()


def _wrapped(*_: object, **__: object) -> StrictLog:
    return _STRICT


_WRAPPER: Any = _wrapped
"""Called as the class that it stands for."""


@contextmanager
def strict_log(*, is_for_good: bool = False) -> Iterator[None]:
    """Let no defect be logged away meanwhile; for good is faster, and for a process of its own."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=_WRAPPER, cache_logger_on_first_use=is_for_good)
    try:
        yield
    finally:
        structlog.configure(**before)


@dataclass(slots=True)
class SimClock:
    """The world's time; work takes `step` seconds a look, so that a turn of the loop can end early."""

    world: World
    step: float = 0.0
    _last: Instant = field(default_factory=lambda: Instant(-1.0, 0.0))

    def now(self) -> Instant:
        world = self.world
        world.now += self.step
        if self._last.monotonic != world.now:
            self._last = Instant(world.now, world.now + world.wall_offset)
        return self._last

    async def sleep(self, _seconds: float) -> None:
        raise AssertionError("nobody sleeps here")


class SimTimers:
    """Timers on the world's queue; a crash leaves them to nobody."""

    def __init__(self, world: World, post: Callable[[Fired], None]) -> None:
        self._world = world
        self._post = post
        self._armed: dict[tuple[Name, Timer], ArmTimer] = {}

    def arm(self, effect: ArmTimer) -> None:
        self._armed[effect.name, effect.timer] = effect
        seconds = max(0.0, effect.at - self._world.now)
        self._world.at(seconds, lambda: self._fire(effect), life=self._world.life)

    def cancel(self, name: Name, timer: Timer) -> None:
        self._armed.pop((name, timer), None)

    def cancel_all(self) -> None:
        self._armed.clear()

    def _fire(self, effect: ArmTimer) -> None:
        key = (effect.name, effect.timer)
        if self._armed.get(key) is effect:
            del self._armed[key]
            self._post(Fired(effect.name, effect.generation, effect.timer))


class _NoOutputs:
    """Stands for the outputs of services: of each nothing is known, and nothing comes of it."""

    def __getattr__(self, _name: str) -> Callable[..., Path]:
        return lambda *_, **__: Path("/nowhere/sim")


_NO_OUTPUTS: Any = _NoOutputs()


class WatchedEngine(Engine):
    """The engine, counted and listened to."""

    events = 0
    has_finished = False
    changed: set[Name]
    watcher: Watcher

    def advance(self, event: Event, now: Instant) -> tuple[Effect, ...]:
        WatchedEngine.events += 1
        match event:
            case Asked():
                self.watcher.asked(event)
            case Reloaded():
                self.watcher.reloading()
            case _:
                pass
        effects = super().advance(event, now)
        for effect in effects:
            if isinstance(effect, Keep | Remember):
                wanted = effect.service.wanted if isinstance(effect, Keep) else effect.wanted
                self.changed.add(effect.name)
                self.watcher.noticing(effect.name, wanted=wanted)
            elif isinstance(effect, Finish):
                self.has_finished = True
                self.watcher.reloading()
        return effects


class SimSupervisor(Supervisor):
    """The supervisor; what it puts off to the next turn of the loop comes later in the world."""

    world: World

    def _reschedule(self) -> None:
        self._is_scheduled = True
        self.world.soon(self._work)


@dataclass(slots=True)
class Client:
    """Somebody who waits for the answer to a command: what `Supervisor` sets when it comes."""

    asked: Asked
    on_answer: Callable[["Client"], None]
    answers: list[Answer] = field(default_factory=list)

    @property
    def done(self) -> "Client":
        return self

    @property
    def answer(self) -> Answer | None:
        return self.answers[-1] if self.answers else None

    @answer.setter
    def answer(self, answer: Answer) -> None:
        self.answers.append(answer)

    def set(self) -> None:
        if len(self.answers) > 1:
            raise Violation(f"{self.asked} is answered twice: {self.answers}")
        self.on_answer(self)


@dataclass(frozen=True, slots=True)
class Around:
    """What a virtsupd of the simulation finds when it starts."""

    world: World
    disk: Disk
    graph: ServiceGraph
    behaviour: Callable[[Name], Behaviour]
    watcher: Watcher
    step: float


class Virtsupd:
    """One life of virtsupd, from its start to its end or crash."""

    def __init__(self, around: Around) -> None:
        world = around.world
        self.power = Power()
        world.life += 1
        world.is_watched = True
        self.began = world.now
        self._around = around
        self.clients: dict[int, Client] = {}
        self.configured = around.graph
        """What the configuration files say by now."""
        self.is_made = False
        self.is_taken_over = False
        """Whether it came as far as to the end of its boot."""

    def boot(self) -> None:
        """Read what is there and make the parts; the caller posts Booted."""
        around, power = self._around, self.power
        world, disk = around.world, around.disk
        self.records = Records(Files(disk.records, power), world.epoch)
        self.memory = Memory.read(Files(disk.state, power), disk.boot_id)
        take_names(self.records, _NO_OUTPUTS, around.graph)
        self.engine = WatchedEngine(
            around.graph,
            self.memory.remembered(),
            self.records.kept(),
            shutdown_order=self.memory.shutdown_order(),
        )
        self.engine.watcher = around.watcher
        self.engine.changed = set(self.engine.names())
        hooks = Hooks(
            definition=lambda name: self.engine.graph.spec_by_name[name],
            behaviour=around.behaviour,
            told=lambda *said: self.interpreter.told(*said),  # noqa: PLW0108 - made below
            watcher=around.watcher,
            run=lambda name: self.interpreter.run(name),  # noqa: PLW0108 - made below
        )
        self.machine = SimMachine(world, power, hooks)
        timers = SimTimers(world, lambda event: self.supervisor.post(event))  # noqa: PLW0108 - made below
        self.interpreter = Interpreter(
            machine=self.machine, records=self.records, memory=self.memory, timers=timers
        )
        self.supervisor = SimSupervisor(
            self.engine,
            self.interpreter,
            memory=self.memory,
            records=self.records,
            clock=SimClock(world, around.step),
        )
        self.supervisor.world = world
        self.is_made = True

    def ask(
        self,
        verb: Verb,
        names: tuple[Name, ...],
        *,
        guests: bool,
        on_answer: Callable[[Client], None],
    ) -> Client:
        """Give a command; the client waits until it hangs up or virtsupd ends."""
        supervisor = self.supervisor
        supervisor._tickets += 1
        asked = Asked(supervisor._tickets, verb, names, "an operator", guests=guests)
        client = self.clients[asked.ticket] = Client(asked, on_answer)
        waiters: dict[int, Any] = supervisor._waiters
        waiters[asked.ticket] = client
        supervisor.post(asked)
        return client

"""A supervisor in the test's own process: the real engine, interpreter and children, no socket."""

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import anyio
import anyio.lowlevel
from anyio.abc import TaskGroup
from tests.support.hand_machine import HandMachine
from tests.support.processes import script

from virtsupd.core.effects import Answer
from virtsupd.core.engine import Engine
from virtsupd.core.events import Booted, Event, Verb
from virtsupd.core.graph import ServiceGraph
from virtsupd.core.names import Name
from virtsupd.core.snapshot import ServiceSnapshot
from virtsupd.core.spec import LogSpec, ProcessSpec, ServiceSpec
from virtsupd.process.cgroup import CgroupTree
from virtsupd.process.clock import Clock, SystemClock
from virtsupd.process.lives import epoch
from virtsupd.process.output import Outputs
from virtsupd.process.plan import Spawner
from virtsupd.process.reaper import Reaper
from virtsupd.process.spawn import best_spawner
from virtsupd.process.stop import GoneWatch
from virtsupd.process.store import DirectoryStore, Store
from virtsupd.supervisor.interpreter import Interpreter
from virtsupd.supervisor.launch import Launcher
from virtsupd.supervisor.linux import LinuxMachine
from virtsupd.supervisor.memory import Memory
from virtsupd.supervisor.records import Records
from virtsupd.supervisor.supervisor import Supervisor
from virtsupd.supervisor.timers import Timers

SECONDS = 10.0
WEB = Name("web")
SLEEP = ("/bin/sleep", "1000")


def many(*words: str) -> tuple[str, ...]:
    """Return the command of a service that does as these words say."""
    return script("svc_many.py", *words)


def service(
    name: str = "web", *command: str, process: dict[str, object] | None = None, **keys: object
) -> ServiceSpec:
    """Return a definition; without a command it sleeps, without a policy it is not respawned."""
    made = ProcessSpec(command or SLEEP, LogSpec(""), **(process or {}))  # type: ignore[arg-type]  # the test's own business
    fields: dict[str, object] = {"provides": (Name(name),), "process": made, "respawn": None}
    return ServiceSpec(name=Name(name), **(fields | keys))  # type: ignore[arg-type]  # as above


@dataclass(slots=True, kw_only=True)
class Parts:
    """What a test may put in place of the ordinary parts."""

    spawner: Spawner | None = None
    clock: Clock = field(default_factory=SystemClock)
    gone_watch: GoneWatch | None = None
    has_cgroups: bool = True
    has_booted: bool = True
    qemu: HandMachine = field(default_factory=HandMachine)
    """What is behind the sockets of machines."""
    store: Store | None = None
    """Of the records; None: files in the run directory."""


@dataclass(frozen=True, slots=True)
class Ground:
    """What the parts stand on."""

    run_dir: Path
    tree: CgroupTree | None
    reaper: Reaper
    tasks: TaskGroup
    living: "list[Supervising]" = field(default_factory=list)
    """Who has not died or ended: at most one."""


@dataclass(frozen=True, slots=True)
class Supervising:
    """The parts at work."""

    supervisor: Supervisor
    interpreter: Interpreter
    machine: LinuxMachine
    launcher: Launcher
    records: Records
    memory: Memory
    ground: Ground
    posted: list[Event]

    @property
    def reaper(self) -> Reaper:
        """The one that waits for children."""
        return self.ground.reaper

    @property
    def run_dir(self) -> Path:
        """Where the records, sockets and FIFOs are."""
        return self.ground.run_dir

    def snapshot(self, name: str = "web") -> ServiceSnapshot:
        """Return one service."""
        return self.supervisor.engine.snapshot(Name(name))

    def reason(self, name: str = "web") -> str:
        """Return why it is as it is."""
        found = self.snapshot(name).reason
        return found.text if found is not None else ""

    async def ask(self, verb: Verb, *names: str) -> Answer:
        """Carry out a command."""
        with anyio.fail_after(SECONDS):
            return await self.supervisor.ask(verb, [Name(name) for name in names], who="a test")

    async def settled(self) -> None:
        """Wait until the supervisor has nothing left to do for now."""
        with anyio.fail_after(SECONDS):
            while self.supervisor._is_scheduled:
                await anyio.lowlevel.checkpoint()

    async def until(self, holds: Callable[[], object]) -> None:
        """Wait for a fact that comes with some change of a service."""
        with anyio.fail_after(SECONDS):
            async with self.supervisor.changes() as changes:
                while not holds():
                    await changes.receive()

    async def successor(
        self,
        *specs: ServiceSpec,
        parts: Parts | None = None,
        meanwhile: Callable[[], object] | None = None,
    ) -> "Supervising":
        """Let go of everything as a kill does, and return who takes over; then `self` is dead.

        What happens `meanwhile` nobody sees: children that end in it stay zombies until the
        successor looks. It is not to be awaited for: no turn of the loop lies between the two.
        """
        self._die()
        if meanwhile is not None:
            meanwhile()
        parts = parts or Parts()
        ground = replace(self.ground, tree=self.ground.tree if parts.has_cgroups else None)
        return await _begun(specs, parts, ground)

    def _die(self) -> None:
        """Close descriptors and end tasks, as the kernel does; remove nothing, tell nobody."""
        self.supervisor.close()
        self.interpreter.leave()
        runs = list(self.interpreter._runs.values())
        self.interpreter._runs.clear()  # so that what tasks find out from here on is nobody's
        for run in runs:
            if run.notify is not None:
                asyncio.get_running_loop().remove_reader(run.notify.fileno())
                run.notify._socket.close()
            if run.ready_fd is not None:
                os.close(run.ready_fd)
        self.launcher.leave()
        os.close(self.launcher._null)
        self.launcher.outputs.leave()
        self.ground.living.remove(self)

    async def _end(self) -> None:
        with anyio.move_on_after(SECONDS, shield=True):
            self.supervisor.shut_down("the test's end")
            await self.supervisor.finished.wait()
            tree = self.ground.tree
            while tree is not None and not tree.remove():
                await self.launcher.clock.sleep(0.005)
        self.supervisor.close()
        self.interpreter.leave()
        self.launcher.close()
        self.launcher.outputs.leave()


@asynccontextmanager
async def supervising(
    *specs: ServiceSpec, parts: Parts | None = None
) -> AsyncIterator[Supervising]:
    """Yield a supervisor of these services; in the end it shuts down and nothing is left.

    If it has had a successor, that one does.
    """
    parts = parts or Parts()
    with tempfile.TemporaryDirectory() as name:
        run_dir = Path(name)
        for directory in ("notify", "ready", "status", "state", "fifo"):
            (run_dir / directory).mkdir()
        tree = CgroupTree.find(None, run_dir)[0] if parts.has_cgroups else None
        reaper = Reaper()
        async with reaper.running(), anyio.create_task_group() as tasks:
            ground = Ground(run_dir, tree, reaper, tasks)
            made = await _begun(specs, parts, ground)
            try:
                yield made
            finally:
                for last in ground.living:
                    await last._end()
                tasks.cancel_scope.cancel()


async def _begun(specs: tuple[ServiceSpec, ...], parts: Parts, ground: Ground) -> Supervising:
    made = _compose(specs, parts, ground)
    ground.living.append(made)
    if parts.has_booted:
        made.supervisor.post(Booted())
        await made.settled()
    return made


def _compose(specs: tuple[ServiceSpec, ...], parts: Parts, ground: Ground) -> Supervising:
    posted: list[Event] = []
    memory = Memory.load(ground.run_dir / "state")
    store = parts.store or DirectoryStore(ground.run_dir / "records")
    records = Records(store, epoch())
    outputs = Outputs(
        ground.run_dir, children=ground.reaper, clock=parts.clock, on_trouble=lambda *_: None
    )
    launcher = Launcher(
        spawner=parts.spawner or best_spawner(),
        outputs=outputs,
        tree=ground.tree,
        run_dir=ground.run_dir,
        clock=parts.clock,
        records=records,
        definition=lambda name: supervisor.engine.graph.spec_by_name[name],
        on_message=lambda *message: machine.heard(*message),  # noqa: PLW0108  (it is made below)
    )
    timers = Timers(lambda event: supervisor.post(event))  # noqa: PLW0108  (it is made below)
    machine = LinuxMachine(
        launcher=launcher,
        reaper=ground.reaper,
        gone_watch=parts.gone_watch or GoneWatch(parts.clock),
        timers=timers,
        tasks=ground.tasks,
        ports=lambda: parts.qemu,
    )
    interpreter = Interpreter(machine=machine, records=records, memory=memory, timers=timers)
    machine.told = interpreter.told
    engine = Engine(ServiceGraph.build(specs), {}, records.kept())
    supervisor = Supervisor(engine, interpreter, memory=memory, records=records, clock=parts.clock)
    own = supervisor.post

    def post(event: Event) -> None:
        posted.append(event)
        own(event)

    interpreter.post = post
    return Supervising(supervisor, interpreter, machine, launcher, records, memory, ground, posted)

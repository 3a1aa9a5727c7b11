"""The composition root and life of virtsupd: the one place that knows everybody."""

import contextlib
import gc
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import anyio.lowlevel
import structlog
from anyio.abc import TaskGroup

from virtsupd.config.kinds import Registry
from virtsupd.config.load import Loaded
from virtsupd.config.timer import calendar
from virtsupd.control.listener import Listener
from virtsupd.control.server import ControlServer
from virtsupd.core.engine import Engine
from virtsupd.core.events import Booted, ClockSet, OutputChanged
from virtsupd.core.graph import ServiceGraph
from virtsupd.core.names import Name
from virtsupd.daemon.backend import Beginning, DaemonBackend
from virtsupd.daemon.domains import GuestsOfLibvirt, Processes
from virtsupd.daemon.ending import Ending, meant_by_interrupt, meant_by_term
from virtsupd.daemon.guarding import Guarding
from virtsupd.daemon.past import facts_of, past_of
from virtsupd.daemon.reexecution import WRITTEN, Estate, Reexecution, same_directories
from virtsupd.daemon.reloading import Configuration
from virtsupd.daemon.scheduled import Scheduled
from virtsupd.errors import ConfigError, VirtsupdError
from virtsupd.process.cgroup import CgroupTree
from virtsupd.process.clock import Clock
from virtsupd.process.clock_steps import noticing_steps
from virtsupd.process.extension import ExtensionSpawner
from virtsupd.process.inheritance import Inheritance
from virtsupd.process.lives import epoch
from virtsupd.process.lock import RUN_LOCK, RunLock, StateLock
from virtsupd.process.output import Outputs
from virtsupd.process.own_notify import OwnNotify
from virtsupd.process.reexec import Handover, unblock_signals
from virtsupd.process.signals import handling
from virtsupd.process.stop import GoneWatch
from virtsupd.process.store import DirectoryStore, StateDirectory
from virtsupd.process.successor import check_program
from virtsupd.supervisor.guests import Guests
from virtsupd.supervisor.host_files import HostFiles
from virtsupd.supervisor.interpreter import Interpreter
from virtsupd.supervisor.launch import Launcher
from virtsupd.supervisor.linux import LinuxMachine
from virtsupd.supervisor.memory import Memory
from virtsupd.supervisor.predecessor import take_names
from virtsupd.supervisor.records import Records
from virtsupd.supervisor.supervisor import Supervisor
from virtsupd.supervisor.timers import Timers

if TYPE_CHECKING:
    from virtsupd.machine.attendance import Ports

log = structlog.get_logger()

_LAST_ANSWERS_SECONDS = 1.0
_LAST_CGROUP_SECONDS = 1.0
_CGROUP_PAUSE_SECONDS = 0.004


class Daemon:
    """One virtsupd: everything it holds, from taking its directories to letting go of them."""

    def __init__(
        self,
        loaded: Loaded,
        kinds: Registry,
        *,
        processes: Processes,
        clock: Clock,
        handover: Handover | None = None,
    ) -> None:
        """Take the run directory. The reaper is to be running already, and we a subreaper.

        `handover` is what the program left that this process was before; it is taken up, and
        signals are taken again once all services are watched.

        Raises:
            AlreadyRunningError: another virtsupd holds the run or state directory or the socket.
            VirtsupdError: a directory, the state file or a socket cannot be used. In both cases
                nothing stays open; directories that were made stay.
            OSError: a directory or file cannot be made; as above.
        """
        self._clock = clock
        self._kinds = kinds
        self._handover = handover
        self._inherited = Inheritance(handover)
        self._past = past_of(self._inherited, clock.now().wall)
        self._own_notify = OwnNotify(self._past.notify_socket)
        self._processes = processes
        host = loaded.host
        self._files = HostFiles(host)
        self._files.make_directories(loaded)
        with contextlib.ExitStack() as undo:
            self._lock = RunLock(host.run_dir / RUN_LOCK, inherited=self._inherited.take("lock"))
            undo.callback(self._lock.release, remove=True)
            state_lock = self._inherited.take("state")
            self._state_lock = StateLock(host.state_dir, inherited=state_lock)
            undo.callback(self._state_lock.release, remove=True)
            self._take_over(loaded, undo)
            undo.pop_all()
        self._scheduled = Scheduled(StateDirectory(host.state_dir))
        self._configuration = Configuration(
            loaded,
            kinds,
            files=self._files,
            server=self._server,
            scheduled=self._scheduled,
            clock=clock,
        )
        self._supervisor: Supervisor

    def _take_over(self, loaded: Loaded, undo: contextlib.ExitStack) -> None:
        """See what is there, open the sockets, write the files; `undo` closes what was opened."""
        host = loaded.host
        self._memory = Memory.load(host.state_dir)
        self._store = DirectoryStore(host.run_dir / "records")
        self._records = Records(self._store, epoch())
        self._tree, self._no_tree = CgroupTree.find(host.cgroup, host.run_dir)
        if self._tree is not None:
            undo.callback(self._tree.remove)
        self._outputs = Outputs(
            host.run_dir,
            children=self._processes.reaper,
            clock=self._clock,
            on_trouble=self._output_changed,
        )
        self._outputs.inherit(self._inherited.take_all("output"))
        self._server = ControlServer(loaded.access, clock=self._clock)
        undo.callback(self._server.close)
        self._listen(host.socket)
        if host.herd_socket is not None:
            self._listen(host.herd_socket, is_herd_only=True)
        for path, descriptor in self._inherited.take_all("control").items():
            Listener(
                Path(path), loaded.access, inherited=descriptor
            ).close()  # no longer configured
        self._files.write_generated(loaded)

    def _listen(self, path: Path, *, is_herd_only: bool = False) -> None:
        inherited = self._inherited.take(f"control {path}")
        self._server.listen(path, is_herd_only=is_herd_only, inherited=inherited)

    async def run(self) -> tuple[str, ...]:
        """Start what is to be started, serve, and return when virtsupd was asked to end.

        After a shutdown nothing is left of the services, and nothing in the run directory that
        virtsupd made, the directory included unless it was there before; what could not be ended in
        its time is returned, in words. After `quit` the services and the log keeper run on.
        """
        async with self._outputs.running():
            with handling(self._signal_handlers()), noticing_steps(self._clock_set):
                async with anyio.create_task_group() as tasks:
                    self._compose(tasks)
                    tasks.start_soon(self._server.serve, self._backend)
                    self._begin()
                    await anyio.lowlevel.checkpoint()  # the server imports its languages
                    self._guests_of_libvirt.attend()
                    if self._handover is not None:
                        await self._go_on(self._handover)
                    else:
                        unblock_signals()  # held since `main` began, or since an exec that left nothing
                    _keep_for_good()
                    await self._ending.complete()
                    self._supervisor.close()
                    await self._guests_of_libvirt.leave()
                    await self._server.finish(_LAST_ANSWERS_SECONDS)
                    tasks.cancel_scope.cancel()
                await self._let_go()
        is_shutdown = self._ending.how == "shutdown"
        self._state_lock.release(remove=is_shutdown)
        self._lock.release(remove=is_shutdown)
        if is_shutdown:
            self._files.remove_run_dir()
        return self._supervisor.left

    # Composing

    def _compose(self, tasks: TaskGroup) -> None:
        loaded = self._configuration.loaded
        self._launcher = Launcher(
            spawner=self._processes.spawner,
            outputs=self._outputs,
            tree=self._tree,
            run_dir=loaded.host.run_dir,
            clock=self._clock,
            records=self._records,
            definition=lambda name: self._supervisor.engine.graph.spec_by_name[name],
            on_message=lambda *message: machine.heard(*message),  # noqa: PLW0108  (it is made below),
            inherited=self._inherited,
        )
        timers = Timers(lambda event: self._supervisor.post(event))  # noqa: PLW0108  (it is made below)
        machine = LinuxMachine(
            launcher=self._launcher,
            reaper=self._processes.reaper,
            gone_watch=GoneWatch(self._clock),
            timers=timers,
            tasks=tasks,
            ports=lambda: _machine_ports(self._clock),
        )
        guests = Guests(
            lambda: self._configuration.loaded,
            seen=lambda: self._guests_of_libvirt.seen(),  # noqa: PLW0108  (it is made below)
            commands=machine.commands,
            tasks=tasks,
        )
        self._interpreter = Interpreter(
            machine=machine,
            records=self._records,
            memory=self._memory,
            timers=timers,
            guests=guests,
        )
        machine.told = self._interpreter.told
        self._interpreter.forgot = self._scheduled.forget
        self._guests_of_libvirt = GuestsOfLibvirt(
            self._interpreter,
            self._processes,
            lambda: self._supervisor,
            address=lambda uri: self._configuration.loaded.addresses.get(uri, uri),
            clock=self._clock,
            tasks=tasks,
        )
        self._configuration.changed = self._guests_of_libvirt.attend
        graph = self._configuration.graph()
        self._guests_of_libvirt.expect(graph)
        take_names(self._records, self._outputs, graph)
        engine = Engine(
            graph,
            self._memory.remembered(),
            self._records.kept(),
            shutdown_order=self._memory.shutdown_order(),
            shutdown_policy=loaded.host.shutdown,
            calendar=calendar(),
        )
        self._supervisor = Supervisor(
            engine,
            self._interpreter,
            memory=self._memory,
            records=self._records,
            clock=self._clock,
        )
        self._guarding = guarding = Guarding(self._kinds, self._supervisor)
        self._supervisor.announced = lambda change: guarding.announced(change, tasks)
        self._inherit(graph, engine)
        self._ending = Ending(self._supervisor, self._own_notify, self._clock)
        self._reexecution = Reexecution(
            supervisor=self._supervisor,
            commands=machine.commands,
            server=self._server,
            ending=self._ending,
            own_notify=self._own_notify,
            tasks=tasks,
            check=self._check_program,
            estate=self._estate,
        )
        self._tasks = tasks
        self._backend = DaemonBackend(
            beginning=Beginning(self._past.since, self._lacks(), self._kinds, self._past.reexecs),
            configuration=self._configuration,
            supervisor=self._supervisor,
            interpreter=self._interpreter,
            machine=machine,
            reexecution=self._reexecution,
        )

    # Becoming another program, and having been one

    def _inherit(self, graph: ServiceGraph, engine: Engine) -> None:
        heirs = {name: heir for name, heir in graph.canonical.items() if name != heir}
        for name, heir in heirs.items():
            self._inherited.rename(name, heir)
        self._launcher.inherit(heirs, engine.names())

    async def _go_on(self, handover: Handover) -> None:
        """Take signals and ends of children again, once all services are watched."""
        while not self._supervisor.is_idle:
            await anyio.lowlevel.checkpoint()
        self._inherited.close()
        self._outputs.forget_inherited()
        unblock_signals(handover.signal_mask)
        self._processes.reaper.drain()

    async def _check_program(self, command: Sequence[str]) -> str:
        answer = await check_program(
            command,
            WRITTEN,
            spawner=self._processes.spawner,
            reaper=self._processes.reaper,
            clock=self._clock,
        )
        host = self._configuration.loaded.host
        same_directories(answer, {"run_dir": str(host.run_dir), "state_dir": str(host.state_dir)})
        await self._guarding.refuse_to_leave(answer.get("guarded"), self._configuration.loaded)
        return str(answer.get("version"))

    def _estate(self) -> Estate:
        descriptors = {"lock": self._lock.fileno(), "state": self._state_lock.fileno()}
        for path, number in self._server.handed().items():
            descriptors[f"control {path}"] = number
        for name, number in self._outputs.handed().items():
            descriptors[f"output {name}"] = number
        return Estate(
            descriptors | self._interpreter.handed() | self._launcher.handed(),
            {**facts_of(self._past, self._own_notify), **self._launcher.facts()},
        )

    def _lacks(self) -> tuple[str, ...]:
        slow = ExtensionSpawner.why_not()
        found = [f"no extension: {slow}; starts are slower"] if slow else []
        if self._tree is None:
            found.append(f"no cgroups: {self._no_tree}; services are process groups")
        return tuple(found)

    def _output_changed(self, name: Name, why: str | None) -> None:
        self._supervisor.post(OutputChanged(name, why))

    def _clock_set(self) -> None:
        self._supervisor.post(ClockSet())

    # Beginning and end

    def _begin(self) -> None:
        loaded = self._configuration.loaded
        for warning in self._backend.facts().warnings:
            log.warning("configuration or host", reason=warning)
        self._supervisor.post(Booted())
        self._own_notify.say("READY=1", f"STATUS=supervising {len(loaded.specs)} services")
        log.info("virtsupd ready", socket=str(loaded.host.socket), pid=os.getpid())
        self._ending.go_on()

    async def _let_go(self) -> None:
        self._server.close()
        if self._ending.how == "quit":
            self._interpreter.leave()
            self._launcher.leave()
            await self._outputs.told()
            self._outputs.leave()
            return
        self._launcher.close(self._supervisor.engine.names())
        await self._outputs.shutdown()
        if self._tree is not None:
            await self._remove_tree(self._tree)
        self._records.clear()
        self._store.discard()
        self._files.remove()

    async def _remove_tree(self, tree: CgroupTree) -> None:
        """Remove our cgroups; the kernel may need a tick after the last process (Linux 6.18)."""
        left = [pid for cgroup in tree.services() for pid in cgroup.pids()]
        if left:
            log.warning("processes of an earlier virtsupd run on", pids=left)
        with anyio.move_on_after(_LAST_CGROUP_SECONDS):
            while not tree.remove() and not left:
                await self._clock.sleep(_CGROUP_PAUSE_SECONDS)

    # Signals

    def _signal_handlers(self) -> Mapping[str, Callable[[], None]]:
        return {
            "SIGTERM": self._on_term,
            "SIGINT": self._on_interrupt,
            "SIGHUP": self._on_hangup,
            "SIGUSR1": self._on_usr1,
        }

    def _on_term(self) -> None:
        on_term = self._configuration.loaded.host.on_term
        self._ending.begin(meant_by_term(on_term), who="SIGTERM")

    def _on_interrupt(self) -> None:
        on_term = self._configuration.loaded.host.on_term
        self._ending.begin(meant_by_interrupt(on_term), who="SIGINT")

    def _on_usr1(self) -> None:
        self._tasks.start_soon(self._reexecution.begin_unasked, "SIGUSR1")

    def _on_hangup(self) -> None:
        if self._ending.how is None:
            self._tasks.start_soon(self._reload_unasked)

    async def _reload_unasked(self) -> None:
        """Reload; nobody waits for an answer, so what is refused goes to the log."""
        try:
            await self._configuration.reload(self._supervisor)
        except ConfigError as error:
            for problem in error.problems:
                log.error("configuration refused", problem=problem)  # noqa: TRY400  (no defect: no traceback)
        except VirtsupdError as error:
            log.info("configuration not reloaded", reason=str(error))
        except Exception:
            log.exception("configuration not reloaded")


def _keep_for_good() -> None:
    """Spare some 80,000 objects the collector: 30 ms a time in which no dead child is replaced."""
    gc.freeze()
    gc.enable()


def _machine_ports(clock: Clock) -> "Ports":
    """Return the ways to machines, which are imported for the first one."""
    from virtsupd.machine.ports import MachinePorts  # noqa: PLC0415 - see above

    return MachinePorts(clock)

"""The composition root: the one place that knows everybody."""

import contextlib
import gc
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Literal

import anyio
import anyio.lowlevel
import structlog
from anyio.abc import ObjectReceiveStream, TaskGroup

from virtsupd import __version__
from virtsupd.config.kinds import Registry
from virtsupd.config.load import Loaded, load
from virtsupd.config.show import definition_text
from virtsupd.control.backend import DaemonFacts, ReloadOutcome
from virtsupd.control.server import ControlServer
from virtsupd.core.commands import Touch
from virtsupd.core.effects import Answer
from virtsupd.core.engine import Engine
from virtsupd.core.events import Booted, OutputChanged, Reloaded, Verb
from virtsupd.core.names import Name
from virtsupd.core.snapshot import Change, ServiceSnapshot
from virtsupd.core.spec import ServiceSpec
from virtsupd.errors import ActionError, ConfigError, UnknownActionError, VirtsupdError
from virtsupd.process.cgroup import CgroupTree
from virtsupd.process.clock import Clock
from virtsupd.process.extension import ExtensionSpawner
from virtsupd.process.files import UnsafeDirectoryError
from virtsupd.process.lock import RunLock, StateLock
from virtsupd.process.log_files import log_files
from virtsupd.process.output import Outputs
from virtsupd.process.own_notify import OwnNotify
from virtsupd.process.plan import Spawner
from virtsupd.process.reaper import Reaper
from virtsupd.process.signals import handling, is_in_foreground
from virtsupd.process.stop import GoneWatch
from virtsupd.supervisor.commands import last_line
from virtsupd.supervisor.host_files import HostFiles
from virtsupd.supervisor.interpreter import Interpreter
from virtsupd.supervisor.launch import Launcher
from virtsupd.supervisor.memory import Memory
from virtsupd.supervisor.records import Records
from virtsupd.supervisor.supervisor import Supervisor
from virtsupd.supervisor.timers import Timers

log = structlog.get_logger()

End = Literal["shutdown", "quit"]

_LAST_ANSWERS_SECONDS = 1.0
_LAST_CGROUP_SECONDS = 1.0
_CGROUP_PAUSE_SECONDS = 0.004


class Daemon:
    """One virtsupd: everything it holds, and what the control socket may ask of it (`Backend`)."""

    def __init__(
        self, loaded: Loaded, kinds: Registry, *, spawner: Spawner, reaper: Reaper, clock: Clock
    ) -> None:
        """Take the run directory. The reaper is to be running already, and we a subreaper.

        Raises:
            AlreadyRunningError: another virtsupd holds the run or state directory or the socket.
            VirtsupdError: a directory, the state file or a socket cannot be used. In both cases
                nothing stays open; directories that were made stay.
            OSError: a directory or file cannot be made; as above.
        """
        self._loaded = loaded
        self._kinds = kinds
        self._clock = clock
        self._since = clock.now().wall
        self._end: End | None = None
        self._ended = anyio.Event()
        self._own_notify = OwnNotify()
        self._spawner = spawner
        self._reaper = reaper
        host = loaded.host
        self._files = HostFiles(host)
        self._files.make_directories(loaded)
        with contextlib.ExitStack() as undo:
            self._lock = RunLock(host.run_dir / "lock")
            undo.callback(self._lock.release, remove=True)
            self._state_lock = StateLock(host.state_dir)
            undo.callback(self._state_lock.release)
            self._take_over(loaded, undo)
            undo.pop_all()
        self._supervisor: Supervisor

    def _take_over(self, loaded: Loaded, undo: contextlib.ExitStack) -> None:
        """See what is there, open the sockets, write the files; `undo` closes what was opened."""
        host = loaded.host
        self._memory = Memory.load(host.state_dir)
        self._records = Records(host.run_dir / "records")
        self._tree, self._no_tree = CgroupTree.find(host.cgroup, host.run_dir)
        if self._tree is not None:
            undo.callback(self._tree.remove)
        self._outputs = Outputs(
            host.run_dir, children=self._reaper, clock=self._clock, on_trouble=self._output_changed
        )
        self._server = ControlServer(self, loaded.access, clock=self._clock)
        undo.callback(self._server.close)
        self._server.listen(host.socket)
        if host.herd_socket is not None:
            self._server.listen(host.herd_socket, is_herd_only=True)
        self._files.write_generated(loaded)

    async def run(self) -> None:
        """Start what is to be started, serve, and return when virtsupd was asked to end.

        After a shutdown nothing is left of the services, and nothing in the run directory that
        virtsupd made, the directory included unless it was there before; after `quit` the services
        and the log keeper run on.
        """
        async with self._outputs.running():
            with handling(self._signal_handlers()):
                async with anyio.create_task_group() as tasks:
                    self._compose(tasks)
                    tasks.start_soon(self._server.serve)
                    self._begin()
                    await anyio.lowlevel.checkpoint()  # the server imports its languages
                    _keep_for_good()
                    await self._ended.wait()
                    if self._end == "shutdown":
                        await self._supervisor.finished.wait()
                        if self._supervisor.has_given_up:
                            self._end = "quit"
                    self._supervisor.close()
                    await self._server.finish(_LAST_ANSWERS_SECONDS)
                    tasks.cancel_scope.cancel()
                await self._let_go()
        self._state_lock.release()
        self._lock.release(remove=self._end == "shutdown")
        if self._end == "shutdown":
            self._files.remove_run_dir()

    def _compose(self, tasks: TaskGroup) -> None:
        host = self._loaded.host
        self._launcher = Launcher(
            spawner=self._spawner,
            outputs=self._outputs,
            tree=self._tree,
            run_dir=host.run_dir,
            clock=self._clock,
            records=self._records,
            definition=lambda name: self._supervisor.engine.graph.spec_by_name[name],
            on_message=lambda *message: self._interpreter.heard(*message),  # noqa: PLW0108  (it is made below),
        )
        self._interpreter = Interpreter(
            launcher=self._launcher,
            reaper=self._reaper,
            gone_watch=GoneWatch(self._clock),
            timers=Timers(lambda event: self._supervisor.post(event)),  # noqa: PLW0108  (it is made below)
            memory=self._memory,
            tasks=tasks,
        )
        engine = Engine(self._loaded.graph, self._memory.remembered())
        self._supervisor = Supervisor(engine, self._interpreter, self._memory, self._clock)

    def _begin(self) -> None:
        for warning in (*self._loaded.warnings, *self._warnings()):
            log.warning("configuration or host", reason=warning)
        self._supervisor.post(Booted())
        self._own_notify.say("READY=1", f"STATUS=supervising {len(self._loaded.specs)} services")
        log.info("virtsupd ready", socket=str(self._loaded.host.socket), pid=os.getpid())

    async def _let_go(self) -> None:
        self._server.close()
        if self._end == "quit":
            self._interpreter.leave()
            self._outputs.leave()
            return
        self._launcher.close()
        await self._outputs.shutdown()
        if self._tree is not None:
            await self._remove_tree(self._tree)
        self._records.clear()
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
            "SIGTERM": lambda: self.end(self._on_term(), who="SIGTERM"),
            "SIGINT": lambda: self.end(
                "shutdown" if is_in_foreground() else self._on_term(), who="SIGINT"
            ),
            "SIGHUP": self._reload_from_signal,
            "SIGUSR1": lambda: log.warning(
                "SIGUSR1 ignored: this virtsupd cannot re-execute itself"
            ),
        }

    def _on_term(self) -> End:
        on_term = self._loaded.host.on_term
        if on_term != "auto":
            return on_term
        return "shutdown" if os.getpid() == 1 or is_in_foreground() else "quit"

    def _reload_from_signal(self) -> None:
        if self._end is not None:
            return
        try:
            self._reload()
        except ConfigError as error:
            for problem in error.problems:
                log.error("configuration refused", problem=problem)  # noqa: TRY400  (no defect: no traceback)

    # Backend

    def facts(self) -> DaemonFacts:
        """Return what `status root` shows."""
        return DaemonFacts(
            pid=os.getpid(),
            version=__version__,
            since=self._since,
            config=str(self._loaded.path),
            socket=str(self._loaded.host.socket),
            phase="shutting-down" if self._end == "shutdown" else "running",
            warnings=(*self._loaded.warnings, *self._warnings()),
        )

    def resolve(self, name: str) -> Name:
        """Return the canonical name of the service that provides `name`."""
        return self._supervisor.engine.graph.resolve(name)

    def snapshot(self, name: Name) -> ServiceSnapshot:
        """Return one service."""
        return self._supervisor.engine.snapshot(name)

    def snapshots(self) -> Sequence[ServiceSnapshot]:
        """Return all services, sorted by name."""
        engine = self._supervisor.engine
        return [engine.snapshot(name) for name in engine.names()]

    def would_touch(self, verb: Verb, names: Sequence[Name]) -> Touch:
        """Return what a command would stop and start now."""
        return self._supervisor.engine.would_touch(verb, names)

    async def ask(
        self, verb: Verb, names: Sequence[Name], *, who: str, guests: bool = False
    ) -> Answer:
        """Carry out a command on the graph and wait for its end."""
        return await self._supervisor.ask(verb, names, who=who, guests=guests)

    def changes(self) -> AbstractAsyncContextManager[ObjectReceiveStream[Change]]:
        """Subscribe to changes of all services."""
        return self._supervisor.changes()

    async def reload_configuration(self) -> ReloadOutcome:
        """Read the configuration again and apply the difference."""
        return self._reload()

    async def act(self, name: Name, action: str, arguments: Sequence[str]) -> Sequence[str]:
        """Carry out a service's own action."""
        spec = self._supervisor.engine.graph.spec_by_name[name]
        found = next((a for a in spec.actions if a.name == action), None)
        if found is None:
            raise UnknownActionError(action, name)
        command = (*found.command, *arguments)
        try:
            outcome = await self._interpreter.commands.run_action(
                spec, command, found.timeout_seconds
            )
        except VirtsupdError as error:
            raise ActionError(f"cannot run {action} of {name}: {error}") from error
        lines = outcome.output.decode(errors="replace").splitlines()
        if outcome.timed_out:
            raise ActionError(f"{action} of {name}: no end within {found.timeout_seconds:g} s")
        if outcome.status.code != 0:
            raise ActionError(f"{action} of {name} {outcome.status}: {last_line(outcome.output)}")
        return lines

    def log_files(self, name: Name) -> Sequence[str]:
        """Return a service's log files that there are, the one in use first."""
        process = self._supervisor.engine.graph.spec_by_name[name].process
        return log_files(process.log.file) if process and process.log.file else ()

    async def settle_log(self, name: Name) -> None:
        """Return once what a service has written so far is in its log file, or after a second."""
        await self._outputs.drained(name)

    def pids(self, name: Name) -> Sequence[int]:
        """Return the processes of a service."""
        return self._interpreter.pids(name)

    def definition(self, name: Name) -> str:
        """Return the definition in force as TOML."""
        spec = self._supervisor.engine.graph.spec_by_name[name]
        return definition_text(spec, self._loaded.sources.get(name, ()))

    def end(self, how: End, *, who: str) -> None:
        """Begin to end virtsupd; a shutdown that has begun is not turned into a quit."""
        if self._end is not None:
            return
        self._end = how
        log.info("virtsupd ends", how=how, who=who)
        self._own_notify.say("STOPPING=1")
        if how == "shutdown":
            self._supervisor.shut_down(who)
        self._ended.set()

    # Reloading

    def _reload(self) -> ReloadOutcome:
        """Load the files again and apply the difference, or change nothing and say why."""
        loaded = load(self._loaded.path, self._kinds)
        engine = self._supervisor.engine
        problems = (*_fixed_settings(self._loaded, loaded), *engine.reload_problems(loaded.graph))
        if problems:
            raise ConfigError(problems)
        try:
            self._files.make_directories(loaded)
            self._files.write_generated(loaded)
        except UnsafeDirectoryError as error:
            text = f"{loaded.path}: {error}; the configuration in force stays"
            raise ConfigError((text,)) from error
        except OSError as error:
            place = error.filename2 or error.filename
            text = f"{loaded.path}: cannot write {place}: {error.strerror}"
            raise ConfigError((f"{text}; the configuration in force stays",)) from error
        self._server.change_access(loaded.access)
        outcome = _difference(engine, loaded)
        self._loaded = loaded
        self._supervisor.post(Reloaded(loaded.graph))
        log.info("configuration reloaded", changed=outcome.changed, added=outcome.added)
        return outcome

    # Small parts

    def _output_changed(self, name: Name, why: str | None) -> None:
        self._supervisor.post(OutputChanged(name, why))

    def _warnings(self) -> tuple[str, ...]:
        slow = ExtensionSpawner.why_not()
        found = [f"no extension: {slow}; starts are slower"] if slow else []
        if self._tree is None:
            found.append(f"no cgroups: {self._no_tree}; services are process groups")
        if self._supervisor.trouble is not None:
            found.append(self._supervisor.trouble)
        return (*found, *self._outputs.warnings)


def _fixed_settings(old: Loaded, new: Loaded) -> tuple[str, ...]:
    """Return what cannot change while virtsupd runs, one line each."""
    fixed = ("run_dir", "state_dir", "socket", "herd_socket", "cgroup", "log_format")
    return tuple(
        f"{new.path}: host.{key}: {getattr(new.host, key)} instead of {getattr(old.host, key)} "
        "takes a restart of virtsupd; nothing was changed"
        for key in fixed
        if getattr(new.host, key) != getattr(old.host, key)
    )


def _difference(engine: Engine, new: Loaded) -> ReloadOutcome:
    before, after = engine.graph.spec_by_name, new.graph.spec_by_name
    both = sorted(set(before) & set(after))
    return ReloadOutcome(
        added=tuple(sorted(set(after) - set(before))),
        changed=tuple(n for n in both if before[n] != after[n]),
        pending=tuple(
            n for n in both if engine.service(n).is_alive and _remakes(before[n], after[n])
        ),
        removed=tuple(sorted(set(before) - set(after))),
    )


def _remakes(before: ServiceSpec, after: ServiceSpec) -> bool:
    return before.process != after.process or before.ready.probe != after.ready.probe


def _keep_for_good() -> None:
    """Spare some 80,000 objects the collector: 30 ms a time in which no dead child is replaced."""
    gc.freeze()
    gc.enable()

"""The one interpreter of effects: what the engine decided is done here, and what came of it posted.

Every effect is carried out at once and synchronously; what takes time (probes, waiting for
leftovers, reload commands) goes on in child tasks that end by posting an event. A task that fails
in a way nobody foresaw is logged and its service told; it never ends the daemon.
"""

import os
from collections.abc import Awaitable, Callable
from typing import assert_never

import anyio
import structlog
from anyio.abc import TaskGroup

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
    Release,
    Remember,
    RunReload,
    Spawn,
    Terminate,
    WatchHealth,
)
from virtsupd.core.events import (
    BecameReady,
    Event,
    Exited,
    Gone,
    HealthChanged,
    NeverReady,
    ReloadEnded,
    Spawned,
    SpawnFailed,
    Told,
)
from virtsupd.core.exits import ExitStatus, signal_name
from virtsupd.core.names import Name
from virtsupd.core.spec import NotifyProbe, PidFileProbe, Stop
from virtsupd.errors import SpawnError, VirtsupdError
from virtsupd.process.inspect import descendants
from virtsupd.process.lives import (
    Life,
    LifeWatch,
    children_since,
    last_status,
    led_group,
    parent_of,
)
from virtsupd.process.notify import NotifyMessage
from virtsupd.process.pidfile import owned_pid
from virtsupd.process.probe_context import ProbeContext
from virtsupd.process.reaper import Reaper
from virtsupd.process.stop import GoneWatch, Remains, is_gone, kill, signal_leader, terminate
from virtsupd.supervisor.commands import Commands
from virtsupd.supervisor.hearing import told_by
from virtsupd.supervisor.launch import Launcher
from virtsupd.supervisor.memory import Memory
from virtsupd.supervisor.probes import watch_health, watch_readiness
from virtsupd.supervisor.runs import Run
from virtsupd.supervisor.spare_cgroups import SpareCgroups
from virtsupd.supervisor.timers import Timers

log = structlog.get_logger()

_ALIVE = NotifyMessage(0, 0, {"WATCHDOG": "1"})


class Interpreter:
    """Carries out effects. Owns the runs; nobody else touches them."""

    def __init__(
        self,
        *,
        launcher: Launcher,
        reaper: Reaper,
        gone_watch: GoneWatch,
        timers: Timers,
        memory: Memory,
        tasks: TaskGroup,
    ) -> None:
        self._launcher = launcher
        self.commands = Commands(launcher, reaper)
        self._reaper = reaper
        self._gone_watch = gone_watch
        self._timers = timers
        self._memory = memory
        self._tasks = tasks
        self._runs: dict[Name, Run] = {}
        self._conditions: dict[Name, anyio.CancelScope] = {}
        self._spare = SpareCgroups()
        self.post: Callable[[Event], None] = _nowhere

    def carry_out(self, effect: Effect) -> None:
        """Do what an effect says, except Answer, Announce and Finish, which are the loop's."""
        match effect:
            case Spawn() | AwaitReady() | WatchHealth() | EndWatches():
                self._begin_or_end(effect)
            case Terminate() | Kill():
                self._end(effect)
            case RunReload():
                self._reload(effect)
            case ArmTimer() | CancelTimer():
                self._set_timer(effect)
            case Remember():
                self._memory.note(effect.name, wanted=effect.wanted, enabled=effect.enabled)
            case Release() | Forget():
                self._give_back(effect)
            case Announce() | Answer() | Finish():
                raise AssertionError(effect)
            case _:
                assert_never(effect)

    def _set_timer(self, effect: ArmTimer | CancelTimer) -> None:
        if isinstance(effect, ArmTimer):
            self._timers.arm(effect)
        else:
            self._timers.cancel(effect.name, effect.timer)

    def leader(self, name: Name) -> int | None:
        """Return the pid of a service's first process, if it has one."""
        run = self._runs.get(name)
        return run.leader if run is not None else None

    def pids(self, name: Name) -> tuple[int, ...]:
        """Return all processes in a service's cgroup; where there is none, its leader's family."""
        run = self._runs.get(name)
        if run is None:
            return ()
        if run.cgroup is not None:
            return run.cgroup.pids()
        return (run.leader, *descendants(run.leader)) if run.leader is not None else ()

    def tidy(self) -> None:
        """Remove cgroups and records of services that have stopped and were not started again."""
        self._launcher.records.sweep()
        if self._spare.tidy():
            self._timers.soon(self.tidy)

    def leave(self) -> None:
        """Let go of every run without a signal: its processes go on."""
        self._timers.cancel_all()
        for run in self._runs.values():
            run.watches.cancel()
        self._launcher.leave()

    # Starting

    def _begin_or_end(self, effect: Spawn | AwaitReady | WatchHealth | EndWatches) -> None:
        match effect:
            case Spawn():
                self._spawn(effect)
            case AwaitReady():
                self._await_condition(effect)
            case WatchHealth():
                self._watch_health(effect)
            case EndWatches():
                self._end_watches(effect.name)

    def _spawn(self, effect: Spawn) -> None:
        name, generation = effect.name, effect.generation
        try:
            run, child = self._launcher.launch(effect, self._spare.take(name))
        except SpawnError as error:
            self.post(SpawnFailed(name, generation, error.stage, str(error), error.is_permanent))
            return
        except OSError as error:
            text = error.strerror or str(error)
            self.post(SpawnFailed(name, generation, "prepare", text, is_permanent=False))
            return
        self._runs[name] = run
        run.is_others = lambda pid: pid != run.leader and self._is_taken(pid)
        self._reaper.watch(child.pid, lambda status: self._exited(run, child.pid, status))
        self.post(Spawned(name, generation, child.pid, child.warnings))
        if effect.ready.probe is not None and not isinstance(effect.ready.probe, NotifyProbe):
            self._watch_readiness(effect, self._context(run), run.watches)

    def _await_condition(self, effect: AwaitReady) -> None:
        scope = self._conditions[effect.name] = anyio.CancelScope()
        context = ProbeContext(
            name=effect.name, clock=self._launcher.clock, note=self._noter(effect)
        )
        self._watch_readiness(effect, context, scope)

    def _watch_readiness(
        self, effect: Spawn | AwaitReady, context: ProbeContext, scope: anyio.CancelScope
    ) -> None:
        name, generation = effect.name, effect.generation
        self._start(
            lambda: watch_readiness(effect, context, self._ready, scope),
            name,
            lambda defect: self.post(NeverReady(name, generation, defect)),
        )

    def _ready(self, event: Event) -> None:
        """Post what the probe found; a leader that it named is watched from here on."""
        if isinstance(event, BecameReady) and event.pid is not None:
            run = self._runs.get(event.name)
            if run is None or run.generation != event.generation or run.ending is not None:
                return
            if event.pid != run.leader and self._is_taken(event.pid):
                text = f"its pid file names process {event.pid}, which is something else"
                self.post(NeverReady(event.name, event.generation, text))
                return
            self._take_leader(run, event.pid)
        self.post(event)

    def _is_taken(self, pid: int) -> bool:
        """Whether a process is known to be something: a service's leader, a command, the log keeper."""
        return self._reaper.watches(pid) or pid == self._launcher.outputs.keeper_pid

    def _take_leader(self, run: Run, pid: int) -> None:
        run.is_settled = True
        if run.leader != pid:
            self._watch_leader(run, pid)
        self._launcher.records.note(run.name, pid, run.group)

    def _watch_leader(self, run: Run, pid: int) -> None:
        if run.leader is not None:
            self._reaper.forget(run.leader)
        run.leader = pid
        run.group = led_group(pid) or run.group
        self._reaper.watch(pid, lambda status: self._exited(run, pid, status))
        if parent_of(pid) != os.getpid():
            run.elsewhere = LifeWatch(pid, lambda: self._ended_elsewhere(run, pid))

    def _ended_elsewhere(self, run: Run, pid: int) -> None:
        """Take the end of a leader that is, or was lately, another process's child."""
        self._reaper.drain()
        if run.leader == pid:
            self._reaper.forget(pid)
            self._exited(run, pid, last_status(pid))

    def _watch_health(self, effect: WatchHealth) -> None:
        name, generation = effect.name, effect.generation
        run = self._runs.get(name)
        if run is None:
            return
        if run.watchdog is not None:
            # What it needed to become ready is not held against it.
            run.watchdog.feed(_ALIVE, self._launcher.clock.now().monotonic)
        context, scope = self._context(run), run.watches
        self._start(
            lambda: watch_health(effect, context, self.post, scope),
            name,
            lambda defect: self.post(HealthChanged(name, generation, defect)),
        )

    def _end_watches(self, name: Name) -> None:
        run = self._runs.get(name)
        if run is not None:
            run.end_watches()
        scope = self._conditions.pop(name, None)
        if scope is not None:
            scope.cancel()

    def _context(self, run: Run) -> ProbeContext:
        return ProbeContext(
            name=run.name,
            clock=self._launcher.clock,
            leader=lambda: run.leader,
            owns=run.owns,
            run=lambda *command: self.commands.run_beside(self._runs.get(run.name), *command),
            watchdog=run.watchdog,
            ready_fd=run.ready_fd,
            log_path=run.process.log.file or None,
            log_offset=run.log_offset,
            note=self._noter(run),
        )

    def _noter(self, run: Run | AwaitReady) -> Callable[[str], None]:
        return lambda text: self.post(Told(run.name, run.generation, "waiting", text))

    def heard(self, name: Name, generation: int, message: NotifyMessage) -> None:
        """Take a message from a service's notify socket; others than the service are not heard."""
        run = self._runs.get(name)
        if run is not None and run.generation == generation:
            for event in told_by(run, message, self._launcher.clock.now().monotonic):
                self.post(event)

    # Ending

    def _exited(self, run: Run, pid: int, status: ExitStatus) -> None:
        if run.leader != pid:
            return
        if run.notify is not None:
            run.notify.drain()
        run.leader = None
        run.was_killed = run.was_killed or signal_name(status.signal or 0) == "SIGKILL"
        run.end_elsewhere()
        self.post(Exited(run.name, run.generation, status))
        if run.ending is not None:
            run.ending()

    def _end(self, effect: Terminate | Kill) -> None:
        run = self._runs.get(effect.name)
        if run is None or run.generation != effect.generation:
            self.post(Gone(effect.name, effect.generation))
            return
        run.ending = lambda: self._look(run, effect.stop)
        try:
            self._take_named(run)
            denied = self._send_end(run, effect)
        except (OSError, VirtsupdError) as error:
            denied = (str(error),)
        if denied:
            log.error("service cannot be signalled", service=run.name, reason=denied)
            text = f"cannot be ended: {'; '.join(denied)}"
            self.post(Told(run.name, run.generation, "status", text))
        run.ending()

    def _send_end(self, run: Run, effect: Terminate | Kill) -> tuple[str, ...]:
        """Send the signal; return, in words, who may not be signalled."""
        remains = run.remains(effect.stop)
        if isinstance(effect, Terminate):
            return terminate(remains, effect.stop.signal)
        run.was_killed = True
        return kill(remains)

    def _take_named(self, run: Run) -> None:
        """Where no cgroup tells what a start made, take the process that its pid file names by now."""
        if (
            run.is_settled
            or run.cgroup is not None
            or not isinstance(run.ready_probe, PidFileProbe)
        ):
            return
        pid = owned_pid(run.ready_probe.path, run.owns)
        if pid is not None:
            self._take_leader(run, pid)

    def _look(self, run: Run, stop: Stop) -> None:
        """Post Gone if nothing is left; while the leader is there, its exit asks again."""
        if run.is_waiting or self._runs.get(run.name) is not run:
            return
        remains = run.remains(stop)
        if is_gone(remains):
            self._gone(run)
        elif run.leader is None:
            run.is_waiting = True
            self._start(lambda: self._wait_gone(run, remains), run.name, run.wait_again)

    async def _wait_gone(self, run: Run, remains: Remains) -> None:
        await self._gone_watch.wait_gone(remains)
        self._gone(run)

    def _gone(self, run: Run) -> None:
        if self._runs.get(run.name) is run:
            del self._runs[run.name]
            self._close_record(run)
            if run.leader is not None:  # another process's child, whose end nobody reaps here
                self._reaper.forget(run.leader)
            run.close()
            if run.cgroup is not None:
                self._spare.keep(run.name, run.cgroup, is_spent=run.was_killed)
        self.post(Gone(run.name, run.generation))

    def _close_record(self, run: Run) -> None:
        """Forget the start; or, if what it made never showed and may live, record who may be that."""
        suspects: tuple[Life, ...] = ()
        if not run.is_settled and run.cgroup is None:
            children = children_since(os.getpid(), run.began)
            suspects = tuple(life for life in children if not run.is_others(life.pid))
        if suspects:
            self._launcher.records.suspect(run.name, suspects)
        else:
            self._launcher.records.forget(run.name)

    def _give_back(self, effect: Release | Forget) -> None:
        self._launcher.release(effect.name)
        if isinstance(effect, Forget):
            self._launcher.outputs.close(effect.name)

    # Reloading

    def _reload(self, effect: RunReload) -> None:
        run = self._runs.get(effect.name)
        if run is None or run.leader is None:
            self.post(ReloadEnded(effect.name, effect.generation, "it has no process"))
        elif effect.reload.signal is not None:
            denied = signal_leader(run.remains(Stop()), effect.reload.signal)
            self.post(ReloadEnded(effect.name, effect.generation, "; ".join(denied) or None))
        else:
            self._start(
                lambda: self._run_reload(run, effect),
                effect.name,
                lambda defect: self.post(ReloadEnded(effect.name, effect.generation, defect)),
            )

    async def _run_reload(self, run: Run, effect: RunReload) -> None:
        why = await self.commands.reload(run, effect.reload)
        self.post(ReloadEnded(effect.name, effect.generation, why))

    # Child tasks

    def _start(
        self, work: Callable[[], Awaitable[None]], name: Name, on_defect: Callable[[str], None]
    ) -> None:
        self._tasks.start_soon(_guard, work, name, on_defect)


async def _guard(
    work: Callable[[], Awaitable[None]], name: Name, on_defect: Callable[[str], None]
) -> None:
    """Run a child task; what it did not foresee is told to its service, and ends nothing else."""
    try:
        await work()
    except Exception as error:
        log.exception("task of a service failed", service=name)
        on_defect(f"a defect of virtsupd: {error!r}")


def _nowhere(event: Event) -> None:
    raise AssertionError(event)

"""The machine that is this host: processes, cgroups, probes and what services are given."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import anyio
import structlog
from anyio.abc import TaskGroup

from virtsupd.core.effects import (
    Adopt,
    AwaitReady,
    Kill,
    RunCleanUp,
    RunPrepare,
    RunReload,
    Spawn,
    Terminate,
    WatchCondition,
    WatchHealth,
)
from virtsupd.core.events import (
    CleanedUp,
    Event,
    Fell,
    HealthChanged,
    NeverReady,
    ReloadEnded,
    Told,
)
from virtsupd.core.exits import ExitStatus
from virtsupd.core.machine import LastWords
from virtsupd.core.names import Name
from virtsupd.core.spec import PidFileProbe, Stop, StopMode
from virtsupd.process.cgroup import Cgroup
from virtsupd.process.exit_watch import ExitWatch
from virtsupd.process.inspect import descendants
from virtsupd.process.lives import (
    Life,
    began_at,
    children_since,
    epoch,
    group_lives,
    led_group,
    life_of,
    who_waits_for,
)
from virtsupd.process.notify import NotifyMessage
from virtsupd.process.pidfile import owned_pid
from virtsupd.process.plan import Child
from virtsupd.process.probe_context import ProbeContext
from virtsupd.process.reaper import Reaper
from virtsupd.process.status_file import read_status
from virtsupd.process.stop import GoneWatch, is_gone, kill, signal_leader, terminate
from virtsupd.process.survivors import ended_with, hold
from virtsupd.supervisor.attendances import Attendances
from virtsupd.supervisor.commands import Commands
from virtsupd.supervisor.hearing import told_by
from virtsupd.supervisor.launch import Launcher
from virtsupd.supervisor.machine import Found, OnExit, Post
from virtsupd.supervisor.probes import watch_condition, watch_health, watch_readiness
from virtsupd.supervisor.record import Record
from virtsupd.supervisor.runs import Run
from virtsupd.supervisor.spare_cgroups import SpareCgroups
from virtsupd.supervisor.timers import Timers
from virtsupd.supervisor.unrecorded import unrecorded_leader

if TYPE_CHECKING:
    from virtsupd.machine.attendance import Ports

log = structlog.get_logger()

_ALIVE = NotifyMessage(0, 0, {"WATCHDOG": "1"})


class LinuxMachine:
    """Does on this host what the interpreter asks for (`Machine`).

    A task that fails in a way nobody foresaw is logged and its service told; it never ends the
    daemon.
    """

    def __init__(
        self,
        *,
        launcher: Launcher,
        reaper: Reaper,
        gone_watch: GoneWatch,
        timers: Timers,
        tasks: TaskGroup,
        ports: "Callable[[], Ports]",
    ) -> None:
        self.commands = Commands(launcher, reaper)
        self.outputs = launcher.outputs
        self._launcher = launcher
        self._reaper = reaper
        self._gone_watch = gone_watch
        self._timers = timers
        self._tasks = tasks
        self._conditions: dict[Name, anyio.CancelScope] = {}
        self._spare = SpareCgroups()
        self.told: Callable[[Run, Event], None] = _nowhere
        """Told what services say of themselves."""
        self._attendances = Attendances(
            ports=ports,
            clock=launcher.clock,
            start=lambda work, run, on_defect: self._start(work, run.name, on_defect),
            told=lambda *told: self.told(*told),  # noqa: PLW0108 - it is put there later
        )

    # Starting

    def prepare(self, effect: Spawn) -> tuple[Run, Record]:
        """Choose where the process will be; nothing exists yet but its cgroup.

        Raises:
            SpawnError: it must not or cannot be started; nothing is left.
            OSError: likewise.
        """
        return self._launcher.prepare(effect, self._spare.take(effect.name))

    def spawn(self, run: Run, effect: Spawn) -> Child:
        """Make the process of a prepared run, which has it as its leader then.

        Raises:
            SpawnError: none was made; `discard` is the caller's.
            OSError: likewise.
        """
        child = self._launcher.spawn(run, effect)
        if child.keeper is not None:
            run.has_keeper = True
            self._reaper.watch(child.keeper, _nothing)
        self._attendances.begin(run, self._launcher.definition(run.name))
        return child

    def discard(self, run: Run) -> None:
        """Give back what was made for a run that came to nothing."""
        run.close()
        self._launcher.status_path(run.name).unlink(missing_ok=True)
        if run.cgroup is not None:
            run.cgroup.remove()

    def run_prepare(
        self, effect: RunPrepare, then: Callable[[str | None], None], post: Post
    ) -> Callable[[], None]:
        """Run what prepares a start; return what cuts it short.

        `then` is told once nothing is left of it, in a later turn: why it failed, None if it did not.
        """
        name, prepare, scope = effect.name, effect.prepare, anyio.CancelScope()

        async def ask() -> None:
            why = None
            with scope:
                why = await self.commands.prepare(name, prepare)
            then(why)

        text = f"{' '.join(prepare.command)} prepares it"
        post(Told(name, effect.generation, "waiting", text))
        self._start(ask, name, then)
        return scope.cancel

    def adopt(self, effect: Adopt, record: Record) -> Found | None:
        """Look for what a recorded start made; None: nothing, and nothing can come of it any more.

        A first process that has ended may have gone into the background: then no end is told, and
        its pid file is waited for.
        """
        run = self._run_of(effect, record)
        leader = record.leader or unrecorded_leader(
            run, record, self._launcher.outputs.path(run.name)
        )
        written = self._written_status(run)
        if leader is None and written is None and not _has_left_something(run, record):
            return None
        status = None
        run.held = hold(leader) if leader is not None else None
        if leader is not None and run.held is not None:
            run.leader = leader.pid
            run.group = run.group or leader.pid
        elif run.is_settled:
            status = ended_with(leader) if leader is not None else ExitStatus()
            status = status if status != ExitStatus() else written or status
        self._launcher.take_back(run, run.held)
        self._attendances.begin(run, self._launcher.definition(run.name))
        return Found(run, status, was_heard=self._launcher.inherited.is_there)

    def _run_of(self, effect: Adopt, record: Record) -> Run:
        spec = self._launcher.definition(effect.name)
        cgroup = Cgroup(record.cgroup) if record.cgroup is not None else None
        process = replace(effect.process, log=record.log)
        run = Run(effect.name, effect.generation, process, cgroup, spec.ready.probe)
        run.is_adopted = True
        run.has_own_cgroup = cgroup is not None and spec.stop.mode is StopMode.CGROUP
        run.is_settled = record.is_settled
        run.group, run.began, run.uid = record.own_group(), record.began, record.uid
        run.log_offset, run.mark = record.log_offset, record.mark
        return run

    # Watching

    def life(self, pid: int) -> Life | None:
        """Return which process has this pid now, also if it has ended and was not reaped yet."""
        started = began_at(pid)
        return Life(pid, started, epoch()) if started is not None else None

    def watch_exit(self, run: Run, pid: int, on_exit: OnExit) -> None:
        """Call once the process was reaped or, if it is not our child, has ended."""
        if run.has_keeper or who_waits_for(pid) == os.getpid():
            run.end_elsewhere()
            self._reaper.watch(pid, on_exit)
            return
        pidfd, run.held = run.held, None
        if pidfd is None:
            life = life_of(pid)
            pidfd = hold(life) if life is not None else None
        if pidfd is None:
            asyncio.get_running_loop().call_soon(on_exit, ExitStatus())
            return
        watch = run.elsewhere = ExitWatch(
            pid, pidfd, lambda status: self._ended(run, pid, status, on_exit)
        )
        self._reaper.watch(pid, watch.told)  # its parent may end, and it becomes our child

    def _ended(self, run: Run, pid: int, status: ExitStatus, on_exit: OnExit) -> None:
        self._reaper.forget(pid)
        if status == ExitStatus():
            status = self._written_status(run) or status
        on_exit(status)

    def _written_status(self, run: Run) -> ExitStatus | None:
        """Return what the keeper of an adopted one-shot or job wrote down."""
        is_to_end = self._launcher.definition(run.name).is_to_end
        return read_status(self._launcher.status_path(run.name)) if is_to_end else None

    def unwatch_exit(self, run: Run) -> None:
        """Forget the leader's exit, if it is watched."""
        if run.leader is not None:
            self._reaper.forget(run.leader)
        run.end_elsewhere()

    def take_leader(self, run: Run, pid: int) -> None:
        """Have a run's process group go with the leader that its pid file named."""
        run.group = led_group(pid) or run.group

    def is_taken(self, pid: int) -> bool:
        """Whether a process is known to be something else: a leader, a command, the log keeper."""
        return self._reaper.watches(pid) or pid == self._launcher.outputs.keeper_pid

    def watch_ready(self, run: Run | None, effect: Spawn | AwaitReady, post: Post) -> None:
        """Post BecameReady or NeverReady once, until `end_watches`; no run: a condition."""
        name, generation = effect.name, effect.generation
        note = self._noter(name, generation, post)
        if run is None:
            scope = self._conditions[name] = anyio.CancelScope()
            context = ProbeContext(name=name, clock=self._launcher.clock, note=note)
        else:
            scope, context = run.watches, self._context(run, note)
        self._start(
            lambda: watch_readiness(effect, context, post, scope),
            name,
            lambda defect: post(NeverReady(name, generation, defect)),
        )

    def watch_condition(self, effect: WatchCondition, post: Post) -> None:
        """Post Fell once a condition does not hold any more, until `end_watches`."""
        name, generation = effect.name, effect.generation
        scope = self._conditions[name] = anyio.CancelScope()
        context = ProbeContext(name=name, clock=self._launcher.clock)
        self._start(
            lambda: watch_condition(effect, context, post, scope),
            name,
            lambda defect: post(Fell(name, generation, defect)),
        )

    def watch_health(self, run: Run, effect: WatchHealth, post: Post) -> None:
        """Post each HealthChanged until `end_watches`."""
        name, generation = effect.name, effect.generation
        if run.watchdog is not None:
            # What it needed to become ready is not held against it.
            run.watchdog.feed(_ALIVE, self._launcher.clock.now().monotonic)
        context, scope = self._context(run, self._noter(name, generation, post)), run.watches
        self._start(
            lambda: watch_health(effect, context, post, scope),
            name,
            lambda defect: post(HealthChanged(name, generation, defect)),
        )

    def end_watches(self, run: Run | None, name: Name) -> None:
        """End the probes of a run, or of a condition."""
        if run is not None:
            run.end_watches()
        scope = self._conditions.pop(name, None)
        if scope is not None:
            scope.cancel()

    def heard(self, run: Run, message: NotifyMessage) -> None:
        """Take a message from a service's notify socket; others than the service are not heard."""
        for event in told_by(run, message, self._launcher.clock.now().monotonic):
            self.told(run, event)

    def _context(self, run: Run, note: Callable[[str], None]) -> ProbeContext:
        return ProbeContext(
            name=run.name,
            clock=self._launcher.clock,
            leader=lambda: run.leader,
            owns=run.owns,
            run=lambda *command: self.commands.probe(run, *command),
            watchdog=run.watchdog,
            ready_fd=run.ready_fd,
            log_path=run.process.log.file or None,
            log_offset=run.log_offset,
            note=note,
            climb=run.attended.attendance.climbed if run.attended is not None else None,
        )

    def _noter(self, name: Name, generation: int, post: Post) -> Callable[[str], None]:
        return lambda text: post(Told(name, generation, "waiting", text))

    # Ending

    def hear_out(self, run: Run, then: Callable[[LastWords], None]) -> None:
        """Call once all that was said by a QEMU, which has ended, is heard; at once for all else."""
        self._attendances.hear_out(run, then)

    def named_leader(self, run: Run) -> int | None:
        """Return the process that a pid file names by now, where a start's cgroup is not ended whole."""
        if run.is_settled or run.has_own_cgroup or not isinstance(run.ready_probe, PidFileProbe):
            return None
        return owned_pid(run.ready_probe.path, run.owns)

    def send_end(self, run: Run, effect: Terminate | Kill) -> tuple[str, ...]:
        """Send the signal; return, in words, who may not be signalled."""
        run.seek_kin()
        if isinstance(effect, Terminate) and self._attendances.end(run, effect.stop):
            return ()
        remains = run.remains(effect.stop)
        if isinstance(effect, Terminate):
            return terminate(remains, effect.stop.signal)
        run.was_killed = True
        return kill(remains)

    def is_gone(self, run: Run, stop: Stop) -> bool:
        """Whether nothing is left that the stop mode covers.

        What goes into the background may have made its leader after the signal was sent.
        """
        run.seek_kin()
        return is_gone(run.remains(stop))

    def when_gone(self, run: Run, stop: Stop, on_gone: Callable[[], None]) -> None:
        """Call once nothing is left that the stop mode covers."""
        remains = run.remains(stop)

        async def wait() -> None:
            await self._gone_watch.wait_gone(remains)
            on_gone()

        self._start(wait, run.name, run.wait_again)

    def suspects(self, run: Run) -> tuple[Life, ...]:
        """Return who may be left of a run whose leader never showed, where no cgroup tells."""
        if run.is_settled or run.cgroup is not None:
            return ()
        children = children_since(os.getpid(), run.began)
        return tuple(life for life in children if not run.is_others(life.pid))

    def close(self, run: Run) -> None:
        """Give back what was made for a run of which nothing is left."""
        self.unwatch_exit(run)
        run.close()
        self._attendances.give_back(run)
        if run.cgroup is not None:
            self._spare.keep(run.name, run.cgroup, is_spent=run.is_spent)

    # All else

    def reload(self, run: Run, effect: RunReload, post: Post) -> None:
        """Tell a running service to reload; ReloadEnded is posted."""
        name, generation = effect.name, effect.generation

        async def ask() -> None:
            post(ReloadEnded(name, generation, await self.commands.reload(run, effect.reload)))

        if effect.reload.signal is not None:
            denied = signal_leader(run.remains(Stop()), effect.reload.signal)
            post(ReloadEnded(name, generation, "; ".join(denied) or None))
        else:
            self._start(ask, name, lambda defect: post(ReloadEnded(name, generation, defect)))

    def clean_up(self, effect: RunCleanUp, post: Post) -> None:
        """Run the command that takes away what a service left; CleanedUp is posted."""
        name, generation = effect.name, effect.generation

        async def ask() -> None:
            post(CleanedUp(name, generation, await self.commands.clean_up(name, effect.clean_up)))

        self._start(ask, name, lambda defect: post(CleanedUp(name, generation, defect)))

    def release(self, name: Name) -> None:
        """Close the activation sockets that a service keeps over restarts."""
        self._launcher.release(name)

    def forget(self, name: Name) -> None:
        """Remove what was made for a service that left the graph."""
        self._launcher.outputs.close(name)
        self._launcher.forget_status(name)

    def pids(self, run: Run) -> Sequence[int]:
        """Return all processes of a run."""
        if run.cgroup is not None:
            return run.cgroup.pids()
        return (run.leader, *descendants(run.leader)) if run.leader is not None else ()

    def left(self, name: Name) -> Sequence[int]:
        """Return the processes in the cgroups of a service, whether or not it runs."""
        return sorted({pid for group in self._launcher.groups(name) for pid in group.pids()})

    def others(self, name: Name, run: Run | None) -> int:
        """Return how many processes in the cgroups of a service its stop leaves alone.

        `run` is what there is of its present start, if anything.
        """
        spec = self._launcher.definition(name)
        if spec.process is None or spec.stop.mode is StopMode.CGROUP:
            return 0
        covered = {run.leader} if run is not None else set()
        if run is not None and spec.stop.mode is StopMode.GROUP:
            covered.update(life.pid for life in group_lives(run.group))
        found = {*self.left(name), *(self.pids(run) if run is not None and run.cgroup else ())}
        return len(found - covered)

    def tidy(self) -> None:
        """Remove what services that have stopped and were not started again leave behind."""
        if self._spare.tidy():
            self._timers.soon(self.tidy)

    def leave(self, run: Run) -> None:
        """Let go of a run without a signal: its processes go on."""
        run.watches.cancel()
        run.leave_alone()
        self.unwatch_exit(run)

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


def _has_left_something(run: Run, record: Record) -> bool:
    return run.cgroup is not None and bool(set(run.cgroup.pids()) - set(record.before))


def _nothing(_status: ExitStatus) -> None:
    return


def _nowhere(run: Run, event: Event) -> None:
    raise AssertionError(event)

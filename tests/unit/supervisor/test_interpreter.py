"""Effects carried out on real children, and what is posted when something goes wrong on the way."""

import ctypes
import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest
from tests.support.supervising import WEB, Parts, Supervising, many, service, supervising

from virtsupd.core.effects import (
    Announce,
    RememberFirings,
    Result,
    RunReload,
    Spawn,
    Terminate,
    WatchHealth,
)
from virtsupd.core.events import (
    BecameReady,
    Gone,
    HealthChanged,
    Instant,
    NeverReady,
    Reloaded,
    ReloadEnded,
    SpawnFailed,
    Verb,
)
from virtsupd.core.exits import ExitStatus
from virtsupd.core.graph import ServiceGraph
from virtsupd.core.jobs import Firings
from virtsupd.core.names import Name
from virtsupd.core.snapshot import State
from virtsupd.core.spec import (
    Health,
    NotifyProbe,
    PathProbe,
    PidFileProbe,
    Readiness,
    Reload,
    Respawn,
    ServiceSpec,
    Stop,
    StopMode,
    TcpProbe,
    TimerSpec,
)
from virtsupd.errors import SpawnError
from virtsupd.process.cgroup import Cgroup
from virtsupd.process.clock import SystemClock
from virtsupd.process.exit_watch import ExitWatch
from virtsupd.process.lives import epoch, has_ended
from virtsupd.process.notify import NotifyMessage
from virtsupd.process.plan import Child, SpawnPlan
from virtsupd.process.reaper import become_subreaper
from virtsupd.process.spawn import best_spawner
from virtsupd.process.stop import GoneWatch, Remains
from virtsupd.process.store import DirectoryStore
from virtsupd.supervisor.records import Records

pytestmark = pytest.mark.process


@pytest.mark.parametrize("has_cgroups", [True, False])
async def test_a_service_is_started_and_stopped(*, has_cgroups: bool) -> None:
    async with supervising(service(), parts=Parts(has_cgroups=has_cgroups)) as s:
        pid = s.snapshot().pid
        assert pid is not None
        assert s.interpreter.leader(WEB) == pid
        assert s.interpreter.pids(WEB) == (pid,)
        assert left_of(s).record(WEB) is not None
        [report] = (await s.ask(Verb.STOP, "web")).reports
        assert report.result is Result.DONE
        assert s.interpreter.leader(WEB) is None
        assert s.interpreter.pids(WEB) == ()
        assert left_of(s).record(WEB) is None
        assert left_of(s).kept()[WEB].state is State.STOPPED


def left_of(s: Supervising) -> Records:
    """Return what a successor would read."""
    return Records(DirectoryStore(s.run_dir / "records"), epoch())


class Failing:
    """A spawner that fails as it is told, once, and then works."""

    def __init__(self, error: Exception) -> None:
        self.error: Exception | None = error

    def spawn(self, plan: SpawnPlan) -> Child:
        if self.error is not None:
            error, self.error = self.error, None
            raise error
        return best_spawner().spawn(plan)


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (SpawnError("fork", "no room", is_permanent=False), "fork: no room"),
        (SpawnError("exec", "no such thing", is_permanent=True), "exec: no such thing"),
        (OSError(28, "No space left on device"), "prepare: No space left on device"),
        (RuntimeError("unforeseen"), "defect: a defect of virtsupd: RuntimeError('unforeseen')"),
    ],
)
async def test_a_start_that_fails_is_told_and_the_next_one_works(
    error: Exception, says: str
) -> None:
    async with supervising(service(), parts=Parts(spawner=Failing(error))) as s:
        assert s.reason() == says
        assert list((s.run_dir / "notify").iterdir()) == []
        [report] = (await s.ask(Verb.START, "web")).reports
        assert report.result is Result.DONE


async def test_a_failing_service_leaves_its_neighbour_alone() -> None:
    failing = Failing(RuntimeError("unforeseen"))
    async with supervising(service("a"), service("b"), parts=Parts(spawner=failing)) as s:
        states = {name: s.snapshot(name).state for name in ("a", "b")}
        assert states == {"a": State.STOPPED, "b": State.RUNNING}


class Broken(SystemClock):
    """A clock that tells the time and cannot wait."""

    async def sleep(self, seconds: float) -> None:
        raise RuntimeError("the clock is broken")


async def test_a_defect_of_a_health_check_is_not_swallowed() -> None:
    health = Health(PathProbe("/"), interval_seconds=1, on_failure="degrade")
    async with supervising(service(health=health), parts=Parts(clock=Broken())) as s:
        await s.until(s.reason)
        assert s.snapshot().state is State.RUNNING
        assert "a defect of virtsupd: RuntimeError('the clock is broken')" in s.reason()


async def test_a_defect_of_a_readiness_probe_fails_the_start() -> None:
    ready = Readiness(TcpProbe(port=70_000))  # which no configuration can say
    async with supervising(service(ready=ready)) as s:
        await s.until(lambda: s.snapshot().has_failed)
        assert "did not become ready: a defect of virtsupd: " in s.reason()


class Forgetful(GoneWatch):
    """A watch that fails once."""

    def __init__(self) -> None:
        super().__init__(SystemClock())
        self.calls = 0

    async def wait_gone(self, remains: Remains) -> None:
        self.calls += 1
        if self.calls == 1:
            raise RuntimeError("lost sight of it")
        await super().wait_gone(remains)


async def test_a_defect_of_the_wait_for_leftovers_is_made_up_for_by_the_kill() -> None:
    watch = Forgetful()
    spec = service(
        "web", *many("grandchild", "exit", "3"), stop=Stop("SIGUSR1", 0.1, StopMode.CGROUP)
    )
    slow = service("slow", *many("deaf", "grandchild", "exit", "3"), stop=Stop(delay_seconds=0.1))
    async with supervising(spec, slow, parts=Parts(gone_watch=watch)) as s:
        await s.until(lambda: s.snapshot("slow").has_failed and s.snapshot().has_failed)
        assert watch.calls


@pytest.fixture
def as_subreaper() -> Iterator[None]:
    """Inherit orphans, as virtsupd does, for the length of a test."""
    become_subreaper()
    yield
    ctypes.CDLL(None).prctl(36, 0, 0, 0, 0)


@pytest.mark.usefixtures("as_subreaper")
@pytest.mark.parametrize("has_cgroups", [True, False])
async def test_the_first_process_hands_over_to_the_one_of_the_pid_file(
    tmp_path: Path, *, has_cgroups: bool
) -> None:
    path = tmp_path / "pid"
    spec = service("web", *many("pid-file", str(path)), ready=Readiness(PidFileProbe(str(path))))
    async with supervising(spec, parts=Parts(has_cgroups=has_cgroups)) as s:
        await s.until(lambda: s.snapshot().state is State.RUNNING)
        pid = int(path.read_text())
        assert s.interpreter.leader(WEB) == pid
        assert os.getpgid(pid) == s.interpreter._runs[WEB].group or has_cgroups
        os.kill(pid, signal.SIGKILL)
        await s.until(lambda: s.snapshot().has_failed)
        assert s.snapshot().exits[0].status == ExitStatus(signal=9)


@pytest.mark.usefixtures("as_subreaper")
async def test_a_leader_that_is_somebody_elses_child_is_seen_to_end(tmp_path: Path) -> None:
    path = tmp_path / "pid"
    spec = service(
        "web",
        *many("wrap", str(path)),
        ready=Readiness(PidFileProbe(str(path))),
        stop=Stop("SIGTERM", 5, StopMode.PROCESS),
    )
    async with supervising(spec) as s:
        await s.until(lambda: s.snapshot().state is State.RUNNING)
        first = s.interpreter.pids(WEB)
        await s.ask(Verb.STOP, "web")
        # The wrapper is not the leader any more, and mode `process` leaves it alone.
        [wrapper] = [pid for pid in first if pid != int(path.read_text())]
        await end(s, wrapper)


BACKGROUND = ("/bin/sh", "-c", "setsid sleep 1000 & echo $! >$0; exit 0")
"""Leaves a process in a session of its own and ends; its pid goes into the file $0."""


def forking(
    told: Path, mode: StopMode, named: str = "/nonexistent/pid", seconds: float = 0.2
) -> ServiceSpec:
    """Return a service that goes into the background and names itself too late."""
    ready = Readiness(PidFileProbe(named), seconds)
    return service("web", *BACKGROUND, str(told), ready=ready, stop=Stop("SIGTERM", 0.2, mode))


@pytest.mark.usefixtures("as_subreaper")
@pytest.mark.parametrize("mode", list(StopMode))
async def test_a_daemon_that_never_named_itself_does_not_outlive_its_start(
    tmp_path: Path, mode: StopMode
) -> None:
    told = tmp_path / "told"
    async with supervising(forking(told, mode)) as s:
        await s.until(lambda: s.snapshot().has_failed)
        assert "not ready within" in s.reason()
        assert has_ended(int(told.read_text()))
        assert left_of(s).record(WEB) is None


async def end(s: Supervising, pid: int) -> None:
    """End a process that we have inherited, and wait until it is reaped."""
    ended = anyio.Event()
    watch = ExitWatch(pid, os.pidfd_open(pid), lambda _: ended.set())
    os.kill(pid, signal.SIGKILL)
    with anyio.fail_after(10):
        await ended.wait()
    watch.close()
    s.reaper.drain()


@pytest.mark.usefixtures("as_subreaper")
@pytest.mark.parametrize("mode", list(StopMode))
async def test_without_cgroups_a_daemon_that_may_live_is_not_started_beside(
    tmp_path: Path, mode: StopMode
) -> None:
    told = tmp_path / "told"
    spec = forking(told, mode)
    async with supervising(spec, parts=Parts(has_cgroups=False)) as s:
        await s.until(lambda: s.snapshot().has_failed)
        pid = int(told.read_text())
        assert not has_ended(pid)
        [report] = (await s.ask(Verb.START, "web")).reports
        assert f"leftovers: it may have left process {pid} (sleep)" in report.message
        await end(s, pid)
        told.unlink()
        [report] = (await s.ask(Verb.START, "web")).reports
        assert "not ready within" in report.message
        await end(s, int(told.read_text()))


@pytest.mark.usefixtures("as_subreaper")
async def test_without_cgroups_a_stop_takes_whom_the_pid_file_names_by_then(
    tmp_path: Path,
) -> None:
    told = tmp_path / "told"
    spec = forking(told, StopMode.PROCESS, str(tmp_path / "pid"), 10)
    async with supervising(spec, parts=Parts(has_cgroups=False)) as s:
        with anyio.fail_after(10):
            while s.interpreter.leader(WEB) is not None:
                await anyio.lowlevel.checkpoint()
        run = s.interpreter._runs[WEB]
        run.end_watches()  # as if the news of the file were still on its way
        told.rename(tmp_path / "pid")
        await s.ask(Verb.STOP, "web")
        assert has_ended(int((tmp_path / "pid").read_text()))
        assert s.snapshot().state is State.STOPPED


@pytest.mark.usefixtures("as_subreaper")
async def test_a_pid_file_does_not_make_anothers_leader_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "pid"
    ready = Readiness(PidFileProbe(str(path)), timeout_seconds=0.2)
    spec = service("web", "/bin/true", ready=ready, stop=Stop(mode=StopMode.PROCESS))
    async with supervising(service("victim"), parts=Parts(has_cgroups=False)) as s:
        victim = s.snapshot("victim").pid or 0
        path.write_text(str(victim))
        s.supervisor.post(Reloaded(ServiceGraph.build([service("victim"), spec])))
        await s.ask(Verb.START, "web")
        assert s.snapshot("web").has_failed
        assert (s.snapshot("victim").state, s.snapshot("victim").pid) == (State.RUNNING, victim)


async def test_a_late_answer_of_a_probe_takes_no_leader() -> None:
    async with supervising(service("web"), service("other")) as s:
        generation = s.supervisor.engine.service(WEB).generation
        other = s.snapshot("other").pid or 0
        leader = s.interpreter.leader(WEB)
        s.interpreter._found(BecameReady(WEB, generation - 1, other))
        s.interpreter._found(BecameReady(Name("gone"), generation, other))
        s.interpreter._found(BecameReady(WEB, generation, other))
        assert isinstance(s.posted[-1], NeverReady)
        assert s.interpreter.leader(WEB) == leader
        assert s.reaper.watches(other)


def message(pid: int, **fields: str) -> NotifyMessage:
    return NotifyMessage(pid, 0, fields)


async def test_only_the_service_is_heard() -> None:
    async with supervising(service(ready=Readiness(NotifyProbe()))) as s:
        run = s.interpreter._runs[WEB]
        s.machine.heard(run, message(os.getpid(), READY="1"))
        # A message of its last start, that is read late.
        s.machine.heard(replace(run), message(s.snapshot().pid or 0, READY="1"))
        assert s.snapshot().state is State.STARTING
        fields = {"STATUS": "well", "STOPPING": "1", "RELOADING": "1", "READY": "1"}
        s.machine.heard(run, message(s.snapshot().pid or 0, **fields))
        assert s.snapshot().state is State.RUNNING
        assert s.snapshot().status_text == "well"


async def test_a_service_that_is_done_cannot_be_reloaded() -> None:
    async with supervising(service(), parts=Parts(has_booted=False)) as s:
        s.interpreter.carry_out(RunReload(WEB, 1, Reload(signal="SIGHUP")))
        assert s.posted[-1] == ReloadEnded(WEB, 1, "it has no process")
        s.interpreter.carry_out(WatchHealth(WEB, 1, Health(PathProbe("/"))))


async def test_the_defect_of_a_reload_is_its_answer() -> None:
    reload = Reload(command=("/bin/true",))
    async with supervising(service(reload=reload)) as s:
        s.interpreter._runs[WEB].cgroup = Cgroup(s.run_dir / "nothing")
        [report] = (await s.ask(Verb.RELOAD, "web")).reports
        assert report.result is Result.FAILED
        assert report.message.startswith("a defect of virtsupd: ")
        s.interpreter._runs[WEB].cgroup = None


async def test_what_does_not_run_is_gone() -> None:
    async with supervising(service(), parts=Parts(has_booted=False)) as s:
        s.interpreter.carry_out(Terminate(WEB, 7, Stop()))
        assert s.posted[-1] == Gone(WEB, 7)


async def test_effects_of_the_loop_are_not_the_interpreters() -> None:
    async with supervising(service()) as s:
        with pytest.raises(AssertionError):
            s.interpreter.carry_out(Announce(WEB, "service running"))


async def test_a_watchdog_counts_from_ready_on() -> None:
    health = Health(NotifyProbe(), interval_seconds=1000)
    spec = service(ready=Readiness(NotifyProbe()), health=health)
    async with supervising(spec) as s:
        pid = s.snapshot().pid or 0
        run = s.interpreter._runs[WEB]
        assert run.watchdog is not None
        before = run.watchdog.deadline
        s.machine.heard(run, message(pid, READY="1"))
        assert run.watchdog.deadline != before
        s.machine.heard(run, message(pid, WATCHDOG="trigger"))
        found = [event for event in s.posted if isinstance(event, HealthChanged)]
        assert found[-1].why == "it said WATCHDOG=trigger"
        await s.until(lambda: s.snapshot().has_failed)


async def test_a_probe_that_ends_after_its_service_disturbs_nothing() -> None:
    async with supervising(service(respawn=Respawn(delay_seconds=0, limit=0))) as s:
        s.supervisor.post(BecameReady(WEB, 99))
        with anyio.fail_after(10):
            for _ in range(3):
                restarts = s.snapshot().restarts
                os.kill(s.snapshot().pid or 0, signal.SIGKILL)
                await s.until(lambda: s.snapshot().restarts > restarts and s.snapshot().pid)  # noqa: B023  (awaited at once)
        assert isinstance(s.launcher.clock.now(), Instant)


async def test_a_firing_that_cannot_be_written_down_runs_no_job() -> None:
    async with supervising(service(timer=TimerSpec(("x",)))) as s:
        spec = s.snapshot().spec
        assert spec.process is not None
        state = s.run_dir / "state"
        state.rename(s.run_dir / "away")
        s.interpreter.carry_out(RememberFirings(WEB, Firings(1.0, "x")))
        generation = s.supervisor.engine.service(WEB).generation
        s.interpreter.carry_out(Spawn(WEB, generation, spec.process, spec.ready))
        failed = [event for event in s.posted if isinstance(event, SpawnFailed)]
        assert [event.stage for event in failed] == ["record"]
        assert s.interpreter.run(WEB) is None
        assert left_of(s).record(WEB) is None
        (s.run_dir / "away").rename(state)
        s.interpreter.flush()
        assert not s.memory.is_firing_unwritten(WEB), "the next may run"

"""Effects carried out on real children, and what is posted when something goes wrong on the way."""

import ctypes
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest
from tests.support.supervising import WEB, Parts, many, service, supervising

from virtsupd.core.effects import Announce, Result, RunReload, Terminate, WatchHealth
from virtsupd.core.events import BecameReady, Gone, HealthChanged, Instant, ReloadEnded, Verb
from virtsupd.core.exits import ExitStatus
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
    Stop,
    StopMode,
    TcpProbe,
)
from virtsupd.errors import SpawnError
from virtsupd.process.cgroup import Cgroup
from virtsupd.process.clock import SystemClock
from virtsupd.process.lives import LifeWatch
from virtsupd.process.notify import NotifyMessage
from virtsupd.process.plan import Child, SpawnPlan
from virtsupd.process.reaper import become_subreaper
from virtsupd.process.spawn import best_spawner
from virtsupd.process.stop import GoneWatch, Remains

pytestmark = pytest.mark.process


@pytest.mark.parametrize("has_cgroups", [True, False])
async def test_a_service_is_started_and_stopped(*, has_cgroups: bool) -> None:
    async with supervising(service(), parts=Parts(has_cgroups=has_cgroups)) as s:
        pid = s.snapshot().pid
        assert pid is not None
        assert s.interpreter.leader(WEB) == pid
        assert s.interpreter.pids(WEB) == (pid,)
        assert (s.run_dir / "records/web").exists()
        [report] = (await s.ask(Verb.STOP, "web")).reports
        assert report.result is Result.DONE
        assert s.interpreter.leader(WEB) is None
        assert s.interpreter.pids(WEB) == ()
        assert not (s.run_dir / "records/web").exists()


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
        ended = anyio.Event()
        watch = LifeWatch(wrapper, ended.set)
        os.kill(wrapper, signal.SIGKILL)
        with anyio.fail_after(10):
            await ended.wait()
        s.reaper.drain()
        watch.close()


def message(pid: int, **fields: str) -> NotifyMessage:
    return NotifyMessage(pid, 0, fields)


async def test_only_the_service_is_heard() -> None:
    async with supervising(service(ready=Readiness(NotifyProbe()))) as s:
        generation = s.supervisor.engine.service(WEB).generation
        s.interpreter.heard(WEB, generation, message(os.getpid(), READY="1"))
        s.interpreter.heard(WEB, generation + 1, message(s.snapshot().pid or 0, READY="1"))
        s.interpreter.heard(Name("other"), 1, message(1, READY="1"))
        assert s.snapshot().state is State.STARTING
        fields = {"STATUS": "well", "STOPPING": "1", "RELOADING": "1", "READY": "1"}
        s.interpreter.heard(WEB, generation, message(s.snapshot().pid or 0, **fields))
        assert s.snapshot().state is State.RUNNING
        assert s.snapshot().status_text == "well"


@pytest.mark.parametrize(("uid", "is_heard"), [(0, True), (65534, False)])
async def test_a_sender_that_is_gone_is_known_by_its_user(uid: int, *, is_heard: bool) -> None:
    async with supervising(service(ready=Readiness(NotifyProbe()))) as s:
        generation = s.supervisor.engine.service(WEB).generation
        gone = NotifyMessage(2**22 + 1, uid, {"READY": "1"})
        s.interpreter.heard(WEB, generation, gone)
        assert (s.snapshot().state is State.RUNNING) == is_heard


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
        service_of_engine = s.supervisor.engine.service(WEB)
        pid = s.snapshot().pid or 0
        run = s.interpreter._runs[WEB]
        assert run.watchdog is not None
        before = run.watchdog.deadline
        s.interpreter.heard(WEB, service_of_engine.generation, message(pid, READY="1"))
        assert run.watchdog.deadline != before
        s.interpreter.heard(WEB, service_of_engine.generation, message(pid, WATCHDOG="trigger"))
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

"""A virtsupd dies and the next one takes over what it finds: real children, sockets and FIFOs."""

import ctypes
import errno
import os
import select
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest
from tests.support.checks import eventually, text_of
from tests.support.supervising import SECONDS, WEB, Parts, Supervising, many, service, supervising

from virtsupd.core.effects import Result
from virtsupd.core.events import Asked, Booted, Verb
from virtsupd.core.exits import ExitStatus
from virtsupd.core.made import made_from
from virtsupd.core.service import Service
from virtsupd.core.snapshot import State
from virtsupd.core.spec import (
    FdProbe,
    LogSpec,
    NotifyProbe,
    PidFileProbe,
    Readiness,
    Respawn,
    ServiceSpec,
    SocketSpec,
    Stop,
    StopMode,
)
from virtsupd.process.lives import Life, epoch, has_ended, life_of, parent_of
from virtsupd.process.plan import Child, SpawnPlan
from virtsupd.process.reaper import become_subreaper
from virtsupd.process.spawn import best_spawner
from virtsupd.process.store import DirectoryStore
from virtsupd.supervisor.record import Record
from virtsupd.supervisor.records import Records

pytestmark = pytest.mark.process

AT_ONCE = Respawn(delay_seconds=0)
both = pytest.mark.parametrize("has_cgroups", [True, False], ids=["cgroups", "groups"])
modes = pytest.mark.parametrize("mode", list(StopMode))


@pytest.fixture
def as_subreaper() -> Iterator[None]:
    """Inherit orphans, as virtsupd does, for the length of a test."""
    become_subreaper()
    yield
    ctypes.CDLL(None).prctl(36, 0, 0, 0, 0)


def pid_of(s: Supervising, name: str = "web") -> int:
    pid = s.snapshot(name).pid
    assert pid is not None, s.snapshot(name)
    return pid


async def turns(fact: Callable[[], object]) -> None:
    """Let the loop turn until a fact holds that no change of a service tells of."""
    with anyio.fail_after(SECONDS):
        while not fact():
            await anyio.lowlevel.checkpoint()


def kill(pid: int) -> None:
    """Kill a child and wait until it is a zombie; nobody reaps it before the loop turns."""
    os.kill(pid, signal.SIGKILL)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)


def logged(spec: ServiceSpec, file: Path) -> ServiceSpec:
    """Return a service whose output is captured."""
    assert spec.process is not None
    return replace(spec, process=replace(spec.process, log=LogSpec(str(file))))


def left_of(s: Supervising) -> Records:
    """Return what the next virtsupd would read."""
    return Records(DirectoryStore(s.run_dir / "records"), epoch())


def edit(s: Supervising, change: Callable[[Record], Record]) -> None:
    """Change where the processes are said to be: as a kill at another instant had left it."""
    records = left_of(s)
    record = records.record(WEB)
    assert record is not None
    records.begin(WEB, change(record))


def unrecorded(s: Supervising) -> None:
    """Make it a kill between the spawn and the record of its process."""
    edit(s, lambda record: replace(record, leader=None, group=0))


def untold(s: Supervising) -> None:
    """Make it a kill before the engine was told of the process: it counts as never seen."""
    records = left_of(s)
    records.keep(WEB, replace(records.kept()[WEB], pid=None))
    records.flush()


def is_sleep(pid: int) -> bool:
    return Path(f"/proc/{pid}/comm").read_text() == "sleep\n"


@dataclass
class Planted:
    """A process that another one than us has started and waits for."""

    leader: Life
    parent: subprocess.Popen[bytes]


@contextmanager
def planted(then: str = "wait") -> Iterator[Planted]:
    """Start one, in a session of its own; its parent waits for it, or does something else."""
    script = f"setsid sleep 1000 & echo $!; {then}"
    with subprocess.Popen(["/bin/sh", "-c", script], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        try:
            eventually(lambda: is_sleep(pid), "a session of its own")
            leader = life_of(pid)
            assert leader is not None
            yield Planted(leader, parent)
        finally:
            end(pid)
            parent.kill()


def end(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def write_running(s: Supervising, spec: ServiceSpec, record: Record) -> None:
    """Leave a service as running with processes of that record."""
    records = left_of(s)
    pid = record.leader.pid if record.leader is not None else None
    kept = Service(spec, State.RUNNING, since=5.0, generation=record.generation, pid=pid)
    kept.made, kept.changes, kept.wanted = made_from(spec), ((State.RUNNING, 5.0),), True
    records.keep(WEB, kept)
    records.begin(WEB, record)


# The leader


@both
async def test_what_runs_is_taken_over_and_its_end_is_seen(*, has_cgroups: bool) -> None:
    spec, parts = service(), Parts(has_cgroups=has_cgroups)
    async with supervising(spec, parts=parts) as first:
        before = first.snapshot()
        s = await first.successor(spec, parts=parts)
        found = s.snapshot()
        assert (found.state, found.pid, found.since) == (State.RUNNING, before.pid, before.since)
        assert s.supervisor.engine.service(WEB).adopted_at is not None
        assert not s.snapshot().is_replacement_pending
        assert s.interpreter.pids(WEB) == (before.pid,)
        os.kill(pid_of(s), signal.SIGKILL)
        await s.until(lambda: s.snapshot().has_failed)
        assert s.snapshot().exits[0].status == ExitStatus(signal=9)


@both
async def test_one_after_another_may_take_over(*, has_cgroups: bool) -> None:
    spec, parts = service(), Parts(has_cgroups=has_cgroups)
    async with supervising(spec, parts=parts) as first:
        s, pid = first, pid_of(first)
        for _ in range(5):
            s = await s.successor(spec, parts=parts)
        assert pid_of(s) == pid
        [report] = (await s.ask(Verb.STOP, "web")).reports
        assert report.result is Result.DONE
        assert has_ended(pid)
        assert left_of(s).record(WEB) is None


@both
async def test_what_died_meanwhile_is_a_death_with_its_status(*, has_cgroups: bool) -> None:
    spec, parts = service(respawn=AT_ONCE), Parts(has_cgroups=has_cgroups)
    async with supervising(spec, parts=parts) as first:
        pid = pid_of(first)
        s = await first.successor(spec, parts=parts, meanwhile=lambda: kill(pid))
        await s.until(lambda: s.snapshot().state is State.RUNNING)
        assert pid_of(s) != pid
        assert s.snapshot().restarts == 1
        assert s.snapshot().exits[0].status == ExitStatus(signal=9)


@pytest.mark.parametrize("then", ["wait", "exec sleep 1000"], ids=["reaped", "zombie"])
async def test_the_end_of_anothers_child_is_seen_with_its_status(then: str) -> None:
    spec = service(stop=Stop(mode=StopMode.GROUP))
    async with supervising(spec, parts=Parts(has_booted=False)) as first:
        with planted(then) as child:
            pid = child.leader.pid
            record = Record(7, None, leader=child.leader, group=pid)
            s = await first.successor(spec, meanwhile=lambda: write_running(first, spec, record))
            assert (pid_of(s), s.snapshot().since) == (pid, 5.0)
            os.kill(pid, signal.SIGUSR1)
            await s.until(lambda: s.snapshot().has_failed)
            assert s.snapshot().exits[0].status == ExitStatus(signal=signal.SIGUSR1)


@pytest.mark.usefixtures("as_subreaper")
async def test_the_end_of_one_that_became_our_child_is_seen_with_its_status() -> None:
    spec = service(stop=Stop(mode=StopMode.GROUP))
    async with supervising(spec, parts=Parts(has_booted=False)) as first:
        with planted() as child:
            pid = child.leader.pid
            record = Record(7, None, leader=child.leader, group=pid)
            s = await first.successor(spec, meanwhile=lambda: write_running(first, spec, record))
            child.parent.kill()
            eventually(lambda: parent_of(pid) == os.getpid(), "its adoption by us")
            os.kill(pid, signal.SIGUSR1)
            await s.until(lambda: s.snapshot().has_failed)
            assert s.snapshot().exits[0].status == ExitStatus(signal=signal.SIGUSR1)
            assert not s.reaper.watches(pid)


@modes
async def test_anothers_child_is_stopped(mode: StopMode) -> None:
    spec = service(stop=Stop(mode=mode))
    async with supervising(spec, parts=Parts(has_booted=False)) as first:
        with planted() as child:
            pid = child.leader.pid
            record = Record(7, None, leader=child.leader, group=pid)
            s = await first.successor(spec, meanwhile=lambda: write_running(first, spec, record))
            await s.ask(Verb.STOP, "web")
            assert has_ended(pid)
            assert s.snapshot().exits[0].status == ExitStatus(signal=signal.SIGTERM)
            # What else its parent does is not ours.
            assert child.parent.wait() == 0


@modes
async def test_a_pid_that_is_somebody_elses_by_now_is_never_signalled(mode: StopMode) -> None:
    """The number, and the group of that number, belong to a session that began later."""
    spec = service(stop=Stop("SIGTERM", 0.1, mode), respawn=AT_ONCE)
    async with supervising(spec, parts=Parts(has_booted=False)) as first:
        with planted() as stranger:
            pid = stranger.leader.pid
            earlier = replace(stranger.leader, started=stranger.leader.started - 1)
            record = Record(7, None, leader=earlier, group=pid)
            s = await first.successor(spec, meanwhile=lambda: write_running(first, spec, record))
            await s.until(lambda: s.snapshot().state is State.RUNNING)
            assert pid_of(s) != pid
            assert s.snapshot().exits[0].status == ExitStatus()
            await s.ask(Verb.STOP, "web")
            assert not has_ended(pid)


# A kill between spawn and record


@both
async def test_a_process_that_was_not_recorded_is_found(
    tmp_path: Path, *, has_cgroups: bool
) -> None:
    spec, parts = logged(service(), tmp_path / "log"), Parts(has_cgroups=has_cgroups)
    async with supervising(spec, parts=parts) as first:
        pid = pid_of(first)
        s = await first.successor(spec, parts=parts, meanwhile=lambda: unrecorded(first))
        assert (pid_of(s), s.snapshot().state) == (pid, State.RUNNING)
        record = left_of(s).record(WEB)
        assert record is not None
        assert (record.leader, record.group) == (life_of(pid), pid)
        await s.ask(Verb.STOP, "web")
        assert has_ended(pid)


@both
@modes
async def test_one_that_was_not_recorded_and_prints_elsewhere_is_found(
    tmp_path: Path, mode: StopMode, *, has_cgroups: bool
) -> None:
    """It is not known by its output, and a second one must not be made beside it."""
    line = f"exec >{tmp_path}/own 2>&1; exec sleep 1000"
    spec = logged(service("web", "/bin/sh", "-c", line, stop=Stop(mode=mode)), tmp_path / "log")
    parts = Parts(has_cgroups=has_cgroups)
    async with supervising(spec, parts=parts) as first:
        pid = pid_of(first)
        eventually(lambda: is_sleep(pid), "its own output")
        s = await first.successor(spec, parts=parts, meanwhile=lambda: unrecorded(first))
        assert (pid_of(s), s.snapshot().state) == (pid, State.RUNNING)
        await s.ask(Verb.STOP, "web")
        assert has_ended(pid)


@both
async def test_a_start_of_which_nothing_was_made_begins_again(
    tmp_path: Path, *, has_cgroups: bool
) -> None:
    spec, parts = logged(service(), tmp_path / "log"), Parts(has_cgroups=has_cgroups)
    ready = replace(spec, ready=Readiness(NotifyProbe()))
    async with supervising(ready, parts=parts) as first:
        pid = pid_of(first)

        def never_made() -> None:
            kill(pid)
            os.waitpid(pid, 0)
            unrecorded(first)
            untold(first)

        s = await first.successor(ready, parts=parts, meanwhile=never_made)
        assert s.snapshot().state is State.STARTING
        assert pid_of(s) != pid
        assert s.snapshot().exits == (), "there was no process"


@both
async def test_one_that_ran_and_of_which_nothing_is_left_has_died(
    tmp_path: Path, *, has_cgroups: bool
) -> None:
    """It ended before its leader could be recorded, and had counted as running at once."""
    spec = logged(service(respawn=AT_ONCE), tmp_path / "log")
    parts = Parts(has_cgroups=has_cgroups)
    async with supervising(spec, parts=parts) as first:
        pid = pid_of(first)

        def gone() -> None:
            kill(pid)
            os.waitpid(pid, 0)
            unrecorded(first)

        s = await first.successor(spec, parts=parts, meanwhile=gone)
        await s.until(lambda: s.snapshot().state is State.RUNNING and s.snapshot().pid != pid)
        assert s.snapshot().restarts == 1
        assert s.snapshot().exits[0].status == ExitStatus()


@both
@pytest.mark.parametrize("is_stopped", [True, False])
async def test_one_that_cannot_be_looked_for_now_is_looked_for_again(
    monkeypatch: pytest.MonkeyPatch, *, has_cgroups: bool, is_stopped: bool
) -> None:
    spec, parts = service(stop=Stop("SIGTERM", 0.2)), Parts(has_cgroups=has_cgroups)
    open_pidfd, refused = os.pidfd_open, 2
    async with supervising(spec, parts=parts) as first:
        pid = pid_of(first)

        def without_descriptors(asked: int, flags: int = 0) -> int:
            nonlocal refused
            if asked == pid and refused:
                refused -= 1
                raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
            return open_pidfd(asked, flags)

        def exhaust() -> None:
            monkeypatch.setattr(os, "pidfd_open", without_descriptors)

        s = await first.successor(spec, parts=parts, meanwhile=exhaust)
        assert s.interpreter.run(WEB) is None
        if is_stopped:
            [report] = (await s.ask(Verb.STOP, "web")).reports
            assert report.result is Result.DONE
            assert has_ended(pid)
        else:
            await s.until(lambda: s.interpreter.leader(WEB) == pid)
            assert s.snapshot().state is State.RUNNING
            assert s.snapshot().restarts == 0
            await s.ask(Verb.STOP, "web")
        assert has_ended(pid)


class Late:
    """A spawner that returns when the process has ended already."""

    def spawn(self, plan: SpawnPlan) -> Child:
        child = best_spawner().spawn(plan)
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        return child


@both
async def test_a_process_that_ends_at_once_is_recorded_and_judged_by_its_status(
    tmp_path: Path, *, has_cgroups: bool
) -> None:
    spec = logged(service("web", "/bin/sh", "-c", "exit 7"), tmp_path / "log")
    parts = Parts(has_cgroups=has_cgroups, spawner=Late(), has_booted=False)
    async with supervising(spec, parts=parts) as first:
        first.supervisor.post(Booted())
        while first.supervisor._is_scheduled:
            first.supervisor._work()
        s = await first.successor(spec, parts=Parts(has_cgroups=has_cgroups))
        await s.until(lambda: s.snapshot().has_failed)
        assert s.snapshot().exits[0].status == ExitStatus(code=7)


async def test_what_an_unrecorded_process_left_is_ended_before_the_next_start() -> None:
    line = "sleep 1000 & exec sleep 1000"
    spec = service("web", "/bin/sh", "-c", line, respawn=AT_ONCE)
    async with supervising(spec) as first:
        eventually(lambda: len(first.interpreter.pids(WEB)) == 2, "a second process")
        pid = pid_of(first)
        [other] = set(first.interpreter.pids(WEB)) - {pid}

        def leader_dies() -> None:
            kill(pid)
            unrecorded(first)

        s = await first.successor(spec, meanwhile=leader_dies)
        await s.until(lambda: s.snapshot().state is State.RUNNING and s.snapshot().pid)
        assert has_ended(other)
        assert s.snapshot().restarts == 1


async def test_suspects_of_an_earlier_start_are_not_forgotten_by_a_start_that_was_not_begun() -> (
    None
):
    spec, parts = service(), Parts(has_cgroups=False, has_booted=False)
    with planted() as suspect:
        async with supervising(spec, parts=parts) as first:

            def before_the_begin() -> None:
                write_running(first, spec, Record(6, None, suspects=(suspect.leader,)))
                records = left_of(first)
                kept = replace(records.kept()[WEB], state=State.STARTING, generation=7, pid=None)
                records.keep(WEB, kept)
                records.flush()

            now = Parts(has_cgroups=False)
            s = await first.successor(spec, parts=now, meanwhile=before_the_begin)
            assert f"it may have left process {suspect.leader.pid} (sleep)" in s.reason()


# Services that go into the background


BACKGROUND = ("/bin/sh", "-c", "setsid sleep 1000 & echo $! >$0; exit 0")


def forking(told: Path, path: Path) -> ServiceSpec:
    """Return a service that leaves its daemon's pid in `told`, and is ready once it is in `path`."""
    ready = Readiness(PidFileProbe(str(path)), 10)
    return service("web", *BACKGROUND, str(told), ready=ready, stop=Stop("SIGTERM", 5))


async def test_a_daemon_that_names_itself_later_is_found(tmp_path: Path) -> None:
    told, path = tmp_path / "told", tmp_path / "pid"
    spec = forking(told, path)
    async with supervising(spec) as first:
        await turns(lambda: told.exists() and first.interpreter.leader(WEB) is None)
        s = await first.successor(spec)
        assert s.snapshot().state is State.STARTING
        daemon = int(told.read_text())
        told.rename(path)
        await s.until(lambda: s.snapshot().state is State.RUNNING)
        assert pid_of(s) == daemon
        record = left_of(s).record(WEB)
        assert record is not None
        assert (record.leader, record.is_settled) == (life_of(daemon), True)
        await s.ask(Verb.STOP, "web")
        assert has_ended(daemon)


async def test_without_a_cgroup_a_first_process_that_ended_is_no_death(tmp_path: Path) -> None:
    """Its daemon may be on its way: to start another one beside it would double it."""
    path = tmp_path / "pid"
    ready = Readiness(PidFileProbe(str(path)), 10)
    spec = service(ready=ready, stop=Stop("SIGTERM", 0.1, StopMode.GROUP))
    parts = Parts(has_cgroups=False)
    async with supervising(spec, parts=parts) as first:
        pid = pid_of(first)

        def reaped() -> None:
            kill(pid)
            os.waitpid(pid, 0)

        s = await first.successor(spec, parts=parts, meanwhile=reaped)
        assert s.snapshot().state is State.STARTING
        assert s.interpreter.leader(WEB) is None
        assert s.snapshot().exits == ()


LEAVES_A_GUEST = """
setsid sh -c 'env -i setsid sleep 1000 & echo $! >"$0/guest"
setsid sleep 1000 & echo $! >"$0/job"; echo $$ >"$0/daemon"; exec sleep 1000' "$0" &
exit 0
"""


@pytest.mark.parametrize("mode", [StopMode.PROCESS, StopMode.GROUP])
async def test_guests_of_a_daemon_that_has_not_named_itself_live_on(
    tmp_path: Path, mode: StopMode
) -> None:
    """Decision 5: the rest of the cgroup is never signalled, pid file or not."""
    ready = Readiness(PidFileProbe(str(tmp_path / "never")), 10)
    command = ("/bin/sh", "-c", LEAVES_A_GUEST, str(tmp_path))
    spec = service("web", *command, ready=ready, stop=Stop("SIGTERM", 0.1, mode))
    become_subreaper()
    try:
        async with supervising(spec) as s:
            await turns(lambda: text_of(tmp_path / "daemon") and not s.interpreter.leader(WEB))
            names = ("guest", "job", "daemon")
            guest, job, daemon = (int((tmp_path / name).read_text()) for name in names)
            eventually(lambda: all(map(is_sleep, (guest, job, daemon))), "their programs")
            await s.ask(Verb.STOP, "web")
            ended = [has_ended(pid) for pid in (guest, job, daemon)]
            for pid in (guest, job):
                end(pid)
            await turns(lambda: has_ended(guest) and has_ended(job))
    finally:
        ctypes.CDLL(None).prctl(36, 0, 0, 0, 0)
    assert ended == [False, False, True]


# Where it is


async def test_guests_of_an_adopted_service_live_on(tmp_path: Path) -> None:
    file = tmp_path / "log"
    command = ("/bin/sh", "-c", "setsid sleep 1000 & echo $! >$0; exec sleep 1000", str(file))
    spec = service("web", *command, stop=Stop(mode=StopMode.PROCESS))
    async with supervising(spec) as first:
        guest = int(eventually(lambda: file.exists() and file.read_text(), "a guest"))
        pid = pid_of(first)
        s = await first.successor(spec)
        assert set(s.interpreter.pids(WEB)) == {pid, guest}
        await s.ask(Verb.STOP, "web")
        assert has_ended(pid)
        assert not has_ended(guest)
        await s.ask(Verb.START, "web")
        eventually(lambda: len(s.interpreter.pids(WEB)) == 3, "a second guest")
        guests = set(s.interpreter.pids(WEB)) - {pid_of(s)}
        assert guest in guests
        await s.ask(Verb.STOP, "web")
        for one in guests:
            os.kill(one, signal.SIGKILL)


async def test_what_lives_in_another_place_is_stopped_there() -> None:
    """The successor was started in another cgroup, or where there is none."""
    line = "setsid sleep 1000 & exec sleep 1000"
    spec = service("web", "/bin/sh", "-c", line, stop=Stop("SIGTERM", 0.1))
    async with supervising(spec) as first:
        eventually(lambda: len(first.interpreter.pids(WEB)) == 2, "a second process")
        pids = first.interpreter.pids(WEB)
        tree = first.launcher.tree
        assert tree is not None
        s = await first.successor(spec, parts=Parts(has_cgroups=False))
        assert s.interpreter.pids(WEB) == pids
        await s.ask(Verb.STOP, "web")
        assert [has_ended(pid) for pid in pids] == [True, True]
        eventually(tree.remove, "an empty tree")


async def test_a_stop_goes_on() -> None:
    spec = service("web", *many("deaf", "say", "up"), stop=Stop("SIGTERM", 0.2))
    async with supervising(spec) as first:
        pid = pid_of(first)
        eventually(lambda: ignores_term(pid), "deafness")
        first.supervisor.post(Asked(99, Verb.STOP, (WEB,), "a test"))
        assert first.snapshot().state is State.STOPPING
        s = await first.successor(spec)
        assert s.snapshot().state is State.STOPPING
        await s.until(lambda: s.snapshot().state is State.STOPPED)
        assert has_ended(pid)
        assert s.snapshot().exits[0].status == ExitStatus(signal=9)


def ignores_term(pid: int) -> bool:
    text = Path(f"/proc/{pid}/status").read_text()
    mask = next(line.split()[1] for line in text.splitlines() if line.startswith("SigIgn"))
    return bool(int(mask, 16) & (1 << (signal.SIGTERM - 1)))


# What it was given


async def test_readiness_is_heard_by_the_successor(tmp_path: Path) -> None:
    go = tmp_path / "go"
    spec = service("web", *many("after", str(go), "ready"), ready=Readiness(NotifyProbe()))
    async with supervising(spec) as first:
        s = await first.successor(spec)
        assert s.snapshot().state is State.STARTING
        go.touch()
        await s.until(lambda: s.snapshot().state is State.RUNNING)
        assert s.snapshot().status_text == "at work"
        await s.ask(Verb.STOP, "web")
        assert list((s.run_dir / "notify").iterdir()) == []


@pytest.mark.parametrize("is_early", [True, False])
async def test_a_newline_is_read_by_the_successor(tmp_path: Path, *, is_early: bool) -> None:
    go, written = tmp_path / "go", tmp_path / "written"
    ready = Readiness(FdProbe(variable="READY_FD"))
    words = ("after", str(go), "newline", "READY_FD", "listen", str(written))
    spec = service("web", *many(*words), ready=ready)
    async with supervising(spec) as first:

        def early() -> None:
            if is_early:
                go.touch()
                eventually(written.exists, "a newline while nobody reads")

        s = await first.successor(spec, meanwhile=early)
        go.touch()
        await s.until(lambda: s.snapshot().state is State.RUNNING)
        assert pid_of(s)
        await s.ask(Verb.STOP, "web")
        assert list((s.run_dir / "ready").iterdir()) == []


async def test_its_output_goes_on(tmp_path: Path) -> None:
    go = tmp_path / "go"
    spec = logged(service("web", *many("say", "up", "after", str(go), "say", "on")), tmp_path / "l")
    async with supervising(spec) as first:
        output = await_output(first)
        assert output == b"up\n"
        s = await first.successor(spec)
        go.touch()
        assert await_output(s) == b"on\n"


def await_output(s: Supervising) -> bytes:
    """Return what a service has written; no log keeper is here to take it."""
    descriptor = s.launcher.outputs._outputs[WEB].descriptor
    assert select.select([descriptor], [], [], 10)[0]
    return os.read(descriptor, 4096)


async def test_a_client_in_the_queue_of_a_socket_is_served(tmp_path: Path) -> None:
    go, path = tmp_path / "go", tmp_path / "socket"
    sockets = (SocketSpec("front", str(path)),)
    command = many("after", str(go), "serve", "hello")
    spec = service("web", *command, process={"sockets": sockets}, respawn=AT_ONCE)
    async with supervising(spec) as first:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(10)
            client.connect(str(path))
            s = await first.successor(spec)
            before = pid_of(s)
            os.kill(before, signal.SIGKILL)
            await s.until(lambda: s.snapshot().pid not in (None, before))
            go.touch()
            assert client.recv(10) == b"hello"
        await s.ask(Verb.STOP, "web")
        assert not path.exists()


# Records that are no help


@both
async def test_beside_an_unreadable_record_nothing_is_started(
    tmp_path: Path, *, has_cgroups: bool
) -> None:
    spec = logged(service(stop=Stop(mode=StopMode.PROCESS)), tmp_path / "log")
    parts = Parts(has_cgroups=has_cgroups)
    async with supervising(spec, parts=parts) as first:
        pid = pid_of(first)
        file = first.run_dir / "records/web"
        s = await first.successor(spec, parts=parts, meanwhile=lambda: file.write_text("{"))
        assert s.reason().startswith(f"leftovers: its record {file} cannot be read, ")
        assert f"process {pid};" in s.reason()
        assert file.read_text() == "{"
        s = await s.successor(spec, parts=parts)
        assert f"process {pid};" in s.reason(), "another one is as careful"
        assert not has_ended(pid)
        kill(pid)
        s.reaper.drain()
        [report] = (await s.ask(Verb.START, "web")).reports
        assert report.result is Result.DONE
        assert left_of(s).record(WEB) is not None


@dataclass
class Refusing:
    """A store on a disk that is full until it is told otherwise."""

    files: dict[str, bytes] = field(default_factory=dict)
    is_full: bool = True

    def names(self) -> list[str]:
        return sorted(self.files)

    def read(self, name: str) -> bytes:
        return self.files[name]

    def write(self, name: str, content: bytes) -> None:
        if self.is_full:
            raise OSError(28, "No space left on device", name)
        self.files[name] = content

    def remove(self, name: str) -> None:
        self.files.pop(name, None)


async def test_a_start_on_a_full_disk_is_adopted_once_it_could_be_recorded() -> None:
    store = Refusing()
    spec, parts = service(), Parts(store=store)
    async with supervising(spec, parts=parts) as first:
        pid = pid_of(first)
        assert "No space left" in (first.supervisor.trouble or "")
        store.is_full = False
        await first.ask(Verb.START, "web")
        assert not first.supervisor.trouble
        s = await first.successor(spec, parts=parts)
        assert pid_of(s) == pid


async def test_a_service_that_nothing_tells_of_is_refused_beside_its_cgroup() -> None:
    store = Refusing()
    spec, parts = service(), Parts(store=store)
    async with supervising(spec, parts=parts) as first:
        pid = pid_of(first)
        s = await first.successor(spec, parts=parts)
        assert f"process {pid} of an earlier virtsupd still runs" in s.reason()
        kill(pid)
        s.reaper.drain()
        store.is_full = False


def command_of(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text()


async def test_a_definition_that_changed_waits_for_the_next_start() -> None:
    async with supervising(service()) as first:
        pid = pid_of(first)
        changed = service("web", "/bin/sleep", "2000")
        s = await first.successor(changed)
        assert (pid_of(s), s.snapshot().is_replacement_pending) == (pid, True)
        await s.ask(Verb.RESTART, "web")
        assert not s.snapshot().is_replacement_pending
        assert "2000" in command_of(pid_of(s))


async def test_what_left_the_configuration_is_stopped_and_a_guest_is_not() -> None:
    async with supervising(service(), service("guest", is_guest=True)) as first:
        pid, guest = pid_of(first), pid_of(first, "guest")
        s = await first.successor(service("other"))
        await turns(lambda: WEB not in s.supervisor.engine.names())
        assert has_ended(pid)
        assert pid_of(s, "guest") == guest
        assert not (s.run_dir / "records/web").exists()

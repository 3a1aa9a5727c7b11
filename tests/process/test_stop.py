"""Stop modes on children that misbehave: who is signalled, who is spared, when all is over."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import anyio
import pytest
from tests.support.checks import eventually
from tests.support.processes import cgroup_tree, is_populated, plan_for, script

from virtsupd.core.names import Name
from virtsupd.core.spec import StopMode
from virtsupd.process.cgroup import Cgroup
from virtsupd.process.clock import SystemClock
from virtsupd.process.lives import life_of
from virtsupd.process.spawn import best_spawner
from virtsupd.process.stop import GoneWatch, Remains, is_gone, kill, signal_leader, terminate

pytestmark = pytest.mark.process

DEADLINE_SECONDS = 10.0


@dataclass
class Service:
    """A child in a cgroup of its own, and the pids it printed."""

    pid: int
    group: Cgroup
    others: tuple[int, ...]

    def remains(self, mode: StopMode, *, has_cgroup: bool = True) -> Remains:
        return Remains(self.pid, self.pid, self.group if has_cgroup else None, mode)

    def reaped(self) -> int:
        return os.waitpid(self.pid, 0)[1]


@contextmanager
def service(run_dir: Path, name: str, *arguments: str) -> Iterator[Service]:
    """Run a script of tests/children that prints one line when it is set up."""
    with cgroup_tree(run_dir) as tree:
        group = tree.service(Name("web"))
        group.make()
        directory = group.open()
        reading, writing = os.pipe()
        plan = plan_for(*script(name, *arguments), descriptors=(0, writing, 2))
        pid = best_spawner().spawn(replace(plan, cgroup_fd=directory)).pid
        os.close(writing)
        os.close(directory)
        with os.fdopen(reading) as stream:
            line = stream.readline()
        try:
            yield Service(pid, group, tuple(int(word) for word in line.split() if word.isdigit()))
        finally:
            group.kill()
            with suppress(ChildProcessError):
                os.waitpid(pid, 0)
            eventually(lambda: not is_populated(group), "nothing is left of the service")


def lives(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state not in "ZX"


def test_the_leaders_group_gets_the_stop_signal(tmp_path: Path) -> None:
    with service(tmp_path, "leaves_others.py", "stays") as web:
        in_group, elsewhere = web.others
        terminate(web.remains(StopMode.CGROUP), "SIGTERM")
        assert web.reaped() == signal.SIGTERM
        eventually(lambda: not lives(in_group), "the group's other member ends")
        assert lives(elsewhere)
        rest = replace(web.remains(StopMode.CGROUP), leader=None)
        assert not is_gone(rest)
        kill(rest)
        eventually(lambda: is_gone(rest), "the cgroup is empty")
        assert not lives(elsewhere)


def test_what_a_dead_leader_left_in_its_cgroup_gets_the_stop_signal(tmp_path: Path) -> None:
    with service(tmp_path, "leaves_others.py", "ends") as web:
        assert web.reaped() == 0
        rest = replace(web.remains(StopMode.CGROUP), leader=None)
        terminate(rest, "SIGTERM")
        eventually(lambda: not lives(web.others[0]), "the member of the group ends")
        terminate(rest, "SIGTERM")
        eventually(lambda: is_gone(rest), "the daemonised process ends")


def test_process_mode_spares_everything_but_the_leader(tmp_path: Path) -> None:
    with service(tmp_path, "leaves_others.py", "stays") as web:
        remains = web.remains(StopMode.PROCESS)
        assert not is_gone(remains)
        terminate(remains, "SIGTERM")
        assert web.reaped() == signal.SIGTERM
        rest = replace(remains, leader=None)
        assert is_gone(rest)
        terminate(rest, "SIGTERM")
        kill(rest)
        assert all(lives(pid) for pid in web.others)


def test_process_mode_kills_the_leader_alone(tmp_path: Path) -> None:
    with service(tmp_path, "ignores_term.py") as web:
        remains = web.remains(StopMode.PROCESS)
        terminate(remains, "SIGTERM")
        assert not is_gone(remains)
        kill(remains)
        assert web.reaped() == signal.SIGKILL


@pytest.mark.parametrize("has_cgroup", [True, False])
def test_group_mode_covers_the_group_alone(tmp_path: Path, *, has_cgroup: bool) -> None:
    with service(tmp_path, "leaves_others.py", "ends") as web:
        assert web.reaped() == 0
        rest = replace(web.remains(StopMode.GROUP, has_cgroup=has_cgroup), leader=None)
        assert not is_gone(rest)
        kill(rest)
        eventually(lambda: is_gone(rest), "the group is empty")
        assert lives(web.others[1])


def test_without_a_cgroup_the_group_stands_for_it(tmp_path: Path) -> None:
    with service(tmp_path, "ignores_term.py") as web:
        remains = web.remains(StopMode.CGROUP, has_cgroup=False)
        terminate(remains, "SIGTERM")
        assert not is_gone(remains)
        kill(remains)
        assert web.reaped() == signal.SIGKILL
        assert is_gone(replace(remains, leader=None))
        assert is_gone(remains)


def test_a_leader_that_is_not_our_child_is_signalled_through_its_pidfd(tmp_path: Path) -> None:
    with service(tmp_path, "leaves_others.py", "stays") as web:
        in_group, elsewhere = web.others
        pidfd = os.pidfd_open(elsewhere)
        try:
            remains = Remains(elsewhere, web.pid, web.group, StopMode.PROCESS, leader_fd=pidfd)
            assert not is_gone(remains)
            terminate(remains, "SIGTERM")
            eventually(lambda: is_gone(remains), "the process ends")
            kill(remains)
            of_group = Remains(elsewhere, web.pid, web.group, StopMode.GROUP, leader_fd=pidfd)
            kill(of_group)
        finally:
            os.close(pidfd)
        assert web.reaped() == signal.SIGKILL
        eventually(lambda: not lives(in_group), "the group's other member ends")


def test_a_signal_for_the_leader_reaches_nobody_else(tmp_path: Path) -> None:
    with service(tmp_path, "leaves_others.py", "stays") as web:
        signal_leader(web.remains(StopMode.CGROUP), "SIGUSR1")
        assert web.reaped() == signal.SIGUSR1
        assert all(lives(pid) for pid in web.others)


def test_a_signal_without_a_name_is_refused(tmp_path: Path) -> None:
    with service(tmp_path, "ignores_term.py") as web, pytest.raises(ValueError, match="SIGNONE"):
        terminate(web.remains(StopMode.CGROUP), "SIGNONE")


def test_a_leader_that_forked_away_has_its_own_group_signalled(tmp_path: Path) -> None:
    with service(tmp_path, "leads_elsewhere.py") as web:
        leader, in_its_group = web.others
        remains = Remains(leader, web.pid, web.group, StopMode.CGROUP)
        assert os.getpgid(leader) == leader
        terminate(remains, "SIGTERM")
        eventually(lambda: not lives(leader), "the leader ends")
        eventually(lambda: not lives(in_its_group), "the member of its group ends")


def test_nothing_is_gone_before_its_leader_was_reaped(tmp_path: Path) -> None:
    with service(tmp_path, "ignores_term.py") as web:
        remains = web.remains(StopMode.CGROUP)
        kill(remains)
        os.waitid(os.P_PID, web.pid, os.WEXITED | os.WNOWAIT)
        assert not is_gone(remains)
        assert web.reaped() == signal.SIGKILL
        eventually(lambda: is_gone(replace(remains, leader=None)), "the cgroup is empty")


async def wait_gone(remains: Remains, ended: anyio.Event) -> None:
    await GoneWatch(SystemClock()).wait_gone(remains)
    ended.set()


@pytest.mark.parametrize(
    ("mode", "has_cgroup"),
    [
        (StopMode.CGROUP, True),
        (StopMode.CGROUP, False),
        (StopMode.GROUP, True),
        (StopMode.PROCESS, True),
    ],
)
async def test_the_watch_ends_when_nothing_is_left(
    tmp_path: Path, mode: StopMode, *, has_cgroup: bool
) -> None:
    with service(tmp_path, "ignores_term.py") as web:
        remains, ended = web.remains(mode, has_cgroup=has_cgroup), anyio.Event()
        with anyio.fail_after(DEADLINE_SECONDS):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(wait_gone, remains, ended)
                await anyio.lowlevel.checkpoint()
                assert not ended.is_set()
                kill(remains)
                await ended.wait()
        assert web.reaped() == signal.SIGKILL
        assert is_gone(replace(remains, leader=None))


@pytest.mark.parametrize("mode", [StopMode.CGROUP, StopMode.GROUP])
async def test_the_watch_waits_for_what_the_leader_left(tmp_path: Path, mode: StopMode) -> None:
    with service(tmp_path, "leaves_others.py", "ends") as web:
        assert web.reaped() == 0
        rest, ended = replace(web.remains(mode), leader=None), anyio.Event()
        with anyio.fail_after(DEADLINE_SECONDS):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(wait_gone, rest, ended)
                await anyio.lowlevel.checkpoint()
                assert not ended.is_set()
                kill(rest)
                await ended.wait()
        assert is_gone(rest)


async def test_the_watch_follows_a_leader_that_is_not_our_child(tmp_path: Path) -> None:
    with service(tmp_path, "leaves_others.py", "ends") as web:
        elsewhere = web.others[1]
        pidfd = os.pidfd_open(elsewhere)
        remains = Remains(elsewhere, elsewhere, web.group, StopMode.PROCESS, leader_fd=pidfd)
        ended = anyio.Event()
        try:
            with anyio.fail_after(DEADLINE_SECONDS):
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(wait_gone, remains, ended)
                    await anyio.lowlevel.checkpoint()
                    terminate(remains, "SIGTERM")
                    await ended.wait()
        finally:
            os.close(pidfd)
        assert lives(web.others[0])


async def test_a_watch_on_nothing_ends_at_once(tmp_path: Path) -> None:
    with anyio.fail_after(DEADLINE_SECONDS):
        gone = Remains(None, 2**22 - 1, Cgroup(tmp_path / "none"), StopMode.CGROUP)
        await GoneWatch(SystemClock()).wait_gone(gone)


async def test_a_cancelled_watch_leaves_no_descriptor(tmp_path: Path) -> None:
    with service(tmp_path, "ignores_term.py") as web:
        before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - a count
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait_gone, web.remains(StopMode.CGROUP), anyio.Event())
            await anyio.lowlevel.checkpoint()
            tasks.cancel_scope.cancel()
        assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208 - a count


WITHOUT_THE_RIGHT = """
import sys
from pathlib import Path
from virtsupd.core.spec import StopMode
from virtsupd.process.stop import Remains, kill, signal_leader, terminate
pid = int(sys.argv[1])
for mode in StopMode:
    remains = Remains(pid, pid, None, mode)
    print(*terminate(remains, "SIGTERM"), *kill(remains), *signal_leader(remains, "SIGHUP"))
"""


def test_who_may_not_be_signalled_is_told() -> None:
    with subprocess.Popen(["/bin/sleep", "1000"], user=65534, start_new_session=True) as child:
        lacking = ("setpriv", "--bounding-set=-kill", "--inh-caps=-kill", "--ambient-caps=-kill")
        told = subprocess.run(
            [*lacking, sys.executable, "-c", WITHOUT_THE_RIGHT, str(child.pid)],
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
        )
        assert child.poll() is None
        child.kill()
    denied = f"process {child.pid} cannot be signalled: Operation not permitted"
    assert told.stdout.count(denied) == 5
    assert told.stdout.count(denied.replace("process", "process group")) == 4


async def test_kin_outside_of_the_group_end_with_it_and_are_awaited(tmp_path: Path) -> None:
    with service(tmp_path, "leaves_others.py", "ends") as web:
        assert web.reaped() == 0
        in_group, elsewhere = web.others
        kin = life_of(elsewhere)
        assert kin is not None
        rest = replace(web.remains(StopMode.GROUP), leader=None, kin=(kin,))
        os.kill(in_group, signal.SIGKILL)
        eventually(lambda: not lives(in_group), "the group is empty")
        assert not is_gone(rest)
        kill(replace(rest, kin=(replace(kin, started=kin.started - 1),)))
        assert lives(elsewhere), "its number is somebody else's"
        ended = anyio.Event()
        with anyio.fail_after(DEADLINE_SECONDS):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(wait_gone, rest, ended)
                await anyio.lowlevel.checkpoint()
                assert not ended.is_set()
                terminate(rest, "SIGTERM")
                await ended.wait()
        assert is_gone(rest)

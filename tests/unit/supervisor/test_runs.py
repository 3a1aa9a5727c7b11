"""One start of a service: whose processes are its, and what is given back at its end."""

import ctypes
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from tests.support.checks import eventually
from tests.support.processes import cgroup_tree

from virtsupd.core.names import Name
from virtsupd.core.spec import LogSpec, ProcessSpec, Stop, StopMode
from virtsupd.process.cgroup import Cgroup
from virtsupd.process.lives import all_pids, led_group, life_of, parent_of
from virtsupd.process.marks import START
from virtsupd.process.notify import NotifySocket
from virtsupd.process.reaper import become_subreaper
from virtsupd.supervisor.runs import Run

pytestmark = pytest.mark.process

WEB = Name("web")


def run_of(leader: int | None, group: int = 0) -> Run:
    return Run(WEB, 1, ProcessSpec(("x",), LogSpec("")), None, leader=leader, group=group)


@contextmanager
def started(*command: str) -> Iterator[subprocess.Popen[bytes]]:
    """Give a process that leads a session of its own."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as process:
        try:
            yield process
        finally:
            process.kill()


async def test_without_a_cgroup_the_family_of_the_leader_counts() -> None:
    with started("/bin/sh", "-c", "setsid sleep 1000 & echo $!; exec sleep 1000") as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        run = run_of(process.pid, process.pid)
        assert run.owns(process.pid)
        assert run.owns(child)
        assert not run.owns(os.getpid())
        assert not run.owns(2**22 + 1)
        other = run_of(child)
        assert not other.owns(process.pid)
        # Once the first process has ended, what virtsupd has inherited may be the service.
        assert run_of(None).owns(process.pid)
        assert not run_of(None).owns(child)
        assert run_of(None, process.pid).owns(process.pid)
        os.kill(child, 9)


@contextmanager
def orphan(*, mark: str = "", user: int = 0) -> Iterator[int]:
    """Give a process in a session of its own whose first process has ended, with this mark."""
    environment = {START: mark} if mark else {}
    with subprocess.Popen(
        ["/bin/sh", "-c", "/usr/bin/setsid /bin/sleep 1000 & echo $!"],
        stdout=subprocess.PIPE,
        start_new_session=True,
        env=environment,
        user=user,
    ) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        try:
            eventually(lambda: parent_of(pid) != process.pid, "another parent")
            eventually(lambda: is_sleep(pid), "its program")
            yield pid
        finally:
            os.kill(pid, 9)
            with suppress(ChildProcessError):
                os.waitpid(pid, 0)


def is_sleep(pid: int) -> bool:
    return Path(f"/proc/{pid}/comm").read_text() == "sleep\n"


async def test_the_orphans_of_an_earlier_virtsupd_are_told_by_their_mark() -> None:
    with orphan(mark="/run/x:web:1:5") as pid:
        run = run_of(None)
        run.is_adopted = True
        assert not run.owns(pid), "anybody's child is PID 1's in the end"
        run.mark = "/run/x:web:1:5"
        assert run.owns(pid)
        life = life_of(pid)
        assert life is not None
        run.began = life.started + 1
        assert not run.owns(pid), "it was there before the start"


@pytest.fixture
def as_subreaper() -> Iterator[None]:
    """Inherit orphans, as virtsupd does, for the length of a test."""
    become_subreaper()
    yield
    ctypes.CDLL(None).prctl(36, 0, 0, 0, 0)


@pytest.mark.usefixtures("as_subreaper")
@pytest.mark.parametrize("mark", ["", "/run/x:host:1:5", "/run/x:web:1:5"])
async def test_a_service_cannot_name_another_users_process_as_its_own(mark: str) -> None:
    """Its user writes the pid file: virtsupd, as root, would end whom it names."""
    with orphan(mark=mark) as pid:
        assert parent_of(pid) == os.getpid()
        run = run_of(None)
        run.uid, run.mark = 65534, "/run/x:web:1:5"
        assert not run.owns(pid)
        run.group = pid
        assert not run.owns(pid)


@pytest.mark.usefixtures("as_subreaper")
@pytest.mark.parametrize("user", [0, 65534])
async def test_what_another_start_left_is_not_this_ones(user: int) -> None:
    with orphan(mark="/run/x:host:1:5", user=user) as others, orphan(user=user) as unmarked:
        run = run_of(None)
        run.uid, run.mark = user, "/run/x:web:1:5"
        assert not run.owns(others)
        assert run.owns(unmarked), "it may have cleared its environment"


@pytest.mark.usefixtures("as_subreaper")
async def test_a_daemon_of_roots_service_may_have_become_another_user() -> None:
    with orphan(mark="/run/x:web:1:5", user=65534) as pid:
        run = run_of(None)
        run.mark = "/run/x:web:1:5"
        assert run.owns(pid)


async def test_without_a_group_the_kernels_threads_are_not_its_members() -> None:
    kernel = next((pid for pid in all_pids() if led_group(pid) == 0), None)
    if kernel is None:
        pytest.skip("no thread of the kernel is seen in this pid namespace")
    assert not run_of(None).owns(kernel)


async def test_in_a_cgroup_its_members_count(tmp_path: Path) -> None:
    with cgroup_tree(tmp_path) as tree, started("/bin/sleep", "1000") as process:
        cgroup = tree.service(WEB)
        cgroup.make()
        run = Run(WEB, 1, ProcessSpec(("x",), LogSpec("")), cgroup)
        assert not run.owns(process.pid)
        (cgroup.path / "cgroup.procs").write_text(str(process.pid))
        assert run.owns(process.pid)
        process.kill()
        process.wait()


async def test_closing_gives_back_what_was_made(tmp_path: Path) -> None:
    run = run_of(None)
    run.notify = NotifySocket(tmp_path / "notify", on_message=lambda _: None)
    run.ready_path = tmp_path / "ready"
    os.mkfifo(run.ready_path)
    run.ready_fd = os.open(run.ready_path, os.O_RDWR)
    run.close()
    run.close()
    assert os.listdir(tmp_path) == []  # noqa: PTH208  (names are enough)


async def test_watches_are_replaced_when_they_end() -> None:
    run = run_of(None)
    before = run.watches
    run.end_watches()
    assert before.cancel_called
    assert not run.watches.cancel_called
    run.is_waiting = True
    run.wait_again("defect")
    assert not run.is_waiting


async def test_what_has_not_named_itself_is_all_in_its_own_cgroup_whatever_the_mode_by_now() -> (
    None
):
    run = run_of(None)
    run.cgroup, run.has_own_cgroup, run.is_settled = Cgroup(Path("/nowhere")), True, False
    assert run.remains(Stop(mode=StopMode.PROCESS)).mode is StopMode.CGROUP
    run.is_settled = True
    assert run.remains(Stop(mode=StopMode.PROCESS)).mode is StopMode.PROCESS

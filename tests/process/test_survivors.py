"""Processes that somebody else started: found, and told from others."""

import os
import resource
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.checks import eventually
from tests.support.elsewhere import elsewhere
from tests.support.processes import CHILDREN, SOURCES, cgroup_tree, plan_for

from virtsupd.core.exits import ExitStatus
from virtsupd.core.names import Name
from virtsupd.process.cgroup import Cgroup
from virtsupd.process.lives import Life, epoch, life_of, stat_fields
from virtsupd.process.spawn import best_spawner
from virtsupd.process.survivors import (
    ended_with,
    hold,
    leader_by_output,
    leader_in,
    ticks_now,
)

pytestmark = pytest.mark.process

NOBODY = 2**22 + 1
DEAF = ("/bin/sleep", "1000")
LEAVES_ONE = ("/bin/sh", "-c", "setsid sleep 1000 & wait")


@contextmanager
def started(*command: str, cgroup: Cgroup | None = None, output: int = 1) -> Iterator[int]:
    """Yield the pid of a process started as services are; it is killed, with all in its cgroup."""
    directory = cgroup.open() if cgroup is not None else None
    plan = plan_for(*command, descriptors=(0, output, 2))
    try:
        pid = best_spawner().spawn(replace(plan, cgroup_fd=directory)).pid
    finally:
        if directory is not None:
            os.close(directory)
    try:
        yield pid
    finally:
        kill(pid)
        if cgroup is not None:
            cgroup.kill()
            eventually(lambda: not cgroup.pids(), "the cgroup is empty")


def kill(pid: int) -> None:
    """End a child of ours, unless that was done."""
    try:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    except (ProcessLookupError, ChildProcessError):
        return


def life(pid: int) -> Life:
    found = life_of(pid)
    assert found is not None
    return found


def both_in(cgroup: Cgroup) -> None:
    """Wait until the first process has made its child."""
    eventually(lambda: len(cgroup.pids()) == 2, "both are there")


def test_a_living_process_is_held() -> None:
    with elsewhere("exit 0") as process:
        pidfd = hold(life(process.pid))
        assert pidfd is not None
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        assert select.select([pidfd], [], [], 10)[0]
        os.close(pidfd)
        assert process.reap() == ExitStatus(signal=9)


def test_another_process_with_the_same_pid_is_never_held() -> None:
    with elsewhere("exit 0") as process:
        found = life(process.pid)
        assert hold(replace(found, started=found.started - 1)) is None
        assert hold(replace(found, started=found.started + 1)) is None
        assert hold(replace(found, epoch="another boot")) is None
        assert ended_with(replace(found, started=found.started - 1)) == ExitStatus()


@pytest.mark.parametrize("pid", [NOBODY, 0, -1])
def test_nobody_is_held(pid: int) -> None:
    assert hold(Life(pid, 1, epoch())) is None
    assert ended_with(Life(pid, 1, epoch())) == ExitStatus()


def test_a_thread_that_has_the_number_by_now_is_not_held() -> None:
    may_end = threading.Event()
    thread = threading.Thread(target=may_end.wait)
    thread.start()
    try:
        assert thread.native_id is not None
        assert hold(life(thread.native_id)) is None
    finally:
        may_end.set()
        thread.join()


def test_one_that_has_ended_is_not_held_and_its_zombie_tells_how() -> None:
    with elsewhere("exit 3") as process:
        found = life(process.pid)
        assert ended_with(found) == ExitStatus()
        process.end_unreaped()
        assert hold(found) is None
        assert ended_with(found) == ExitStatus(code=3)
        assert ended_with(replace(found, started=found.started - 1)) == ExitStatus()
        process.reap()
        assert hold(found) is None
        assert ended_with(found) == ExitStatus()


def test_one_whose_first_thread_alone_has_ended_is_held() -> None:
    with subprocess.Popen([sys.executable, CHILDREN / "first_thread_ends.py"]) as process:
        found = life(process.pid)
        eventually(lambda: (stat_fields(process.pid) or "?")[0] == "Z", "the first thread ends")
        pidfd = hold(found)
        process.kill()
        assert pidfd is not None
        os.close(pidfd)


def test_without_a_descriptor_to_spare_nobody_is_taken_for_ended() -> None:
    with elsewhere("exit 0") as process:
        found = life(process.pid)
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
        try:
            with pytest.raises(OSError, match="Too many open files"):
                hold(found)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_the_leader_of_a_cgroup_is_found_among_its_family(tmp_path: Path) -> None:
    with cgroup_tree(tmp_path) as tree:
        for _ in range(5):  # both begin in the same tick at times
            group = tree.anew(Name("web"))
            with started(*LEAVES_ONE, cgroup=group) as pid:
                both_in(group)
                assert leader_in(group) == life(pid)


def test_who_was_there_before_is_not_the_leader(tmp_path: Path) -> None:
    with cgroup_tree(tmp_path) as tree:
        group = tree.service(Name("web"))
        group.make()
        with started(*DEAF, cgroup=group) as guest:
            before = group.pids()
            assert leader_in(group, before=before) is None
            with started(*DEAF, cgroup=group) as pid:
                assert leader_in(group, before=before) == life(pid)
                assert leader_in(group) == life(guest)


def test_what_a_leader_left_behind_is_no_leader(tmp_path: Path) -> None:
    with cgroup_tree(tmp_path) as tree:
        group = tree.service(Name("web"))
        group.make()
        with started("/bin/sh", "-c", "sleep 1000 & wait", cgroup=group) as pid:
            both_in(group)
            kill(pid)
            assert len(group.pids()) == 1
            assert leader_in(group) is None
        assert leader_in(tree.service(Name("never"))) is None


def test_a_process_that_is_not_in_the_cgroup_any_more_is_not_its_leader(tmp_path: Path) -> None:
    """Its file names who has ended by now (here a stranger with that pid) and who is outside (0)."""
    with started(*DEAF) as stranger:
        (tmp_path / "cgroup.procs").write_text(f"0\n{stranger}\n0\n")
        assert leader_in(Cgroup(tmp_path)) is None


@pytest.fixture
def fifo(tmp_path: Path) -> Iterator[int]:
    """Give a FIFO as services write into, open."""
    path = tmp_path / "web"
    os.mkfifo(path)
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    yield descriptor
    os.close(descriptor)


def test_without_cgroups_the_leader_is_found_by_its_output(tmp_path: Path, fifo: int) -> None:
    since = ticks_now()
    with cgroup_tree(tmp_path) as tree:  # only to end them all
        group = tree.anew(Name("web"))
        with started(*LEAVES_ONE, cgroup=group, output=fifo) as pid:
            both_in(group)
            assert leader_by_output(tmp_path / "web", since=since) == life(pid)
            assert leader_by_output(tmp_path / "web", since=life(pid).started) == life(pid)
            assert leader_by_output(tmp_path / "web", since=ticks_now() + 1) is None
    assert leader_by_output(tmp_path / "web", since=since) is None


def test_standard_error_is_output_too(tmp_path: Path, fifo: int) -> None:
    since = ticks_now()
    with subprocess.Popen(DEAF, stderr=fifo, start_new_session=True) as process:
        assert leader_by_output(tmp_path / "web", since=since) == life(process.pid)
        process.kill()


def test_one_that_leads_no_session_or_only_reads_is_not_the_leader(
    tmp_path: Path, fifo: int
) -> None:
    since = ticks_now()
    with subprocess.Popen(DEAF, stdout=fifo) as follower:
        assert leader_by_output(tmp_path / "web", since=since) is None
        follower.kill()
    with subprocess.Popen(DEAF, stdin=fifo, start_new_session=True) as reader:
        assert leader_by_output(tmp_path / "web", since=since) is None
        reader.kill()


def test_another_fifo_of_that_name_is_another_output(tmp_path: Path, fifo: int) -> None:
    since, other = ticks_now(), tmp_path / "other"
    other.mkdir()
    with started(*DEAF, output=fifo) as pid:
        assert leader_by_output(other / "web", since=since) is None
        os.mkfifo(other / "web")
        assert leader_by_output(other / "web", since=since) is None
        (tmp_path / "link").symlink_to(tmp_path, target_is_directory=True)
        assert leader_by_output(tmp_path / "link" / "web", since=since) == life(pid)
        (tmp_path / "web").unlink()
        os.mkfifo(tmp_path / "web")
        assert leader_by_output(tmp_path / "web", since=since) is None


def test_a_file_that_is_no_fifo_is_nobodys_output(tmp_path: Path) -> None:
    path = tmp_path / "web"
    with path.open("w") as file, started(*DEAF, output=file.fileno()):
        assert leader_by_output(path, since=0) is None


def test_we_are_not_our_own_service(tmp_path: Path) -> None:
    """A session leader whose output is the FIFO looks for itself."""
    path = tmp_path / "web"
    os.mkfifo(path)
    code = (
        "import sys; from pathlib import Path; from virtsupd.process.survivors import leader_by_output;"
        "found = leader_by_output(Path(sys.argv[1]), since=0); sys.exit(found is not None)"
    )
    writing = os.open(path, os.O_RDWR)
    try:
        ended = subprocess.run(
            [sys.executable, "-c", code, path],
            env={**os.environ, "PYTHONPATH": str(SOURCES)},
            stdout=writing,
            start_new_session=True,
            check=False,
        )
    finally:
        os.close(writing)
    assert ended.returncode == 0


def test_one_that_is_hidden_from_us_is_not_taken_for_none(tmp_path: Path, fifo: int) -> None:
    tmp_path.chmod(0o755)
    since = ticks_now()
    with started(*DEAF, output=fifo):
        said = [as_ordinary_user(tmp_path, begun) for begun in (since, ticks_now() + 1000)]
    assert said[0].startswith("cannot see whether one of them is it:")
    assert said[1] == "None\n"


def as_ordinary_user(directory: Path, since: int) -> str:
    """Return what one who may not trace it says of the leader that writes into the FIFO."""
    return subprocess.run(
        [sys.executable, CHILDREN / "seeks_without_right.py", "web", str(since)],
        env={**os.environ, "PYTHONPATH": str(SOURCES)},
        cwd=directory,
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def test_a_process_starts_between_two_looks_at_the_clock() -> None:
    before = ticks_now()
    with started(*DEAF) as pid:
        assert before <= life(pid).started <= ticks_now()

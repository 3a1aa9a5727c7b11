"""Processes told from later ones of the same pid."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest
from tests.support.checks import eventually
from tests.support.processes import CHILDREN

from virtsupd.core.exits import ExitStatus
from virtsupd.process.lives import (
    Life,
    all_pids,
    began_at,
    children_since,
    descends_from,
    epoch,
    group_lives,
    has_ended,
    is_alive,
    is_member,
    led_group,
    led_session,
    life_of,
    parent_of,
    stat_fields,
    user_of,
    zombie_status,
)

pytestmark = pytest.mark.process

NOBODY = 2**22 + 1


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    """Give a living process that leads a session of its own."""
    with subprocess.Popen(["/bin/sleep", "1000"], start_new_session=True) as process:
        try:
            yield process
        finally:
            process.kill()


def wait_zombie(pid: int) -> None:
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)


def test_a_life_ends_with_its_process(child: subprocess.Popen[bytes]) -> None:
    life = life_of(child.pid)
    assert life is not None
    assert is_alive(life)
    assert not is_alive(Life(life.pid, life.started + 1, life.epoch))
    assert not is_alive(Life(life.pid, life.started, "another boot"))
    child.kill()
    wait_zombie(child.pid)
    assert not is_alive(life)
    assert life_of(child.pid) is None
    child.wait()
    assert life_of(child.pid) is None


def test_the_epoch_is_the_same_for_as_long_as_pids_mean_the_same() -> None:
    assert epoch() == epoch()
    assert "pid:[" in epoch()


def test_families_are_known(child: subprocess.Popen[bytes]) -> None:
    assert parent_of(child.pid) == os.getpid()
    assert descends_from(child.pid, child.pid)
    assert descends_from(child.pid, os.getpid())
    assert descends_from(child.pid, os.getppid())
    assert not descends_from(os.getpid(), child.pid)
    assert not descends_from(NOBODY, os.getpid())
    assert parent_of(NOBODY) is None


def test_a_group_counts_when_a_session_began_with_it(child: subprocess.Popen[bytes]) -> None:
    assert led_group(child.pid) == child.pid
    assert led_group(NOBODY) is None
    assert [life.pid for life in group_lives(child.pid)] == [child.pid]
    assert group_lives(NOBODY) == ()
    with subprocess.Popen(["/bin/sleep", "1000"], process_group=0) as other:
        assert led_group(other.pid) is None
        other.kill()


@pytest.mark.parametrize(
    ("command", "status"),
    [("exit 3", ExitStatus(code=3)), ("kill -9 $$", ExitStatus(signal=9))],
)
def test_a_zombie_tells_how_it_ended(command: str, status: ExitStatus) -> None:
    with subprocess.Popen(["/bin/sh", "-c", command]) as process:
        wait_zombie(process.pid)
        assert zombie_status(process.pid) == status
    assert zombie_status(process.pid) is None
    assert zombie_status(os.getpid()) is None


def test_children_are_found_by_when_they_began(child: subprocess.Popen[bytes]) -> None:
    life = life_of(child.pid)
    assert life is not None
    assert life in children_since(os.getpid(), life.started)
    assert children_since(os.getpid(), life.started + 1) == ()
    assert children_since(child.pid, 0) == ()


def test_a_zombie_has_fields_and_has_ended(child: subprocess.Popen[bytes]) -> None:
    assert is_member(child.pid, child.pid)
    assert not has_ended(child.pid)
    os.kill(child.pid, signal.SIGKILL)
    wait_zombie(child.pid)
    fields = stat_fields(child.pid)
    assert fields is not None
    assert fields[0] == "Z"
    assert has_ended(child.pid)
    assert not is_member(child.pid, child.pid)
    assert stat_fields(NOBODY) is None


def test_a_session_is_told_by_its_leader(child: subprocess.Popen[bytes]) -> None:
    assert led_session(child.pid) == life_of(child.pid)
    with subprocess.Popen(["/bin/sleep", "1000"], process_group=0) as other:
        assert led_session(other.pid) is None
        other.kill()
    assert led_session(NOBODY) is None
    child.kill()
    wait_zombie(child.pid)
    assert led_session(child.pid) is None


def test_the_start_is_known_until_the_reap(child: subprocess.Popen[bytes]) -> None:
    life = life_of(child.pid)
    assert life is not None
    assert child.pid in all_pids()
    child.kill()
    wait_zombie(child.pid)
    assert began_at(child.pid) == life.started
    child.wait()
    assert began_at(child.pid) is None
    assert child.pid not in all_pids()


def test_a_process_lives_on_when_its_first_thread_has_ended() -> None:
    with subprocess.Popen([sys.executable, CHILDREN / "first_thread_ends.py"]) as process:
        eventually(lambda: (stat_fields(process.pid) or "?")[0] == "Z", "the first thread ends")
        life = life_of(process.pid)
        assert life is not None
        assert is_alive(life)
        assert zombie_status(process.pid) is None
        process.kill()
        wait_zombie(process.pid)
        assert not is_alive(life)
        assert zombie_status(process.pid) == ExitStatus(signal=9)


def test_the_user_of_a_process_is_told() -> None:
    with subprocess.Popen(["/bin/sleep", "1000"], user=65534) as child:
        found = user_of(child.pid)
        child.kill()
    assert found == 65534
    assert user_of(os.getpid()) == os.getuid()
    assert user_of(2**22 + 1) is None

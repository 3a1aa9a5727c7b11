"""The reaper on real children: everyone is reaped, and each end reaches whom it concerns."""

import os
import signal
import subprocess
import sys

import anyio
import pytest
from tests.support.checks import eventually
from tests.support.processes import CHILDREN, SOURCES, plan_for

from virtsupd.core.exits import ExitStatus
from virtsupd.process.reaper import Reaper
from virtsupd.process.spawn import best_spawner

pytestmark = pytest.mark.process

DEADLINE_SECONDS = 10.0


class Ends:
    """Collects how children ended; `wait` returns once there are `count`."""

    def __init__(self) -> None:
        self.statuses: dict[int, ExitStatus] = {}
        self._news = anyio.Event()

    def __call__(self, pid: int, status: ExitStatus) -> None:
        self.statuses[pid] = status
        self._news.set()

    async def wait(self, count: int) -> None:
        with anyio.fail_after(DEADLINE_SECONDS):
            while len(self.statuses) < count:
                self._news = anyio.Event()
                await self._news.wait()


def start(code: str) -> int:
    return best_spawner().spawn(plan_for("/bin/sh", "-c", code)).pid


def ended(code: str) -> int:
    """Return a child that has ended and is not yet reaped."""
    pid = start(code)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    return pid


async def test_every_end_reaches_its_watcher() -> None:
    reaper, ends = Reaper(), Ends()
    async with reaper.running():
        started = {start(f"exit {number % 7}"): number % 7 for number in range(60)}
        for pid in started:
            reaper.watch(pid, lambda status, pid=pid: ends(pid, status))  # type: ignore[misc]  # a default binds the loop's value
        await ends.wait(60)
    assert {pid: status.code for pid, status in ends.statuses.items()} == started


async def test_a_signal_is_told_from_an_exit_code() -> None:
    reaper, ends = Reaper(), Ends()
    async with reaper.running():
        pid = start("kill -USR2 $$")
        reaper.watch(pid, lambda status: ends(pid, status))
        await ends.wait(1)
    assert ends.statuses[pid] == ExitStatus(signal=signal.SIGUSR2)


async def test_strangers_are_reaped() -> None:
    reaper = Reaper()
    async with reaper.running():
        unseen = start("exit 5")
        eventually(lambda: reaper.drain() or not _is_child(unseen), "the stranger is reaped")


async def test_a_watch_is_not_taken_over() -> None:
    reaper, ends = Reaper(), Ends()
    pid = ended("exit 7")
    reaper.watch(pid, lambda status: ends(pid, status))
    with pytest.raises(ValueError, match=f"process {pid} is watched already"):
        reaper.watch(pid, lambda _: pytest.fail("was refused"))
    reaper.drain()
    assert ends.statuses == {pid: ExitStatus(code=7)}
    assert not reaper.watches(pid)


async def test_children_that_ended_before_are_reaped_at_the_start() -> None:
    reaper, ends = Reaper(), Ends()
    pid = ended("exit 6")
    reaper.watch(pid, lambda status: ends(pid, status))
    async with reaper.running():
        assert ends.statuses == {pid: ExitStatus(code=6)}


async def test_a_callback_that_fails_keeps_nobody_from_being_reaped() -> None:
    reaper, ends = Reaper(), Ends()

    def fail(status: ExitStatus) -> None:
        raise ZeroDivisionError(str(status))

    first, second = ended("exit 1"), ended("exit 2")
    reaper.watch(first, fail)
    reaper.watch(second, lambda status: ends(second, status))
    assert reaper.drain() == 2
    assert ends.statuses == {second: ExitStatus(code=2)}


def test_a_forgotten_child_is_a_stranger() -> None:
    reaper = Reaper()
    pid = ended("exit 3")
    reaper.watch(pid, lambda _: pytest.fail("was forgotten"))
    reaper.forget(pid)
    assert reaper.drain() == 1
    assert not _is_child(pid)


def test_a_subreaper_inherits_and_reaps_orphans() -> None:
    ended = subprocess.run(
        [sys.executable, CHILDREN / "inherits_orphan.py"],
        env={**os.environ, "PYTHONPATH": str(SOURCES)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.stdout.split() == ["exited", "with", "code", "9"], ended.stderr


def _is_child(pid: int) -> bool:
    try:
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True

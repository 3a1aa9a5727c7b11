"""How processes end that are not our children."""

import asyncio
import ctypes
import os
import resource
import selectors
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
import pytest
from tests.support.elsewhere import Elsewhere, elsewhere
from tests.support.processes import CHILDREN, SOURCES

from virtsupd.core.exits import ExitStatus
from virtsupd.process.exit_watch import ExitWatch
from virtsupd.process.reaper import Reaper, become_subreaper

pytestmark = pytest.mark.process

NOBODY = 2**22 + 1
UNKNOWN = ExitStatus()
THREE = ExitStatus(code=3)
ENDINGS = pytest.mark.parametrize(
    ("code", "status"),
    [
        ("exit 0", ExitStatus(code=0)),
        ("exit 3", THREE),
        ("exit 137", ExitStatus(code=137)),
        ("kill -9 $$", ExitStatus(signal=9)),
        ("ulimit -c 0; kill -SEGV $$", ExitStatus(signal=11)),
    ],
)


def told_by_kernel(status: ExitStatus) -> ExitStatus:
    """Return what can be known of a process that somebody else has reaped."""
    release = tuple(int(number) for number in os.uname().release.split(".")[:2])
    return status if release >= (6, 15) else UNKNOWN


class Ends:
    """Collects what is told."""

    def __init__(self) -> None:
        self.statuses: list[ExitStatus] = []
        self._news = anyio.Event()

    def __call__(self, status: ExitStatus) -> None:
        self.statuses.append(status)
        self._news.set()

    async def only(self) -> ExitStatus:
        """Return the first status, and make sure that no other one follows at once."""
        with anyio.fail_after(10):
            await self._news.wait()
        await turns()
        [status] = self.statuses
        return status


async def turns() -> None:
    """Let everything happen that is due."""
    for _ in range(5):
        await anyio.lowlevel.checkpoint()


def watching(process: Elsewhere, ends: Ends) -> ExitWatch:
    return ExitWatch(process.pid, os.pidfd_open(process.pid), ends)


def watching_blindly(process: Elsewhere, ends: Ends, reap_seconds: float = 10) -> ExitWatch:
    """Watch a process of which /proc shows nothing."""
    return ExitWatch(NOBODY, os.pidfd_open(process.pid), ends, reap_seconds=reap_seconds)


def wait_ended(pid: int) -> None:
    """Return when a child of ours has ended; it stays unreaped."""
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)


@contextmanager
def as_subreaper() -> Iterator[None]:
    become_subreaper()
    try:
        yield
    finally:
        ctypes.CDLL(None).prctl(36, 0, 0, 0, 0)


@ENDINGS
async def test_the_end_is_known_before_its_parent_reaps_it(code: str, status: ExitStatus) -> None:
    ends = Ends()
    with elsewhere(code) as process:
        watch = watching(process, ends)
        await turns()
        assert ends.statuses == []
        process.go()
        assert await ends.only() == status
        assert watch.pidfd is None
        assert process.reap() == status


@ENDINGS
async def test_the_end_of_an_orphan_is_known(code: str, status: ExitStatus) -> None:
    ends = Ends()
    with elsewhere(code) as process:
        watching(process, ends)
        process.leave()
        assert await ends.only() in {status, told_by_kernel(status)}


@ENDINGS
async def test_the_end_is_known_after_the_reap(code: str, status: ExitStatus) -> None:
    ends = Ends()
    with elsewhere(code) as process:
        watching(process, ends)
        process.end_unreaped()  # the loop does not turn meanwhile
        process.reap()
        assert await ends.only() == told_by_kernel(status)


async def test_the_end_is_known_of_one_that_its_parent_does_not_wait_for() -> None:
    ends = Ends()
    with elsewhere("exit 3") as process:
        process.ignore()
        watching(process, ends)
        process.go()
        assert await ends.only() == told_by_kernel(THREE)


async def test_a_core_is_told(tmp_path: Path) -> None:
    ends = Ends()
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    with elsewhere(
        f"ulimit -c {hard if hard >= 0 else 'unlimited'}; kill -SEGV $$", tmp_path
    ) as process:
        watching(process, ends)
        process.go()
        status = await ends.only()
        assert status.signal == 11
        assert status == process.reap()


async def test_where_proc_shows_nothing_the_reap_is_waited_for() -> None:
    ends = Ends()
    with elsewhere("exit 3") as process:
        watching_blindly(process, ends)
        process.end_unreaped()
        await turns()
        if told_by_kernel(THREE) == THREE:
            assert ends.statuses == []
        process.reap()
        assert await ends.only() == told_by_kernel(THREE)


async def test_a_reap_that_does_not_come_is_not_waited_for_without_end() -> None:
    ends = Ends()
    with elsewhere("exit 3") as process:
        watching_blindly(process, ends, reap_seconds=0.05)
        process.go()
        assert await ends.only() == UNKNOWN
        process.reap()


class CountingSelector(selectors.EpollSelector):
    """Counts how often the loop was woken."""

    wakeups = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        found = super().select(timeout)
        self.wakeups += bool(found)
        return found


def test_waiting_for_the_reap_costs_nothing() -> None:
    selector, ends = CountingSelector(), Ends()

    async def wait() -> None:
        watching_blindly(process, ends, reap_seconds=0.3)
        process.end_unreaped()
        await ends.only()

    with (
        elsewhere("exit 3") as process,
        asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selector)) as runner,
    ):
        runner.run(wait())
        process.reap()
    assert ends.statuses == [UNKNOWN]
    assert selector.wakeups < 10


async def test_a_kernel_that_does_not_tell_is_not_waited_for() -> None:
    ends = Ends()
    reading, writing = os.pipe()
    os.write(writing, b"\n")
    ExitWatch(NOBODY, reading, ends, reap_seconds=1000)  # readable, and refuses to be asked: ENOTTY
    assert await ends.only() == UNKNOWN
    os.close(writing)


def test_a_status_that_is_hidden_from_us_is_not_taken_for_success() -> None:
    with elsewhere("exit 3") as process:
        pidfd = os.pidfd_open(process.pid)
        with subprocess.Popen(
            [sys.executable, CHILDREN / "watches_without_right.py", str(process.pid), str(pidfd)],
            env={**os.environ, "PYTHONPATH": str(SOURCES)},
            pass_fds=[pidfd],
            stdout=subprocess.PIPE,
            text=True,
        ) as watcher:
            os.close(pidfd)
            assert watcher.stdout
            assert watcher.stdout.readline() == "watching\n"
            process.go()
            said = watcher.stdout.readline()
            process.reap()
            said += watcher.stdout.read()
        assert sorted(said.splitlines()) == sorted(["seen", str(told_by_kernel(THREE))])


@pytest.mark.parametrize("is_reaped_first", [True, False])
async def test_the_end_of_one_that_became_our_child_is_told_once(*, is_reaped_first: bool) -> None:
    ends, reaper = Ends(), Reaper()
    with as_subreaper(), elsewhere("exit 3") as process:
        watch = watching(process, ends)
        reaper.watch(process.pid, watch.told)
        process.leave()
        if is_reaped_first:
            wait_ended(process.pid)
            reaper.drain()
            assert ends.statuses == [THREE]
        async with reaper.running():
            assert await ends.only() == THREE
    reaper.drain()
    assert ends.statuses == [THREE]


async def test_the_end_of_one_that_was_reaped_as_a_stranger_is_known() -> None:
    ends, reaper = Ends(), Reaper()
    with as_subreaper(), elsewhere("exit 3") as process:
        watching(process, ends)
        process.leave()
        wait_ended(process.pid)
        reaper.drain()
        assert await ends.only() == told_by_kernel(THREE)


@pytest.mark.parametrize("is_waiting", [True, False])
async def test_a_closed_watch_tells_nothing(*, is_waiting: bool) -> None:
    ends = Ends()
    with elsewhere("exit 3") as process:
        watch = watching_blindly(process, ends)
        if is_waiting:
            process.end_unreaped()
            await turns()
        watch.close()
        watch.close()
        assert watch.pidfd is None
        watch.told(THREE)
        if not is_waiting:
            process.go()
        process.reap()
        await turns()
    assert ends.statuses == []


def test_without_a_loop_the_descriptor_stays_the_callers() -> None:
    pidfd = os.pidfd_open(os.getpid())
    with pytest.raises(RuntimeError):
        ExitWatch(os.getpid(), pidfd, Ends())
    os.close(pidfd)

"""The reaper's book-keeping; real children are in tests/process/test_reaper.py."""

import os

import pytest

from virtsupd.core.exits import ExitStatus
from virtsupd.process.reaper import Reaper


def test_without_children_there_is_nothing_to_reap() -> None:
    assert Reaper().drain() == 0


def test_forgetting_whom_nobody_watched_is_allowed() -> None:
    reaper = Reaper()
    reaper.forget(1)
    reaper.watch(1, lambda _: None)
    reaper.forget(1)
    reaper.forget(1)


def test_a_process_has_one_watch() -> None:
    reaper = Reaper()
    reaper.watch(1, lambda _: None)
    assert reaper.watches(1)
    with pytest.raises(ValueError, match="watched already"):
        reaper.watch(1, lambda _: None)
    assert not reaper.watches(2)


async def test_running_ends_without_a_trace() -> None:
    async with Reaper().running():
        pass
    async with Reaper().running():
        pass


async def test_who_ended_before_may_be_left_until_somebody_watches() -> None:
    reaper, told = Reaper(), list[ExitStatus]()
    pid = os.posix_spawn("/bin/true", ["true"], {})  # noqa: ASYNC221 - it does not block
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)  # noqa: ASYNC222 - it ends at once
    async with reaper.running(begins_later=True):
        reaper.watch(pid, told.append)
        assert reaper.drain() == 1
    assert [status.code for status in told] == [0]

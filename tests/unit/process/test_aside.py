"""What blocks does not block the event loop, and has a deadline."""

import signal
import threading

import anyio
import anyio.lowlevel
import pytest

from virtsupd.process.aside import aside


async def test_the_result_comes_back() -> None:
    assert await aside(lambda: 3, 10) == 3


async def test_an_error_comes_back() -> None:
    def fail() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await aside(fail, 10)


async def test_the_loop_goes_on_meanwhile() -> None:
    release = threading.Event()
    found: list[bool] = []

    async def wait() -> None:
        found.append(await aside(lambda: release.wait(10), 10))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
        await anyio.lowlevel.checkpoint()
        assert found == []
        release.set()
    assert found == [True]


async def test_what_takes_too_long_is_left_alone() -> None:
    release, has_ended = threading.Event(), threading.Event()

    def wait() -> None:
        release.wait(10)
        has_ended.set()

    try:
        with pytest.raises(TimeoutError):
            await aside(wait, 0.01)
        assert await aside(lambda: True, 10)
    finally:
        release.set()
    assert has_ended.wait(10)


async def test_signals_are_left_to_the_main_thread() -> None:
    def blocked() -> set[int]:
        return {int(number) for number in signal.pthread_sigmask(signal.SIG_BLOCK, ())}

    assert {signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD} <= await aside(blocked, 10)

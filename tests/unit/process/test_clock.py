"""The machine's clocks."""

import asyncio
import time

from virtsupd.process.clock import SystemClock


async def test_both_clocks_are_read_and_the_monotonic_one_is_the_loops() -> None:
    before, wall = asyncio.get_running_loop().time(), time.time()
    now = SystemClock().now()
    assert before <= now.monotonic <= asyncio.get_running_loop().time()
    assert abs(now.wall - wall) < 60


async def test_sleep_lasts_as_long_as_asked_and_no_time_at_all_for_less_than_none() -> None:
    clock = SystemClock()
    start = clock.now().monotonic
    pause = 0.01
    await clock.sleep(pause)
    assert clock.now().monotonic - start >= pause
    await clock.sleep(-1)
    await clock.sleep(0)

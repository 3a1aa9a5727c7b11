"""Work that ends with a deadline, or with other work; what it raises is not wrapped."""

import anyio
import pytest
from tests.support.hand_clock import HandClock

from virtsupd.machine.deadline import ends_within, first_of


async def _nothing() -> None:
    return


async def _fails() -> None:
    raise ValueError("broken")


async def test_work_that_ends_in_time_has_ended() -> None:
    assert await ends_within(5, _nothing, HandClock())
    assert await ends_within(0, _nothing, HandClock())


async def test_work_is_cancelled_at_its_deadline() -> None:
    clock, results = HandClock(), list[bool]()

    async def wait() -> None:
        results.append(await ends_within(5, anyio.sleep_forever, clock))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
        await clock.pass_time(4.9)
        assert results == []
        await clock.pass_time(0.2)
    assert results == [False]


@pytest.mark.parametrize("seconds", [0, 5])
async def test_what_the_work_raises_comes_as_it_is(seconds: float) -> None:
    with pytest.raises(ValueError, match="broken"):
        await ends_within(seconds, _fails, HandClock())


async def test_the_first_that_ends_ends_the_others() -> None:
    await first_of(anyio.sleep_forever, _nothing)
    with pytest.raises(ValueError, match="broken"):
        await first_of(anyio.sleep_forever, _fails)

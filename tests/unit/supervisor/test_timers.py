"""The engine's timers on the event loop."""

import asyncio

import anyio

from virtsupd.core.effects import ArmTimer
from virtsupd.core.events import Fired, Timer
from virtsupd.core.names import Name
from virtsupd.supervisor.timers import Timers

WEB, APP = Name("web"), Name("app")


def armed(name: Name, at: float, generation: int = 1) -> ArmTimer:
    now = asyncio.get_running_loop().time()
    return ArmTimer(name, generation, Timer.BACKOFF, now + at)


async def next_of(found: list[Fired], count: int) -> None:
    with anyio.fail_after(10):
        while len(found) < count:
            await anyio.lowlevel.checkpoint()


async def test_a_timer_fires_once() -> None:
    found: list[Fired] = []
    timers = Timers(found.append)
    timers.arm(armed(WEB, 0.0))
    await next_of(found, 1)
    assert found == [Fired(WEB, 1, Timer.BACKOFF)]
    timers.cancel(WEB, Timer.BACKOFF)
    timers.cancel_all()


async def test_arming_again_replaces_and_cancelling_forgets() -> None:
    found: list[Fired] = []
    timers = Timers(found.append)
    timers.arm(armed(WEB, 0.0, generation=1))
    timers.arm(armed(WEB, 0.0, generation=2))
    timers.arm(armed(APP, 0.0))
    timers.cancel(APP, Timer.BACKOFF)
    timers.cancel(APP, Timer.BACKOFF)
    await next_of(found, 1)
    assert found == [Fired(WEB, 2, Timer.BACKOFF)]


async def test_cancelling_all_leaves_none() -> None:
    found: list[Fired] = []
    calls: list[int] = []
    timers = Timers(found.append)
    timers.arm(armed(WEB, 0.0))
    timers.arm(ArmTimer(APP, 1, Timer.STOP_DELAY, asyncio.get_running_loop().time()))
    timers.soon(lambda: calls.append(1))
    timers.cancel_all()
    done = anyio.Event()
    asyncio.get_running_loop().call_later(0.06, done.set)
    await done.wait()
    assert (found, calls) == ([], [])


async def test_soon_is_once_for_many() -> None:
    timers = Timers(lambda _: None)
    calls: list[int] = []
    done = anyio.Event()

    def note() -> None:
        calls.append(1)
        done.set()

    timers.soon(note)
    timers.soon(lambda: calls.append(2))
    with anyio.fail_after(10):
        await done.wait()
    assert calls == [1]
    again = anyio.Event()
    timers.soon(again.set)
    with anyio.fail_after(10):
        await again.wait()

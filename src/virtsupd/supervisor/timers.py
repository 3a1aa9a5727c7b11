"""The timers that the engine arms: nothing ticks, the event loop wakes when one is due."""

import asyncio
from collections.abc import Callable

from virtsupd.core.effects import ArmTimer
from virtsupd.core.events import Fired, Timer
from virtsupd.core.names import Name


class Timers:
    """One timer for each service and kind, on the running loop, whose clock is CLOCK_MONOTONIC."""

    def __init__(self, post: Callable[[Fired], None]) -> None:
        self._post = post
        self._loop = asyncio.get_running_loop()
        self._handles: dict[tuple[Name, Timer], asyncio.TimerHandle] = {}

    def arm(self, effect: ArmTimer) -> None:
        """Post `Fired` at the instant of the effect; replaces an armed timer of the same kind."""
        key = (effect.name, effect.timer)
        self.cancel(*key)
        event = Fired(effect.name, effect.generation, effect.timer)
        self._handles[key] = self._loop.call_at(effect.at, self._fire, key, event)

    def cancel(self, name: Name, timer: Timer) -> None:
        """Forget a timer, armed or not."""
        handle = self._handles.pop((name, timer), None)
        if handle is not None:
            handle.cancel()

    def cancel_all(self) -> None:
        """Forget every timer."""
        for handle in self._handles.values():
            handle.cancel()
        self._handles.clear()

    def _fire(self, key: tuple[Name, Timer], event: Fired) -> None:
        del self._handles[key]
        self._post(event)

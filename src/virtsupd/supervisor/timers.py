"""The timers that the engine arms: nothing ticks, the event loop wakes when one is due."""

import asyncio
from collections.abc import Callable
from typing import Protocol

from virtsupd.core.effects import ArmTimer
from virtsupd.core.events import Fired, Timer
from virtsupd.core.names import Name

_SOON_SECONDS = 0.05


class EngineTimers(Protocol):
    """One timer for each service and kind: a port, so that tests can own time."""

    def arm(self, effect: ArmTimer) -> None:
        """Post `Fired` at the instant of the effect; replaces an armed timer of the same kind."""
        ...

    def cancel(self, name: Name, timer: Timer) -> None:
        """Forget a timer, armed or not."""
        ...

    def cancel_all(self) -> None:
        """Forget every timer."""
        ...


class Timers:
    """One timer for each service and kind, on the running loop, whose clock is CLOCK_MONOTONIC."""

    def __init__(self, post: Callable[[Fired], None]) -> None:
        self._post = post
        self._loop = asyncio.get_running_loop()
        self._soon: asyncio.TimerHandle | None = None
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

    def soon(self, call: Callable[[], None]) -> None:
        """Call once, a twentieth of a second from now; a call that waits already is enough."""
        if self._soon is None or self._soon.cancelled() or self._soon.when() <= self._loop.time():
            self._soon = self._loop.call_later(_SOON_SECONDS, call)

    def cancel_all(self) -> None:
        """Forget every timer."""
        if self._soon is not None:
            self._soon.cancel()
        for handle in self._handles.values():
            handle.cancel()
        self._handles.clear()

    def _fire(self, key: tuple[Name, Timer], event: Fired) -> None:
        del self._handles[key]
        self._post(event)

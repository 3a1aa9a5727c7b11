"""Time as a port: whoever needs it is given a `Clock`, and tests move one by hand."""

import time
from typing import Protocol

import anyio

from virtsupd.core.events import Instant


class Clock(Protocol):
    """Tells the time and waits for it."""

    def now(self) -> Instant:
        """Return this moment on both clocks."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return once `seconds` of monotonic time have passed (at once if not positive)."""
        ...


class SystemClock:
    """The machine's clocks."""

    def now(self) -> Instant:
        """Return this moment."""
        return Instant(monotonic=time.monotonic(), wall=time.time())

    async def sleep(self, seconds: float) -> None:
        """Wait on the event loop."""
        await anyio.sleep(max(seconds, 0.0))

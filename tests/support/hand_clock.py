"""A clock that only a test moves."""

import anyio

from virtsupd.core.events import Instant


class HandClock:
    """Who sleeps wakes when `pass_time` has gone so far."""

    def __init__(self) -> None:
        self._at = 1000.0
        self._sleepers: list[tuple[float, anyio.Event]] = []

    def now(self) -> Instant:
        return Instant(self._at, self._at)

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await anyio.lowlevel.checkpoint()
            return
        sleeper = (self._at + seconds, anyio.Event())
        self._sleepers.append(sleeper)
        try:
            await sleeper[1].wait()
        finally:
            self._sleepers.remove(sleeper)

    async def pass_time(self, seconds: float) -> None:
        """Wake everybody whose time comes meanwhile, one after the other, each until he waits again."""
        end = self._at + seconds
        await anyio.wait_all_tasks_blocked()
        while due := [at for at, _ in self._sleepers if at <= end]:
            self._at = min(due)
            for at, woken in tuple(self._sleepers):
                if at <= self._at:
                    woken.set()
            await anyio.wait_all_tasks_blocked()
        self._at = end

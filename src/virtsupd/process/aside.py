"""Work that blocks, done beside the event loop: reading files of others, asking name servers."""

from collections.abc import Callable
from typing import TypeVar

import anyio
import anyio.to_thread

from virtsupd.process.signals import take_none_in_this_thread

Found = TypeVar("Found")


async def aside(work: Callable[[], Found], seconds: float) -> Found:
    """Do `work` in a thread and return what it returns, or raise what it raises.

    When cancelled, and when the time is over, the thread comes to its end by itself, for nobody.

    Raises:
        TimeoutError: it took longer.
    """

    def begin() -> Found:
        take_none_in_this_thread()
        return work()

    with anyio.fail_after(seconds):
        return await anyio.to_thread.run_sync(begin, abandon_on_cancel=True)

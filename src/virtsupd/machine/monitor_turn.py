"""The monitor of a machine that is for whoever asks, one after the other; virtsupd has another one for itself."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from virtsupd.machine.channel import turn_on
from virtsupd.machine.monitor import Monitor, MonitorError

_TURN_SECONDS = 10.0


@asynccontextmanager
async def monitor_turn(name: str, path: str) -> AsyncIterator[Monitor]:
    """Speak with a machine's monitor, once nobody else does.

    Raises:
        MonitorError: it does not run, is not for us to speak with, somebody else goes on for too long, or QEMU is stuck.
    """
    try:
        async with asyncio.timeout(_TURN_SECONDS):
            lock = await turn_on(path)
    except TimeoutError as error:
        text = f"somebody else has been speaking with its monitor for {_TURN_SECONDS:g} s"
        raise MonitorError(text) from error
    except FileNotFoundError as error:
        raise MonitorError(f"it is not running; virtsupctl start {name}") from error
    except OSError as error:
        raise MonitorError(f"{path}: {(error.strerror or str(error)).lower()}") from error
    try:
        monitor = await Monitor.connect(path)
        try:
            yield monitor
        finally:
            await monitor.close()
    finally:
        os.close(lock)

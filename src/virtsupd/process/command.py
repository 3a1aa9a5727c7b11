"""Short commands: run one, collect what it prints, never let it outlive its time."""

import os
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

import anyio

from virtsupd.core.exits import ExitStatus
from virtsupd.core.frozen import frozen
from virtsupd.core.spec import StopMode
from virtsupd.errors import SpawnError
from virtsupd.process.clock import Clock
from virtsupd.process.plan import Spawner, SpawnPlan
from virtsupd.process.reaper import Reaper
from virtsupd.process.stop import Remains, kill

TIED: Final = str(Path(__file__).with_name("tied.py"))
"""Runs a command that is to end with virtsupd; see there."""
_KILL_DEADLINE_SECONDS = 5.0
_READ_BYTES = 65536
_READS_PER_TURN = 16


@frozen
class CommandOutcome:
    """How a command ended and what it said."""

    status: ExitStatus
    output: bytes
    """The end of its standard output and error, as far as the limit allowed."""
    timed_out: bool


async def run_command(
    plan: SpawnPlan,
    *,
    spawner: Spawner,
    reaper: Reaper,
    timeout_seconds: float,
    clock: Clock,
    output_limit: int = 65536,
) -> CommandOutcome:
    """Run a command to its end. Its standard input is empty; descriptors from 3 on are the plan's.

    At the deadline (0: none) the command's whole process group gets KILL, likewise when this call is
    cancelled; it returns, or the cancellation goes on, after the command was reaped. The cgroup is
    not touched: it may be a service's. Output that a background process writes later is not awaited.

    Raises:
        SpawnError: the command could not be started.
    """
    pid, reading = _start(plan, spawner)
    run = _Run(pid, reading, output_limit)
    reaper.watch(pid, run.take_status)
    try:
        await run.finish(timeout_seconds, clock)
    finally:
        os.close(reading)
    return CommandOutcome(run.status, bytes(run.output), run.timed_out)


class _Run:
    """One command on its way."""

    def __init__(self, pid: int, reading: int, output_limit: int) -> None:
        self.status = ExitStatus()
        self.output = bytearray()
        self.timed_out = False
        self._pid = pid
        self._reading = reading
        self._limit = output_limit
        self._ended = anyio.Event()

    def take_status(self, status: ExitStatus) -> None:
        """Note how the command ended: the reaper's callback."""
        self.status = status
        self._ended.set()

    async def finish(self, timeout_seconds: float, clock: Clock) -> None:
        """Read until the command has ended; kill its group at the deadline or when cancelled."""
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._read)
                if timeout_seconds > 0:
                    tasks.start_soon(partial(self._expire, timeout_seconds, clock))
                await self._ended.wait()
                tasks.cancel_scope.cancel()
        finally:
            await self._end()
        self._read_available()

    async def _expire(self, seconds: float, clock: Clock) -> None:
        await clock.sleep(seconds)
        self.timed_out = True
        await self._end()
        self._ended.set()  # also for one that not even KILL ends: its status stays unknown

    async def _end(self) -> None:
        """Kill the group unless the command has ended, and wait until it was reaped."""
        if self._ended.is_set():
            return
        kill(Remains(self._pid, self._pid, None, StopMode.GROUP))
        with anyio.move_on_after(_KILL_DEADLINE_SECONDS, shield=True):
            await self._ended.wait()

    async def _read(self) -> None:
        while self._read_available():
            await anyio.wait_readable(self._reading)

    def _read_available(self) -> bool:
        """Take what is there, a megabyte at most in one turn; return whether more may come."""
        with suppress(BlockingIOError):
            for _ in range(_READS_PER_TURN):
                part = os.read(self._reading, _READ_BYTES)
                if not part:
                    return False
                self.output += part
                del self.output[: max(len(self.output) - self._limit, 0)]
        return True


def _start(plan: SpawnPlan, spawner: Spawner) -> tuple[int, int]:
    """Start the command with an empty input; return its pid and where its output is read."""
    reading, writing = os.pipe2(os.O_CLOEXEC)
    null = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
    descriptors = (null, writing, writing, *plan.descriptors[3:])
    try:
        os.set_blocking(reading, False)
        return spawner.spawn(replace(plan, descriptors=descriptors)).pid, reading
    except SpawnError:
        os.close(reading)
        raise
    finally:
        os.close(writing)
        os.close(null)

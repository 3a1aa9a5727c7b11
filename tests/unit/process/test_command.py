"""A command behind a spawner that is driven by hand; real ones are in tests/process/test_command.py."""

import os

import anyio
import pytest

from virtsupd.core.events import Instant
from virtsupd.core.exits import ExitStatus
from virtsupd.core.spec import LogSpec, ProcessSpec
from virtsupd.errors import SpawnError
from virtsupd.process.command import CommandOutcome, run_command
from virtsupd.process.plan import Child, SpawnPlan, plan_process
from virtsupd.process.reaper import Reaper

NOBODY = 2**22 - 1


class StillClock:
    """A clock on which no deadline ever comes."""

    def now(self) -> Instant:
        return Instant(0.0, 0.0)

    async def sleep(self, seconds: float) -> None:
        assert seconds > 0
        await anyio.sleep_forever()


class WritingSpawner:
    """Writes a text to the child's standard error instead of making one."""

    def __init__(self, text: bytes) -> None:
        self.text = text

    def spawn(self, plan: SpawnPlan) -> Child:
        if not self.text:
            raise SpawnError("exec", "cannot", is_permanent=True)
        os.write(plan.descriptors[2], self.text)
        return Child(NOBODY)


class EndingReaper(Reaper):
    """Reports that a child ended as soon as it is watched."""

    def watch(self, pid: int, on_exit: object) -> None:
        assert callable(on_exit)
        on_exit(ExitStatus(code=pid % 7))


async def outcome(text: bytes, limit: int = 100) -> CommandOutcome:
    plan = plan_process(
        ProcessSpec(("/bin/true",), LogSpec("")),
        extra_environment={},
        descriptors=(0, 1, 2),
        cgroup_fd=None,
    )
    return await run_command(
        plan,
        spawner=WritingSpawner(text),
        reaper=EndingReaper(),
        timeout_seconds=1.0,
        clock=StillClock(),
        output_limit=limit,
    )


async def test_what_was_written_before_the_end_is_not_lost() -> None:
    assert await outcome(b"last words") == CommandOutcome(
        ExitStatus(code=NOBODY % 7), b"last words", timed_out=False
    )


async def test_only_the_end_is_kept() -> None:
    assert (await outcome(b"last words", limit=5)).output == b"words"


async def test_a_failed_start_is_passed_on() -> None:
    with pytest.raises(SpawnError):
        await outcome(b"")

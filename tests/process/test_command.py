"""Short commands on real children."""

import os
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import anyio
import pytest
from tests.support.checks import eventually
from tests.support.processes import plan_for

from virtsupd.core.exits import ExitStatus
from virtsupd.errors import SpawnError
from virtsupd.process.clock import SystemClock
from virtsupd.process.command import CommandOutcome, run_command
from virtsupd.process.plan import SpawnPlan
from virtsupd.process.reaper import Reaper
from virtsupd.process.spawn import best_spawner

pytestmark = pytest.mark.process

Run = Callable[..., Awaitable[CommandOutcome]]


async def outcome(
    plan: SpawnPlan, *, timeout_seconds: float = 10.0, output_limit: int = 65536
) -> CommandOutcome:
    reaper = Reaper()
    async with reaper.running():
        return await run_command(
            plan,
            spawner=best_spawner(),
            reaper=reaper,
            timeout_seconds=timeout_seconds,
            clock=SystemClock(),
            output_limit=output_limit,
        )


def shell(code: str) -> SpawnPlan:
    return plan_for("/bin/sh", "-c", code)


async def test_output_of_both_kinds_and_the_status_come_back() -> None:
    ended = await outcome(shell("echo out; echo err >&2; exit 3"))
    assert ended == CommandOutcome(ExitStatus(code=3), b"out\nerr\n", timed_out=False)


async def test_the_input_is_empty() -> None:
    assert (await outcome(shell("cat; echo end"))).output == b"end\n"


async def test_the_end_of_a_flood_is_kept() -> None:
    ended = await outcome(shell("seq 1 200000"), output_limit=14)
    assert ended.output == b"199999\n200000\n"
    assert ended.status.code == 0


async def test_no_deadline_is_possible() -> None:
    assert (await outcome(shell("echo done"), timeout_seconds=0)).output == b"done\n"


async def test_at_the_deadline_the_whole_group_ends(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    code = f"trap '' TERM; sleep 1000 & echo $! >{note}; echo begun; wait; wait"
    ended = await outcome(shell(code), timeout_seconds=0.5)
    assert ended == CommandOutcome(ExitStatus(signal=9), b"begun\n", timed_out=True)
    eventually(lambda: is_over(int(note.read_text())), "the command's child ends")


async def test_a_cancelled_command_does_not_live_on(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(outcome, shell(f"echo $$ >{note}.new; mv {note}.new {note}; sleep 1000"))
        with anyio.fail_after(10):
            while not note.exists():
                await anyio.lowlevel.checkpoint()
        tasks.cancel_scope.cancel()
    with pytest.raises(ProcessLookupError):
        os.kill(int(note.read_text()), 0)


async def test_a_background_process_that_keeps_the_output_open_is_not_awaited(
    tmp_path: Path,
) -> None:
    note = tmp_path / "pid"
    with anyio.fail_after(10):
        ended = await outcome(shell(f"sleep 1000 & echo $! >{note}; echo done"))
    assert ended.output == b"done\n"
    os.kill(int(note.read_text()), 9)


async def test_a_command_that_cannot_start_leaves_no_descriptor() -> None:
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - a count
    with pytest.raises(SpawnError) as caught:
        await outcome(replace(shell("true"), executable="/nowhere/program"))
    assert caught.value.stage == "exec"
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208 - a count


def is_over(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except FileNotFoundError:
        return True

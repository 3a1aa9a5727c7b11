"""Ganeti's KVM instances at a shutdown: a real QEMU behind the files that Ganeti keeps."""

import contextlib
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import anyio
import pytest
from tests.support.checks import eventually

from virtsupd.core.shutdown_policy import GuestEnd, RunningGuest
from virtsupd.errors import GuestError
from virtsupd.services.ganeti_guests import GanetiGuests

pytestmark = pytest.mark.component

SECONDS = 10.0


async def no_command(command: Sequence[str], timeout_seconds: float) -> str:
    raise AssertionError((command, timeout_seconds))


@contextlib.contextmanager
def instance(directory: Path, name: str = "web.lab") -> Iterator["subprocess.Popen[bytes]"]:
    """Run a QEMU as Ganeti does, as far as its files tell: a machine that is off hears no power button."""
    for part in ("pid", "ctrl"):
        (directory / part).mkdir(exist_ok=True)
    socket = directory / "ctrl" / f"{name}.qmp"
    command = ["qemu-system-x86_64", "-M", "none", "-nodefaults", "-display", "none"]
    command += ["-name", f"{name},debug-threads=on", "-qmp", f"unix:{socket},server=on,wait=off"]
    qemu = subprocess.Popen(command)
    try:
        eventually(socket.exists, "its monitor")
        (directory / "pid" / name).write_text(f"{qemu.pid}\n")
        yield qemu
    finally:
        qemu.kill()
        qemu.wait(SECONDS)


async def test_instances_are_found_while_their_qemu_runs(tmp_path: Path) -> None:
    guests = GanetiGuests(None, tmp_path)
    assert await guests.running(no_command, ()) == []
    with instance(tmp_path):
        (tmp_path / "pid" / "stale.lab").write_text((tmp_path / "pid" / "web.lab").read_text())
        (tmp_path / "pid" / "odd.lab").write_text("no number")
        assert await guests.running(no_command, ()) == [RunningGuest("web.lab")]
    assert await guests.running(no_command, ()) == []


async def test_the_policy_of_the_host_may_not_fit_them(tmp_path: Path) -> None:
    with instance(tmp_path):
        guests = GanetiGuests(GuestEnd.SHUTDOWN, tmp_path)
        [found] = await guests.running(no_command, ())
        assert found.end is GuestEnd.SHUTDOWN
        with pytest.raises(GuestError, match="cannot save"):
            await guests.end("web.lab", GuestEnd.SAVE, no_command)


async def test_the_hard_way_ends_it_and_returns_when_it_has(tmp_path: Path) -> None:
    guests = GanetiGuests(None, tmp_path)
    with instance(tmp_path) as qemu:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(anyio.to_thread.run_sync, qemu.wait, SECONDS)
            with anyio.fail_after(SECONDS):
                await guests.end("web.lab", GuestEnd.KILL, no_command)
        assert qemu.returncode == 0, "it was asked by its monitor, and not signalled"
    await guests.end("web.lab", GuestEnd.KILL, no_command)


async def test_what_was_asked_stands_when_its_time_is_over(tmp_path: Path) -> None:
    guests = GanetiGuests(None, tmp_path)
    with instance(tmp_path) as qemu:
        with anyio.move_on_after(0.5) as time:
            await guests.end("web.lab", GuestEnd.SHUTDOWN, no_command)
        assert time.cancelled_caught
        assert qemu.poll() is None
        assert [found.name for found in await guests.running(no_command, ())] == ["web.lab"]


async def test_a_monitor_that_nobody_answers_is_told(tmp_path: Path) -> None:
    with instance(tmp_path):
        (tmp_path / "ctrl" / "web.lab.qmp").unlink()
        with pytest.raises(GuestError, match=r"web\.lab\.qmp"):
            await GanetiGuests(None, tmp_path).end("web.lab", GuestEnd.SHUTDOWN, no_command)

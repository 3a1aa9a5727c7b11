"""QEMU's monitor, with a real QEMU that has no machine."""

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest
from tests.support.checks import eventually

from virtsupd.machine.monitor import Monitor, MonitorError

pytestmark = pytest.mark.component

SECONDS = 10.0


@contextlib.contextmanager
def qemu(directory: Path) -> Iterator[Path]:
    socket = directory / "qmp"
    command = ["qemu-system-x86_64", "-M", "none", "-nodefaults", "-display", "none"]
    process = subprocess.Popen([*command, "-qmp", f"unix:{socket},server=on,wait=off"])
    try:
        eventually(socket.exists, "its monitor")
        yield socket
    finally:
        process.terminate()
        process.wait(SECONDS)


async def test_it_takes_commands_and_says_what_is_wrong_with_them(tmp_path: Path) -> None:
    with qemu(tmp_path) as socket:
        monitor = await Monitor.connect(str(socket))
        status = await monitor.execute("query-status")
        assert isinstance(status, dict)
        assert status["running"] is True
        with pytest.raises(MonitorError, match=r"nonsense: .*not been found"):
            await monitor.execute("nonsense", {"a": 1})
        await monitor.close()


async def test_the_last_event_comes_before_the_end(tmp_path: Path) -> None:
    with qemu(tmp_path) as socket:
        monitor = await Monitor.connect(str(socket))
        await monitor.execute("quit")
        with anyio.fail_after(SECONDS):
            name, facts = await monitor.next_event() or ("", {})
            assert (name, facts["reason"]) == ("SHUTDOWN", "host-qmp-quit")
            assert await monitor.next_event() is None
        await monitor.close()
        await monitor.close()


async def test_an_end_is_noticed_that_came_while_nobody_listened(tmp_path: Path) -> None:
    with qemu(tmp_path) as socket:
        monitor = await Monitor.connect(str(socket))
        await monitor.execute("quit")
        with anyio.fail_after(SECONDS):
            name, _ = await monitor.next_event() or ("", {})
            eventually(lambda: not socket.exists(), "the end of QEMU, which removes its socket")
            for _ in range(100):
                await anyio.lowlevel.checkpoint()
            assert (name, await monitor.next_event()) == ("SHUTDOWN", None)
        await monitor.close()


async def test_a_second_client_is_told_that_there_is_one(tmp_path: Path) -> None:
    with qemu(tmp_path) as socket:
        first = await Monitor.connect(str(socket))
        with pytest.raises(MonitorError, match="another client is connected"):
            await Monitor.connect(str(socket), timeout_seconds=0.2)
        await first.close()
        second = await Monitor.connect(str(socket))
        await second.close()


async def test_nobody_listens(tmp_path: Path) -> None:
    with pytest.raises(MonitorError, match="qmp: No such file"):
        await Monitor.connect(str(tmp_path / "qmp"))


async def test_a_wait_for_events_may_be_cancelled(tmp_path: Path) -> None:
    with qemu(tmp_path) as socket:
        monitor = await Monitor.connect(str(socket))
        with anyio.move_on_after(0.05):
            while True:
                await monitor.next_event()
        assert isinstance(await monitor.execute("query-name"), dict)
        await monitor.close()

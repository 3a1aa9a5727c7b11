import asyncio
import json
from pathlib import Path

import pytest

from virtsupd.machine.channel import ChannelTakenError, turn_now
from virtsupd.machine.monitor import MonitorError
from virtsupd.machine.monitor_turn import monitor_turn

left = asyncio.Event()


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Be a monitor that answers everything with nothing."""
    version = {"qemu": {"major": 7, "minor": 2, "micro": 0}, "package": ""}
    writer.write(json.dumps({"QMP": {"version": version, "capabilities": []}}).encode() + b"\n")
    while request := await reader.read(4096):  # no line ends it, and one comes at a time
        asked = json.loads(request)
        answer = {"return": {}} | {key: asked[key] for key in asked if key == "id"}
        writer.write(json.dumps(answer).encode() + b"\n")
    writer.close()
    await writer.wait_closed()
    left.set()


async def test_whoever_speaks_has_the_turn_until_he_is_done(tmp_path: Path) -> None:
    path = tmp_path / "monitor"
    server = await asyncio.start_unix_server(serve, path)
    async with monitor_turn("m", str(path)) as monitor:
        assert await monitor.execute("query-status") == {}
        with pytest.raises(ChannelTakenError):
            turn_now(str(path))
    await left.wait()
    left.clear()
    async with monitor_turn("m", str(path)) as monitor:
        assert await monitor.execute("query-status") == {}
    await left.wait()
    server.close()
    await server.wait_closed()


async def test_without_a_machine_it_says_what_to_type(tmp_path: Path) -> None:
    with pytest.raises(MonitorError, match="it is not running; virtsupctl start m"):
        async with monitor_turn("m", str(tmp_path / "gone/monitor")):
            raise AssertionError("nobody is there")

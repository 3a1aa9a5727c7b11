"""Speaking with a guest agent: marks, stale answers, nonsense, and one at a time."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from virtsupd.machine.agent import AgentError, GuestAgent

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
SHORT = 0.4


@asynccontextmanager
async def channel(path: Path, talk: Talk) -> AsyncIterator[str]:
    """Run what is at the guest's end of a channel."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await talk(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_unix_server(serve, path / "agent")
    try:
        yield str(path / "agent")
    finally:
        server.close()
        await server.wait_closed()


async def request(reader: asyncio.StreamReader) -> dict[str, object]:
    line = await reader.readuntil(b"\n")
    found: dict[str, object] = json.loads(line.lstrip(b"\xff"))
    return found


async def sync(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    asked = await request(reader)
    assert asked["execute"] == "guest-sync-delimited"
    arguments = asked["arguments"]
    assert isinstance(arguments, dict)
    writer.write(b"\xff" + json.dumps({"return": arguments["id"]}).encode() + b"\n")


def answers(*lines: bytes, before: bytes = b"") -> Talk:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(before)
        await sync(reader, writer)
        for line in lines:
            await request(reader)
            writer.write(line + b"\n")
        await reader.read()

    return talk


async def test_what_it_returns_and_what_it_refuses(tmp_path: Path) -> None:
    refusal = b'{"error": {"class": "CommandNotFound", "desc": "no such thing"}}'
    async with channel(tmp_path, answers(b'{"return": {"host-name": "web"}}', refusal)) as path:
        agent = await GuestAgent.open(path)
        assert await agent.execute("guest-get-host-name") == {"host-name": "web"}
        with pytest.raises(AgentError, match="nonsense: no such thing") as caught:
            await agent.execute("nonsense", {"a": 1})
        assert caught.value.kind == "CommandNotFound"
        await agent.close()


@pytest.mark.parametrize(
    "before",
    [b'{"return": {}}\n', b'\xff{"return": 1}\n', b"\xffnonsense\n", b"\xff[1]\n", b"noise"],
)
async def test_what_nobody_took_is_not_taken_for_an_answer(tmp_path: Path, before: bytes) -> None:
    async with channel(tmp_path, answers(b'{"return": 42}', before=before)) as path:
        agent = await GuestAgent.open(path)
        assert await agent.execute("guest-answer") == 42
        await agent.close()


async def test_a_guest_without_an_agent_is_waited_for_no_longer_than_that(tmp_path: Path) -> None:
    async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()

    async with channel(tmp_path, silent) as path:
        with pytest.raises(AgentError, match=r"no answer within 0\.4 s"):
            await GuestAgent.open(path, timeout_seconds=SHORT)


async def test_an_answer_that_does_not_come_ends_the_wait(tmp_path: Path) -> None:
    async def half(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await sync(reader, writer)
        await reader.read()

    async with channel(tmp_path, half) as path:
        agent = await GuestAgent.open(path)
        with pytest.raises(AgentError, match="no answer to guest-ping"):
            await agent.execute("guest-ping", timeout_seconds=0.1)
        await agent.close()


@pytest.mark.parametrize(("line", "said"), [(b"nonsense", "no JSON"), (b"[]", "no object")])
async def test_nonsense_is_no_answer(tmp_path: Path, line: bytes, said: str) -> None:
    async with channel(tmp_path, answers(line)) as path:
        agent = await GuestAgent.open(path)
        with pytest.raises(AgentError, match=said):
            await agent.execute("guest-ping")
        await agent.close()


async def test_a_machine_that_ends_meanwhile_is_told(tmp_path: Path) -> None:
    async def goes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await sync(reader, writer)
        await request(reader)

    async with channel(tmp_path, goes) as path:
        agent = await GuestAgent.open(path)
        with pytest.raises(AgentError, match=r"the machine has ended|reset"):
            await agent.execute("guest-ping")
        await agent.close()


async def test_two_do_not_speak_at_once(tmp_path: Path) -> None:
    async with channel(tmp_path, answers()) as path:
        first = await GuestAgent.open(path)
        with pytest.raises(AgentError, match=r"somebody else speaks with it within 0\.4 s"):
            await GuestAgent.open(path, timeout_seconds=SHORT)
        await first.close()
        second = await GuestAgent.open(path)
        await second.close()


async def test_an_answer_that_is_nested_without_end_is_no_defect_of_ours(tmp_path: Path) -> None:
    deep = b'{"return": ' + b"[" * 200_000
    async with channel(tmp_path, answers(deep)) as path:
        agent = await GuestAgent.open(path)
        with pytest.raises(AgentError, match="no JSON"):
            await agent.execute("guest-ping")
        await agent.close()


async def test_a_flood_of_marks_holds_up_nobody_and_costs_no_more_than_its_time(
    tmp_path: Path,
) -> None:
    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(b"\xff\n" * 10_000)
            await writer.drain()

    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async with channel(tmp_path, flood) as path:
        counting = asyncio.create_task(count())
        with pytest.raises(AgentError, match="no answer"):
            await GuestAgent.open(path, timeout_seconds=SHORT)
        counting.cancel()
    assert turns > 100

"""A command that an agent runs, with an agent that answers from a list; the real one is asked in tests/component."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from virtsupd.machine.agent import AgentError
from virtsupd.machine.agent_exec import StillRunningError, run_in_guest


@asynccontextmanager
async def agent(path: Path, *answers: object) -> AsyncIterator[tuple[str, list[dict[str, object]]]]:
    """Answer commands with these in order, the last one again and again; yield the socket and what was asked."""
    asked: list[dict[str, object]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            request = json.loads(line.lstrip(b"\xff"))
            if request["execute"] == "guest-sync-delimited":
                writer.write(b"\xff" + json.dumps({"return": request["arguments"]["id"]}).encode())
            else:
                writer.write(
                    json.dumps({"return": answers[min(len(asked), len(answers) - 1)]}).encode()
                )
                asked.append(request)
            writer.write(b"\n")
        writer.close()

    server = await asyncio.start_unix_server(serve, path / "agent")
    try:
        yield str(path / "agent"), asked
    finally:
        server.close()
        await server.wait_closed()


async def test_what_it_wrote_and_how_it_ended_is_passed_on(tmp_path: Path) -> None:
    done = {"exited": True, "exitcode": 42, "out-data": base64.b64encode(b"\x00out").decode()}
    async with agent(tmp_path, {"pid": 7}, {"exited": False}, done) as (path, asked):
        outcome = await run_in_guest(path, ["cat", "-n"], given=b"in")
    assert (outcome.code, outcome.output, outcome.errors) == (42, b"\x00out", b"")
    assert not outcome.is_cut
    assert asked[0]["arguments"] == {
        "path": "cat",
        "arg": ["-n"],
        "capture-output": True,
        "input-data": base64.b64encode(b"in").decode(),
    }
    assert [each["arguments"] for each in asked[1:]] == [{"pid": 7}, {"pid": 7}]


async def test_a_signal_is_told_as_a_shell_does_and_what_was_cut_is_known(tmp_path: Path) -> None:
    done = {"exited": True, "signal": 9, "err-truncated": True}
    async with agent(tmp_path, {"pid": 7}, done) as (path, _):
        outcome = await run_in_guest(path, ["x"])
    assert (outcome.code, outcome.is_cut) == (137, True)


async def test_what_goes_on_is_named(tmp_path: Path) -> None:
    async with agent(tmp_path, {"pid": 7}, {"exited": False}) as (path, _):
        with pytest.raises(StillRunningError, match="runs on in the guest as pid 7"):
            await run_in_guest(path, ["sleep", "9"], timeout_seconds=0.05)


@pytest.mark.parametrize(
    "answers", [(None,), ({"pid": "7"},), ({"pid": 7}, {"exited": True, "out-data": "?"})]
)
async def test_an_answer_that_makes_no_sense_is_an_error(
    tmp_path: Path, answers: tuple[object, ...]
) -> None:
    async with agent(tmp_path, *answers) as (path, _):
        with pytest.raises(AgentError):
            await run_in_guest(path, ["x"])

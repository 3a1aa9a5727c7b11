"""A command that a guest's agent runs (guest-exec), to its end."""

import asyncio
import base64
import time
from collections.abc import Mapping, Sequence

from virtsupd.core.frozen import frozen
from virtsupd.machine.agent import AgentError, GuestAgent

_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.02, 1.0


class StillRunningError(AgentError):
    """Its time is over, and the command goes on in the guest."""

    def __init__(self, pid: int, seconds: float) -> None:
        """Name its process in the guest."""
        super().__init__(f"not done within {seconds:g} s; it runs on in the guest as pid {pid}")


@frozen
class Outcome:
    """How the command ended."""

    code: int
    """As a shell has it: 128 and the number for a signal."""
    output: bytes
    errors: bytes
    is_cut: bool
    """The agent keeps 16 MiB of each (QEMU 7.2), and there was more."""


async def run_in_guest(
    path: str,
    command: Sequence[str],
    *,
    given: bytes | None = None,
    timeout_seconds: float | None = None,
) -> Outcome:
    """Run a command in the guest behind an agent's socket; between two looks others may speak with it.

    Raises:
        AgentError: nobody answers, or the agent cannot run it.
        StillRunningError: it is not done in time.
    """
    arguments: dict[str, object] = {
        "path": command[0],
        "arg": list(command[1:]),
        "capture-output": True,
    }
    if given is not None:
        arguments["input-data"] = base64.b64encode(given).decode()
    began = await ask_agent(path, "guest-exec", arguments)
    pid = began.get("pid") if isinstance(began, Mapping) else None
    if not isinstance(pid, int):
        raise AgentError(f"guest-exec has answered {began!r}")
    end = None if timeout_seconds is None else time.monotonic() + timeout_seconds
    pause = _FIRST_PAUSE_SECONDS
    while True:
        found = await ask_agent(path, "guest-exec-status", {"pid": pid})
        if isinstance(found, Mapping) and found.get("exited"):
            return _outcome(found)
        if end is not None and time.monotonic() >= end:
            raise StillRunningError(pid, timeout_seconds or 0.0)
        await asyncio.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)


async def ask_agent(
    path: str, command: str, arguments: Mapping[str, object] | None = None
) -> object:
    """Return what an agent answers to one command.

    Raises:
        AgentError: nobody answers, or it refuses.
    """
    agent = await GuestAgent.open(path)
    try:
        return await agent.execute(command, arguments)
    finally:
        await agent.close()


def _outcome(found: Mapping[str, object]) -> Outcome:
    code, signal = found.get("exitcode"), found.get("signal")
    return Outcome(
        code=128 + signal if isinstance(signal, int) else code if isinstance(code, int) else 1,
        output=_decoded(found.get("out-data")),
        errors=_decoded(found.get("err-data")),
        is_cut=bool(found.get("out-truncated") or found.get("err-truncated")),
    )


def _decoded(text: object) -> bytes:
    try:
        return base64.b64decode(text, validate=True) if isinstance(text, str) else b""
    except ValueError as error:
        raise AgentError("the output of the command is damaged") from error

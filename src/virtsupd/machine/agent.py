"""A guest's agent, spoken with over the socket of its channel (QEMU's qemu-ga, qapi-schema.json).

Bytes that were sent before the agent ran may lie in the channel, and answers that nobody took may
come out of it. So every conversation begins with a mark that the agent sends back (guest-sync-delimited).
What a guest says is not trusted: it may send without end, or nonsense.
"""

import asyncio
import itertools
import json
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Final, Self

from virtsupd.errors import VirtsupdError
from virtsupd.machine.channel import turn_on
from virtsupd.machine.peer import connected

_MARK: Final = b"\xff"
LONGEST_BYTES: Final = 32 * 1024 * 1024
"""An answer: the output of a command that the agent ran is at most 16 MiB, in base64 (QEMU 7.2)."""
SHORT_BYTES: Final = 256 * 1024
"""What is enough for all that virtsupd itself asks; a guest may send without end."""
_TRY_SECONDS = 0.3
_ids = itertools.count(time.monotonic_ns() & 0x7FFFFFFF)


class AgentError(VirtsupdError):
    """An agent did not answer, or refused what it was asked; the message says which."""

    code = "agent"

    def __init__(self, message: str, kind: str = "") -> None:
        """Take what happened, and the class of error that the agent named."""
        super().__init__(message)
        self.kind = kind


class GuestAgent:
    """One conversation; QEMU serves one at a time, so that whoever has one holds a lock."""

    def __init__(
        self, streams: tuple[asyncio.StreamReader, asyncio.StreamWriter], lock: int
    ) -> None:
        self._reader, self._writer = streams
        self._lock = lock

    @classmethod
    async def open(
        cls,
        path: str,
        *,
        timeout_seconds: float = 5.0,
        longest_bytes: int = LONGEST_BYTES,
    ) -> Self:
        """Begin a conversation through the socket at a path, once nobody else has one and the agent answers.

        No answer may be longer than `longest_bytes`.

        Raises:
            AgentError: somebody else has one, QEMU is not there, or no agent answers in time.
        """
        agent: Self | None = None
        lock = -1
        try:
            async with asyncio.timeout(timeout_seconds):
                lock = await turn_on(path)
                peer = await connected(path)
                streams = await asyncio.open_unix_connection(sock=peer, limit=longest_bytes)
                agent = cls(streams, lock)
                await agent._sync()
        except TimeoutError as error:
            what = "no answer" if agent is not None else "somebody else speaks with it"
            await _give_back(agent, lock)
            raise AgentError(f"{what} within {timeout_seconds:g} s") from error
        except OSError as error:
            await _give_back(agent, lock)
            raise AgentError(f"{path}: {(error.strerror or str(error)).lower()}") from error
        except BaseException:
            await _give_back(agent, lock)
            raise
        return agent

    async def execute(
        self,
        command: str,
        arguments: Mapping[str, object] | None = None,
        *,
        timeout_seconds: float = 10.0,
    ) -> object:
        """Run one of the agent's commands and return what it returns.

        Raises:
            AgentError: it refused, or did not answer in time; the conversation is of no use then.
        """
        try:
            async with asyncio.timeout(timeout_seconds):
                await self.send(command, arguments)
                answer = _parsed(await self._line())
        except TimeoutError as error:
            raise AgentError(f"no answer to {command} within {timeout_seconds:g} s") from error
        except OSError as error:
            raise AgentError(f"{command}: {(error.strerror or str(error)).lower()}") from error
        failure = answer.get("error")
        if isinstance(failure, Mapping):
            kind = str(failure.get("class"))
            raise AgentError(f"{command}: {failure.get('desc')}", kind)
        return answer.get("return")

    async def send(self, command: str, arguments: Mapping[str, object] | None = None) -> None:
        """Send a command whose answer is not waited for, such as one that ends the guest.

        Raises:
            OSError: QEMU is gone.
        """
        request: dict[str, object] = {"execute": command}
        if arguments is not None:
            request["arguments"] = dict(arguments)
        self._writer.write(json.dumps(request).encode() + b"\n")
        await self._writer.drain()

    async def close(self) -> None:
        """End the conversation; never raises."""
        await _give_back(self, self._lock)

    async def _sync(self) -> None:
        """Return once the agent has sent back a mark of ours."""
        while True:
            number = next(_ids)
            self._writer.write(_MARK)
            await self.send("guest-sync-delimited", {"id": number})
            with suppress(TimeoutError):
                async with asyncio.timeout(_TRY_SECONDS):
                    # One that was sent before may come first. Who has much to say holds up nobody else.
                    while await self._marked() != number:  # noqa: ASYNC110
                        await asyncio.sleep(0)
                    return

    async def _marked(self) -> object:
        """Return what comes after the next mark; None for nonsense."""
        try:
            await self._reader.readuntil(_MARK)
            return _parsed(await self._line()).get("return")
        except asyncio.LimitOverrunError as error:
            await self._reader.readexactly(error.consumed)
            return None
        except AgentError:
            return None

    async def _line(self) -> bytes:
        try:
            return await self._reader.readuntil(b"\n")
        except asyncio.LimitOverrunError as error:
            await self._reader.readexactly(error.consumed)
            raise AgentError("an answer that is too long") from error
        except asyncio.IncompleteReadError as error:
            raise ConnectionResetError(None, "the machine has ended") from error

    async def _end(self) -> None:
        self._writer.close()
        with suppress(OSError):
            await self._writer.wait_closed()


def _parsed(line: bytes) -> Mapping[str, object]:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise AgentError(f"its answer is no JSON: {line[:40]!r}") from error
    if not isinstance(found, dict):
        raise AgentError(f"its answer is no object: {line[:40]!r}")
    return found


async def _give_back(agent: GuestAgent | None, lock: int) -> None:
    if agent is not None:
        await agent._end()  # noqa: SLF001 - of this module
    if lock >= 0:
        os.close(lock)

"""A control server of one test, and clients that speak to it byte by byte."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
from anyio.abc import ByteStream
from tests.support.hand_backend import HandBackend

from virtsupd.config.settings import AccessSettings
from virtsupd.control.connection import Limits
from virtsupd.control.server import ControlServer
from virtsupd.process.clock import SystemClock

DEADLINE_SECONDS = 10.0


@asynccontextmanager
async def running_server(
    backend: HandBackend,
    path: Path,
    *,
    access: AccessSettings | None = None,
    limits: Limits | None = None,
    herd_path: Path | None = None,
) -> AsyncIterator[ControlServer]:
    """Serve at `path` until the block ends."""
    server = ControlServer(access or AccessSettings(), clock=SystemClock(), limits=limits)
    try:
        server.listen(path)
        if herd_path is not None:
            server.listen(herd_path, is_herd_only=True)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(server.serve, backend)
            yield server
            tasks.cancel_scope.cancel()
    finally:
        server.close()


@dataclass
class Caller:
    """A Varlink client that the test drives message by message."""

    stream: ByteStream
    pending: bytes = b""

    async def send(self, method: str, parameters: object = None, **flags: bool) -> None:
        """Send one call; a bare name is one of virtsupd's own methods."""
        name = method if "." in method else f"org.virtsupd.Supervisor.{method}"
        await self.send_bytes(
            json.dumps({"method": name, "parameters": parameters or {}, **flags}).encode() + b"\0"
        )

    async def send_bytes(self, content: bytes) -> None:
        """Send what may be no call at all."""
        with anyio.fail_after(DEADLINE_SECONDS):
            await self.stream.send(content)

    async def receive(self) -> dict[str, Any]:
        """Return the next reply."""
        with anyio.fail_after(DEADLINE_SECONDS):
            while b"\0" not in self.pending:
                self.pending += await self.stream.receive()
        message, _, self.pending = self.pending.partition(b"\0")
        found: dict[str, Any] = json.loads(message)
        return found

    async def call(self, method: str, parameters: object = None, **flags: bool) -> dict[str, Any]:
        """Send one call and return its first reply."""
        await self.send(method, parameters, **flags)
        return await self.receive()

    async def is_cut(self) -> bool:
        """Wait for the server to end the connection; whatever it sends before is dropped."""
        with anyio.fail_after(DEADLINE_SECONDS):
            try:
                while True:
                    await self.stream.receive()
            except (anyio.EndOfStream, anyio.BrokenResourceError):
                return True


@asynccontextmanager
async def connected(path: Path) -> AsyncIterator[Caller]:
    """Connect a client for the block."""
    async with await anyio.connect_unix(path) as stream:
        yield Caller(stream)


async def until(fact: Any) -> None:
    """Let the loop run until `fact()` is true."""
    with anyio.fail_after(DEADLINE_SECONDS):
        while not fact():
            await anyio.lowlevel.checkpoint()

"""A readiness wait under way, and the small servers that it meets."""

import asyncio
import os
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import anyio

from virtsupd.core.names import Name
from virtsupd.core.spec import Probe
from virtsupd.process.clock import SystemClock
from virtsupd.process.readiness import ProbeContext, wait_ready

CHILDREN = Path(__file__).resolve().parents[1] / "children"
DEADLINE_SECONDS = 10.0


def context(**facts: Any) -> ProbeContext:
    """Return a context of a service "web" with the machine's clock and these facts."""
    return ProbeContext(name=Name("web"), clock=SystemClock(), **facts)


class Waiting:
    """A `wait_ready` in a task of its own."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.pid: int | None = None
        self.noted = anyio.Event()
        self.done = anyio.Event()

    async def run(self, probe: Probe, facts: dict[str, Any]) -> None:
        self.pid = await wait_ready(probe, context(note=self.note, **facts))
        self.done.set()

    def note(self, reason: str) -> None:
        self.notes.append(reason)
        self.noted.set()

    async def next_note(self) -> str:
        """Return the next reason given from now on."""
        self.noted = anyio.Event()
        await self.noted.wait()
        return self.notes[-1]


@asynccontextmanager
async def waiting(probe: Probe, **facts: Any) -> AsyncIterator[Waiting]:
    """Wait for readiness beside the body, which begins once it is not ready and ends when it is."""
    wait = Waiting()
    with anyio.fail_after(DEADLINE_SECONDS):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait.run, probe, facts)
            await wait.noted.wait()
            yield wait
            await wait.done.wait()


@contextmanager
def child(script: str, *arguments: str | Path) -> Iterator[subprocess.Popen[str]]:
    """Run a script of tests/children; its stdin and stdout are ours. Ended and reaped at the end."""
    with subprocess.Popen(
        [sys.executable, str(CHILDREN / script), *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def tell(process: "subprocess.Popen[str]", line: str) -> None:
    """Write a line to a child."""
    assert process.stdin is not None
    process.stdin.write(line + "\n")
    process.stdin.flush()


def hear(process: "subprocess.Popen[str]") -> str:
    """Return the next line of a child."""
    assert process.stdout is not None
    return process.stdout.readline().rstrip("\n")


@asynccontextmanager
async def server(*answers: bytes | None) -> AsyncIterator[int]:
    """Serve on a port of 127.0.0.1: the n-th connection gets the n-th answer, the last one for ever.

    An empty answer closes at once, None is silence. The port is yielded.
    """
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_serve, listener, answers)
        try:
            yield listener.getsockname()[1]
        finally:
            tasks.cancel_scope.cancel()


async def _serve(listener: socket.socket, answers: tuple[bytes | None, ...]) -> None:
    held: list[socket.socket] = []
    try:
        for number in range(1000):
            peer, _ = await asyncio.get_running_loop().sock_accept(listener)
            held.append(peer)
            answer = answers[min(number, len(answers) - 1)]
            if answer is not None:
                await asyncio.get_running_loop().sock_sendall(peer, answer)
                peer.shutdown(socket.SHUT_WR)
    finally:
        for open_socket in (listener, *held):
            open_socket.close()


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that nobody holds now."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def is_me(pid: int) -> bool:
    """Say that only the test's own process belongs to the service."""
    return pid == os.getpid()


def join_threads() -> None:
    """Wait until the threads that a probe left to end (a close, a look-up) have ended."""
    for thread in threading.enumerate():
        if thread is not threading.main_thread():
            thread.join(1.0)

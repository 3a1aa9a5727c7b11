"""virtsupd's end of a libvirt link: starts its process, asks, hears news, and starts it again."""

import asyncio
import itertools
import os
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal, cast

import anyio
import structlog

from virtsupd.core.exits import ExitStatus
from virtsupd.core.spec import LogSpec, ProcessSpec, StopMode
from virtsupd.errors import SpawnError
from virtsupd.libvirtlink.messages import BadLineError, checked, line, parsed
from virtsupd.process.domains import DomainError, DomainNews, DomainState, Kind
from virtsupd.process.environment import DEFAULT_PATH
from virtsupd.process.keeper_link import ChildWatcher
from virtsupd.process.plan import Spawner, plan_process
from virtsupd.process.stop import Remains, kill

log = structlog.get_logger()

_READ_BYTES: Final = 65536
_FIRST_PAUSE_SECONDS: Final = 0.2
_LONGEST_PAUSE_SECONDS: Final = 30.0
_STABLE_SECONDS: Final = 5.0
"""A process that lived so long is started again soon."""
_END_SECONDS: Final = 5.0
_AWAY: Final = "there is no connection to libvirt"


class LibvirtLink:
    """A link to one libvirt (`DomainLink`), in a process of its own that ends with virtsupd."""

    def __init__(
        self,
        uri: str,
        *,
        spawner: Spawner,
        children: ChildWatcher,
        address: Callable[[str], str] = str,
    ) -> None:
        self.on_news: Callable[[DomainNews], None] = _nothing
        self.on_link: Callable[[bool, str], None] = _nothing
        self.backend = ""
        """What the process speaks with libvirt through; "" while there is no connection."""
        self.pid: int | None = None
        self._uri = uri
        self._address = address
        self._connects_to = ""
        self._spawner = spawner
        self._children = children
        self._socket: socket.socket | None = None
        self._received = bytearray()
        self._unsent = bytearray()
        self._numbers = itertools.count(1)
        self._calls: dict[int, asyncio.Future[Any]] = {}
        self._pause = _FIRST_PAUSE_SECONDS
        self._begun = 0.0
        self._again: asyncio.TimerHandle | None = None
        self._is_closed = False
        self._ended = anyio.Event()

    # The port

    def open(self) -> None:
        """Start the process, which connects, and stays connected."""
        self._again = None
        try:
            self._start()
        except (SpawnError, OSError) as error:
            self._try_later(f"cannot start the libvirt link: {error}")

    def nudge(self) -> None:
        """Try at once, if there is no connection."""
        if self._is_closed:
            return
        if self._socket is not None and self._connects_to != self._address(self._uri):
            self._disconnect("libvirt is to be reached elsewhere")  # begins anew when it has ended
        elif self._again is not None:
            self._again.cancel()
            self.open()
        elif not self.backend:
            self._send(line(do="nudge"))

    async def domains(self) -> Mapping[str, DomainNews]:
        """Return all domains by name, whether they run or not."""
        found: Mapping[str, DomainNews] = await self._ask("domains")
        return found

    async def start(self, domain: str) -> None:
        """Start a domain, from its saved state if it has one; one that runs is no error."""
        await self._ask("start", domain=domain)

    async def shutdown(self, domain: str, how: Literal["agent", "acpi"]) -> None:
        """Ask a guest to power off; returns when it was asked."""
        await self._ask("shutdown", domain=domain, how=how)

    async def save(self, domain: str) -> None:
        """Write a guest's state down and end it; returns when that is done."""
        await self._ask("save", domain=domain)

    async def resume(self, domain: str) -> None:
        """Let a paused guest go on."""
        await self._ask("resume", domain=domain)

    async def destroy(self, domain: str) -> None:
        """End a guest at once; one that does not run is no error."""
        await self._ask("destroy", domain=domain)

    async def ping_agent(self, domain: str, timeout_seconds: float) -> None:
        """Return when the guest agent has answered."""
        await self._ask("ping", domain=domain, seconds=timeout_seconds)

    async def close(self) -> None:
        """Let go of libvirt; guests run on. Returns when the process has ended, which is killed if need be."""
        self._is_closed = True
        if self._again is not None:
            self._again.cancel()
        self._disconnect(_AWAY)
        await self._end()
        if self.pid is not None:
            kill(Remains(self.pid, self.pid, None, StopMode.GROUP))
            await self._end()

    # The process

    async def _end(self) -> None:
        with anyio.move_on_after(_END_SECONDS):
            while self.pid is not None:
                await self._ended.wait()

    def _start(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                ours.setblocking(False)
                self._connects_to = self._address(self._uri)
                command = (sys.executable, "-I", "-m", "virtsupd.libvirtlink", self._connects_to)
                number = theirs.fileno()
                plan = plan_process(
                    ProcessSpec(command, LogSpec("")),
                    extra_environment={"PATH": os.environ.get("PATH", DEFAULT_PATH)},
                    descriptors=(number, number, 2),
                    cgroup_fd=None,
                )
                pid = self._spawner.spawn(plan).pid
            except (SpawnError, OSError):
                ours.close()
                raise
        self.pid, self._socket = pid, ours
        self._begun = asyncio.get_running_loop().time()
        self._ended = anyio.Event()
        self._children.watch(pid, lambda status: self._has_ended(pid, status))
        asyncio.get_running_loop().add_reader(ours.fileno(), self._readable, ours)

    def _has_ended(self, pid: int, status: ExitStatus) -> None:
        if self.pid != pid:
            return
        self.pid = None
        self._ended.set()
        if asyncio.get_running_loop().time() - self._begun >= _STABLE_SECONDS:
            self._pause = _FIRST_PAUSE_SECONDS
        if not self._is_closed:
            self._disconnect(f"the libvirt link {status}")
            self._try_later(f"the libvirt link {status}")

    def _try_later(self, why: str) -> None:
        log.warning("libvirt link is down", uri=self._uri, reason=why)
        self.on_link(False, why)
        self._again = asyncio.get_running_loop().call_later(self._pause, self.open)
        self._pause = min(self._pause * 2, _LONGEST_PAUSE_SECONDS)

    def _disconnect(self, why: str) -> None:
        """Let go of the process, which ends when it sees that."""
        ours, self._socket = self._socket, None
        if ours is not None:
            loop = asyncio.get_running_loop()
            loop.remove_reader(ours.fileno())
            loop.remove_writer(ours.fileno())
            ours.close()
        self._received.clear()
        self._unsent.clear()
        self._lose(why)

    def _lose(self, why: str) -> None:
        self.backend = ""
        calls, self._calls = self._calls, {}
        for call in calls.values():
            if not call.done():
                call.set_exception(DomainError("unreachable", why))

    # Asking and hearing

    async def _ask(self, do: str, **fields: object) -> Any:  # noqa: ANN401  (JSON)
        if not self.backend:
            raise DomainError("unreachable", _AWAY)
        number = next(self._numbers)
        call = self._calls[number] = asyncio.get_running_loop().create_future()
        try:
            self._send(line(id=number, do=do, **fields))
            return await call
        except asyncio.CancelledError:
            if do == "ping":
                self._send(line(id=number, do="forget"))
            raise
        finally:
            self._calls.pop(number, None)

    def _send(self, text: bytes) -> None:
        if self._socket is not None:
            self._unsent += text
            self._writable(self._socket)

    def _writable(self, ours: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        try:
            sent = ours.send(self._unsent)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._unsent.clear()  # it has ended, which is told
            sent = 0
        del self._unsent[:sent]
        if self._unsent:
            loop.add_writer(ours.fileno(), self._writable, ours)
        else:
            loop.remove_writer(ours.fileno())

    def _readable(self, ours: socket.socket) -> None:
        try:
            part = ours.recv(_READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            part = b""
        self._received += part
        try:
            *whole, rest = bytes(self._received).split(b"\n")
            self._received = bytearray(checked(rest))
            for text in whole:
                if self._socket is ours:
                    self._take(parsed(text))
        except (BadLineError, ValueError, TypeError, KeyError, IndexError) as error:
            log.error("libvirt link is not understood", uri=self._uri, reason=str(error))  # noqa: TRY400  (no defect of ours)
            part = b""
        if not part and self._socket is ours:
            self._disconnect("the libvirt link has closed its connection")

    def _take(self, message: Mapping[str, Any]) -> None:
        if "up" in message:
            self.backend = str(message["up"])
            log.info("connected to libvirt", uri=self._uri, backend=self.backend)
            self.on_link(True, "")
        elif "lost" in message:
            self._lose(str(message["lost"]))
            self.on_link(False, str(message["lost"]))
        elif "news" in message:
            self.on_news(_news(message["news"]))
        else:
            self._answered(message)

    def _answered(self, message: Mapping[str, Any]) -> None:
        found = message.get("ok")
        if isinstance(found, list):
            found = {news.domain: news for news in map(_news, found)}
        for number in (message["id"], *message.get("also", ())):
            call = self._calls.get(number)
            if call is None or call.done():
                continue  # whoever asked has been cancelled
            if "error" in message:
                kind, text = message["error"]
                call.set_exception(DomainError(cast("Kind", str(kind)), str(text)))
            else:
                call.set_result(found)


def _news(words: Sequence[Any]) -> DomainNews:
    domain, state, reason, pid, since = words
    return DomainNews(
        str(domain),
        DomainState(state),
        str(reason),
        None if pid is None else int(pid),
        None if since is None else float(since),
    )


def _nothing(*_told: object) -> None:
    return

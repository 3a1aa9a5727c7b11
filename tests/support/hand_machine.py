"""A machine driven by hand, in place of QEMU and its guest: at the ports of an attendance."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import anyio

from virtsupd.core.machine import SecretsSpec
from virtsupd.errors import NotReadyError
from virtsupd.machine.listening import MonitorLine


@dataclass(eq=False)
class HandLine:
    """A connection to the monitor of a hand-driven machine."""

    machine: "HandMachine"
    events: list[tuple[str, Mapping[str, object]] | None] = field(default_factory=list)
    news: anyio.Event = field(default_factory=anyio.Event)
    is_closed: bool = False

    def says(self, event: tuple[str, Mapping[str, object]] | None) -> None:
        self.events.append(event)
        self.news.set()

    async def execute(
        self,
        command: str,
        arguments: Mapping[str, object] | None = None,
        *,
        timeout_seconds: float = 1.0,
    ) -> object:
        assert arguments is None
        assert timeout_seconds > 0
        self.machine.told.append(command)
        if command == "query-status":
            return {"running": self.machine.runs, "status": self.machine.status}
        if command == "query-chardev":
            return self.machine.channels
        if command == "query-kvm":
            return {"enabled": self.machine.has_kvm, "present": True}
        return {}

    async def next_event(self) -> tuple[str, Mapping[str, object]] | None:
        while not self.events:
            self.news = anyio.Event()
            await self.news.wait()
        return self.events.pop(0)

    async def close(self) -> None:
        self.is_closed = True


@dataclass(eq=False)
class HandMachine:
    """The ports of one machine; each does what a test says."""

    runs: bool = True
    status: str = "running"
    has_monitor: bool = True
    has_kvm: bool = False
    channels: list[Mapping[str, object]] = field(default_factory=list)
    """What the monitor tells of them."""
    agent: str | None = None
    """Why the agent does not answer; None: it does."""
    told: list[str] = field(default_factory=list)
    """What was asked of the monitor and of the agent, in order."""
    lines: list[HandLine] = field(default_factory=list)
    secrets: anyio.Event = field(default_factory=anyio.Event)
    """Set when the guest has taken its secrets."""
    wants_none: str | None = None
    """Why the guest will never take secrets."""
    is_ours: Callable[[], bool] | None = None

    async def connect(self, path: str) -> MonitorLine:
        assert path
        if not self.has_monitor:
            raise NotReadyError("nobody listens")
        self.lines.append(HandLine(self))
        return self.lines[-1]

    async def ask_agent(self, path: str) -> None:
        assert path
        if self.agent is not None:
            raise NotReadyError(self.agent)

    async def shut_down(self, path: str) -> None:
        await self.ask_agent(path)
        self.told.append("guest-shutdown")

    async def deliver(
        self, secrets: SecretsSpec, is_ours: Callable[[], bool], note: Callable[[str], None]
    ) -> None:
        assert secrets.port
        self.is_ours = is_ours
        note("nobody says a greeting")
        if self.wants_none is not None:
            raise NotReadyError(self.wants_none)
        await self.secrets.wait()

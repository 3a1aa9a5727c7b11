"""A libvirt that does as the test says, behind the link's port."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import anyio

from virtsupd.core.events import Instant
from virtsupd.process.domains import DomainError, DomainNews, DomainState


class NapClock:
    """Sleeping takes no time, but lets everybody else have a turn; time goes on by what was slept."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    def now(self) -> Instant:
        at = sum(self.slept)
        return Instant(at, at)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await anyio.lowlevel.checkpoint()


def _nobody(*_told: object) -> None:
    return


@dataclass(eq=False)
class HandLibvirt:
    """Domains by name; calls are answered from them. The link is up from `open` on."""

    found: dict[str, DomainNews] = field(default_factory=dict)
    is_up: bool = True
    asked: list[str] = field(default_factory=list)
    agents: set[str] = field(default_factory=set)
    """Guests whose agent answers."""
    deaf: set[str] = field(default_factory=set)
    """Guests that do not power off."""
    refusal: DomainError | None = None
    """Raised by each `start` and `save`."""
    started: anyio.Event | None = None
    """`start` returns when it is set."""
    doomed: set[str] = field(default_factory=set)
    """Guests that crash as soon as they are started."""
    lists_to_fail: int = 0

    def __post_init__(self) -> None:
        self.on_news: Callable[[DomainNews], None] = _nobody
        self.on_link: Callable[[bool, str], None] = _nobody

    def open(self) -> None:
        if self.is_up:
            self.on_link(True, "")

    def nudge(self) -> None:
        self.asked.append("nudge")

    async def close(self) -> None:
        self.asked.append("close")

    def lose(self, why: str) -> None:
        """Lose the connection."""
        self.is_up = False
        self.on_link(False, why)

    def return_(self) -> None:
        """Have the connection again."""
        self.is_up = True
        self.on_link(True, "")

    def put(self, domain: str, state: DomainState, reason: str, *, is_told: bool = True) -> None:
        """Let a domain be so, and tell of it if there is a connection."""
        pid = 4711 if state in (DomainState.RUNNING, DomainState.PAUSED) else None
        news = self.found[domain] = DomainNews(domain, state, reason, pid)
        if is_told and self.is_up:
            self.on_news(news)

    async def domains(self) -> Mapping[str, DomainNews]:
        await self._call("domains", "")
        if self.lists_to_fail:
            self.lists_to_fail -= 1
            raise DomainError("failed", "libvirt is busy")
        return dict(self.found)

    async def start(self, domain: str) -> None:
        await self._call("start", domain)
        if self.refusal is not None:
            raise self.refusal
        if self.started is not None:
            await self.started.wait()
        if self.found[domain].state is not DomainState.RUNNING:
            self.put(domain, DomainState.RUNNING, "booted")
        if domain in self.doomed:
            self.put(domain, DomainState.CRASHED, "panicked")

    async def shutdown(self, domain: str, how: str) -> None:
        await self._call(f"shutdown {how}", domain)
        if self.found[domain].state is DomainState.OFF:
            raise DomainError("refused", f"domain {domain} is not running")
        if how == "agent" and domain not in self.agents:
            raise DomainError("refused", f"the agent of {domain} is not connected")
        if domain not in self.deaf:
            self.put(domain, DomainState.OFF, "shutdown")

    async def save(self, domain: str) -> None:
        await self._call("save", domain)
        if self.refusal is not None:
            raise self.refusal
        self.put(domain, DomainState.OFF, "saved")

    async def resume(self, domain: str) -> None:
        await self._call("resume", domain)
        self.put(domain, DomainState.RUNNING, "unpaused")

    async def destroy(self, domain: str) -> None:
        await self._call("destroy", domain)
        self.put(domain, DomainState.OFF, "destroyed")

    async def ping_agent(self, domain: str, timeout_seconds: float) -> None:
        await self._call("ping", domain)
        assert timeout_seconds > 0
        if domain not in self.agents:
            raise DomainError("refused", f"the agent of {domain} is not connected")

    async def _call(self, what: str, domain: str) -> None:
        self.asked.append(f"{what} {domain}".strip())
        await anyio.lowlevel.checkpoint()
        if not self.is_up:
            raise DomainError("unreachable", "libvirt is away")
        if domain and domain not in self.found:
            raise DomainError("no-such-domain", f"there is no domain {domain}")


def running(domain: str) -> DomainNews:
    """Return the state of a domain that runs."""
    return DomainNews(domain, DomainState.RUNNING, "booted", 4711)


def off(domain: str, reason: str = "shutdown") -> DomainNews:
    """Return the state of a domain that does not run."""
    return replace(running(domain), state=DomainState.OFF, reason=reason, pid=None)

"""Domains as libvirt tells of them, and the port to whoever speaks with libvirt."""

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Literal, Protocol

from virtsupd.core.frozen import frozen
from virtsupd.errors import VirtsupdError

Kind = Literal["no-such-domain", "unreachable", "denied", "refused", "failed"]


class DomainError(VirtsupdError):
    """What was asked of libvirt could not be done; the message says why, in libvirt's words.

    `kind`: there is no such domain; libvirtd cannot be reached; it denied us; the domain is not in
    a state for it, or its agent does not answer; anything else.
    """

    code = "domain"

    def __init__(self, kind: Kind, message: str) -> None:
        super().__init__(message)
        self.kind: Kind = kind


class DomainState(StrEnum):
    """How a domain is (virDomainState)."""

    RUNNING = "running"
    PAUSED = "paused"
    SHUTTING_DOWN = "in shutdown"
    OFF = "off"
    CRASHED = "crashed"
    SUSPENDED = "suspended"
    """By the guest itself, to memory."""
    GONE = "gone"
    """Libvirt knows no such domain."""


@frozen
class DomainNews:
    """How a domain is, and why."""

    domain: str
    state: DomainState
    reason: str
    """Libvirt's word: "booted", "shutdown", "destroyed", "crashed", "saved", "unknown" …"""
    pid: int | None = None
    """Of its QEMU, if that is known."""
    since: float | None = None
    """When that process began, by the wall clock."""


class DomainLink(Protocol):
    """Speaks with one libvirt. All on the event loop's thread.

    Every call may be cancelled: what was asked stands. Each raises DomainError, of kind
    "unreachable" at once while there is no connection.
    """

    on_news: Callable[[DomainNews], None]
    """Told what libvirt tells; may repeat what is known, and be older than an answer."""
    on_link: Callable[[bool, str], None]
    """Told that there is a connection, or that it was lost and why."""

    def open(self) -> None:
        """Connect, and stay connected: what is lost is tried again with growing pauses."""
        ...

    def nudge(self) -> None:
        """Try at once, if there is no connection."""
        ...

    async def domains(self) -> Mapping[str, DomainNews]:
        """Return all domains by name, whether they run or not."""
        ...

    async def start(self, domain: str) -> None:
        """Start a domain, from its saved state if it has one; one that runs is no error."""
        ...

    async def shutdown(self, domain: str, how: Literal["agent", "acpi"]) -> None:
        """Ask a guest to power off; returns when it was asked."""
        ...

    async def save(self, domain: str) -> None:
        """Write a guest's state down and end it; returns when that is done."""
        ...

    async def resume(self, domain: str) -> None:
        """Let a paused guest go on."""
        ...

    async def destroy(self, domain: str) -> None:
        """End a guest at once; one that does not run is no error."""
        ...

    async def ping_agent(self, domain: str, timeout_seconds: float) -> None:
        """Return when the guest agent has answered."""
        ...

    async def close(self) -> None:
        """Let go of libvirt; guests run on."""
        ...

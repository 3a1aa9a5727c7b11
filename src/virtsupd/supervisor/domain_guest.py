"""One start (or adoption) of a guest of libvirt's, and what is told of it."""

from dataclasses import dataclass, field

import anyio

from virtsupd.core.domain import DomainSpec
from virtsupd.core.events import Told
from virtsupd.core.names import Name
from virtsupd.core.spec import Readiness
from virtsupd.supervisor.domain_work import Post


@dataclass(eq=False, slots=True)
class Guest:
    """What is known of one, and what is under way with it. `Domains` alone writes it."""

    name: Name
    generation: int
    domain: DomainSpec
    post: Post
    ready: Readiness = field(default_factory=Readiness)
    """When it counts as started, once it is up."""
    is_asked: bool = False
    """Libvirt was asked to start it."""
    is_up: bool = False
    """Libvirt has said that it runs, and not yet that it does no more."""
    has_ended: bool = False
    """Its end was posted; it is gone as soon as somebody asks for that."""
    is_ending: bool = False
    begun: anyio.Event = field(default_factory=anyio.Event)
    """Set when nothing of its start or adoption is under way any more."""
    waiting: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    """Of what waits before libvirt was asked to start it."""
    watches: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    ending: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    said: str | None = ""
    """What its status is known to say; None: whatever an earlier virtsupd was told."""

    def tell_waiting(self, text: str) -> None:
        """Say what its start waits for."""
        self.post(Told(self.name, self.generation, "waiting", text))

    def tell_denied(self, text: str) -> None:
        """Say why it does not end."""
        self.post(Told(self.name, self.generation, "denied", text))

    def tell_status(self, text: str) -> None:
        """Say how it is, if that is news; "": as any guest that runs."""
        if text != self.said:
            self.said = text
            self.post(Told(self.name, self.generation, "status", text))

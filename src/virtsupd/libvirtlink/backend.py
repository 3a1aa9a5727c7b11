"""The port between a link and the two ways to speak with libvirt."""

from collections.abc import Callable
from typing import Protocol

from virtsupd.libvirtlink.messages import News

OnNews = Callable[[News], None]
OnLost = Callable[[str], None]


class Backend(Protocol):
    """Blocking calls, from any thread. Each raises LinkError."""

    name: str
    """As people know it: "libvirt-python", "virsh"."""

    def connect(self, on_news: OnNews, on_lost: OnLost) -> None:
        """Return when every change of a domain is told from now on, until `on_lost` is called once."""
        ...

    def domains(self) -> list[News]:
        """Return how all domains are, whether they run or not."""
        ...

    def start(self, domain: str) -> None:
        """Start it; one that runs is no error."""
        ...

    def shutdown(self, domain: str, how: str) -> None:
        """Ask the guest to power off: "agent" or "acpi"."""
        ...

    def save(self, domain: str) -> None:
        """Save it, and return when that is done."""
        ...

    def resume(self, domain: str) -> None:
        """Let a paused guest go on."""
        ...

    def destroy(self, domain: str) -> None:
        """End it; one that does not run is no error."""
        ...

    def ping(self, domain: str, seconds: float) -> None:
        """Return when its agent has answered."""
        ...

"""How guests and services are ended when the host goes down: what the configuration says of it."""

from enum import StrEnum
from typing import Literal

from virtsupd.core.frozen import frozen


class GuestEnd(StrEnum):
    """How a guest that is no service is ended."""

    SHUTDOWN = "shutdown"
    """It is asked to power off."""
    SAVE = "save"
    """Its state is written down, so that it can go on later."""
    KILL = "kill"
    """At once, as if the power were cut."""


@frozen
class RunningGuest:
    """A guest that is no service, as its host tells of it."""

    name: str
    """Unique on its host."""
    end: GuestEnd | None = None
    """None: as `[host]` says."""
    timeout_seconds: float | None = None
    """None: as `[host]` says."""


@frozen
class ShutdownPolicy:
    """How a shutdown ends guests and services, where a guest has no policy of its own."""

    timeout_seconds: float = 840.0
    """For everything; what is left then gets KILL."""
    parallel: int = 10
    """So many guests end at a time, services among them included."""
    guest_end: GuestEnd = GuestEnd.SHUTDOWN
    guest_timeout_seconds: float = 300.0
    """For each guest that is no service, once it is its turn."""
    overdue: Literal["kill", "leave"] = "kill"
    """What becomes of such a guest after its time."""

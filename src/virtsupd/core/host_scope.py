"""What there is to know of a shutdown: how guests are to end, who ordered it, how far it has come.

Guests that are services stand in the graph. The others (domains of libvirtd …) are known to the
service that they run through alone, their *guest host*: it is asked which there are, and they are
ended through it, so it stays up until they are gone. What is done with all this: `shutdown`.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from virtsupd.core.events import Instant
from virtsupd.core.frozen import frozen
from virtsupd.core.names import Name
from virtsupd.core.shutdown_policy import GuestEnd

ROOT: Final = Name("root")
"""Whose the timer of a shutdown is: no service can be called so."""


class Phase(StrEnum):
    """How far a shutdown has come."""

    GUESTS = "guests"
    """Guests end; the services stay, for guests may rely on them."""
    SERVICES = "services"


@frozen
class ShutdownOrder:
    """What a successor has to know of a shutdown to go on with it."""

    by: str
    since: float
    """Wall clock."""
    deadline: Instant
    phase: Phase = Phase.GUESTS
    is_overdue: bool = False
    """The deadline passed, and somebody was there to see it."""
    left: tuple[str, ...] = ()
    """In words, the guests that run on, and hosts of which it is not known; once their phase is over."""


class GuestState(StrEnum):
    """How far a guest that is no service has come."""

    RUNNING = "running"
    """It is not its turn yet."""
    ENDING = "ending"
    ENDED = "ended"
    LEFT = "left"
    """It runs on, and nothing more is done about it."""


@dataclass(slots=True)
class Guest:
    """One guest of a guest host."""

    name: str
    end: GuestEnd
    """How it is ended next or now, or was."""
    timeout_seconds: float
    state: GuestState = GuestState.RUNNING
    due: Instant | None = None
    """Until when it may take to end."""
    why: str = ""
    """What went wrong last."""

    @property
    def is_settled(self) -> bool:
        """Whether nothing more is done about it."""
        return self.state in (GuestState.ENDED, GuestState.LEFT)


@dataclass(slots=True)
class GuestHost:
    """What is known of the guests of one service."""

    name: Name
    guests: dict[str, Guest] = field(default_factory=dict)
    is_asked: bool = False
    """It was asked which guests run, and has not answered."""
    asked_of: int = 0
    """The generation of its service that was asked last."""
    answer_due: Instant | None = None
    """When it counts as hung if it runs and has not answered."""
    due: Instant | None = None
    """Until when its answer is waited for, however often it is asked."""
    ask_at: float | None = None
    """When it is asked again (monotonic)."""
    is_settled: bool = False
    """It need not stay up for its guests."""
    why: str = ""
    """Why it is not known which guests run."""
    is_raised: bool = False
    """It was down, could not tell, and was started for that."""
    is_replaced: bool = False
    """It hung, could not tell, and was killed for that."""

    @property
    def has_guests(self) -> bool:
        """Whether there are guests about which something is still to be done."""
        return any(not guest.is_settled for guest in self.guests.values())


@dataclass(slots=True)
class Shutdown:
    """A shutdown under way. Owned by `shutdown`."""

    order: ShutdownOrder
    hosts: dict[Name, GuestHost]
    """By name; none once the services' phase has come."""
    guests: frozenset[Name]
    """Guests that are services and were alive when it began."""
    kept: frozenset[Name]
    """What stays during the guests' phase: all but guests and what has to stop before a guest."""
    first: frozenset[Name] = frozenset()
    """Timers that have to be gone before guest hosts are asked."""
    kept_up: frozenset[Name] = frozenset()
    """Guest hosts in need, and what they need: wanted as ever, also if they crash."""
    ending: int = 0
    """How many guests were ending when that was last looked at."""
    raised: frozenset[Name] = frozenset()
    """What is wanted though nobody wanted it: hosts that were down, and what they need."""
    timer_at: float | None = None
    """For when its timer is armed."""
    is_finished: bool = False
    left: tuple[str, ...] = ()
    """In words, what could not be ended; set when it is finished."""

    @property
    def is_overdue(self) -> bool:
        """Whether what is left is killed."""
        return self.order.is_overdue

"""A command that is not answered yet: what it touches and what became of each of its services."""

from dataclasses import dataclass, field

from virtsupd.core.effects import Report
from virtsupd.core.events import Verb
from virtsupd.core.names import Name


@dataclass(slots=True)
class Ticket:
    """One command from being asked to being answered."""

    verb: Verb
    names: tuple[Name, ...]
    cascade: tuple[Name, ...] = ()
    """What is marked: it stops, and returns if it is still wanted."""
    displaced: tuple[Name, ...] = ()
    """What has to go because it conflicts with what is started."""
    touched: tuple[Name, ...] = ()
    """What the command stops, as it was alive when it came."""
    were_running: frozenset[Name] = frozenset()
    once: tuple[str, ...] = ()
    """Arguments for the next process of its service; () as soon as one was made with them.

    They are nowhere else before that: whatever closes the ticket, or drops it, has dropped them."""
    given: tuple[str, ...] = ()
    """Those that a process was made with."""
    refusal: tuple[Report, ...] | None = None
    """Set if nothing was or will be done."""
    open: set[Name] = field(default_factory=set)
    closed: dict[Name, Report] = field(default_factory=dict)

    def close(self, report: Report) -> None:
        """Note what became of one of its services."""
        self.open.discard(report.name)
        self.closed[report.name] = report

    def take_once(self) -> tuple[str, ...]:
        """Return the arguments for a process that is made now; no other one gets them."""
        self.given, self.once = self.once, ()
        return self.given

    def reports(self) -> tuple[Report, ...]:
        """Return all reports, in the order asked."""
        return tuple(self.closed[name] for name in self.names)

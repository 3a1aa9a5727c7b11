"""Which services a burst of operations may have changed, by the edges; all others have to run on."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from tests.support.chaos_host import EDGES, closure, rivals
from tests.support.daemon import Json

from virtsupd.process.lives import Life, life_of


@dataclass(frozen=True, slots=True)
class Mark:
    """What of a service stays as it is while nobody touches it."""

    state: str
    since: float
    restarts: int
    life: Life | None


@dataclass(slots=True)
class Touched:
    """What the operations of one burst may have ended, and what may have come up."""

    ended: set[str] = field(default_factory=set)
    begun: set[str] = field(default_factory=set)
    """What was down may have begun; what was up has no reason to begin again."""

    def start(self, name: str) -> None:
        """All that is started along may begin, with what waited for it; rivals end."""
        along = closure(name)
        self.begun |= _behind(along)
        for other in along:
            for rival in rivals(other):
                self.stop(rival)

    def stop(self, name: str) -> None:
        """It ends and all that needs it: with a target, only what is bound to it."""
        self.ended |= bound_to(name) if name == "stage" else _behind([name])
        self.begun |= set(rivals(name))

    def restart(self, name: str) -> None:
        """It ends as by a stop, and begins as by a start."""
        self.stop(name)
        self.start(name)

    def kill(self, name: str) -> None:
        """It ends with what is bound to it; whatever only requires it runs on."""
        self.ended |= bound_to(name)

    def allow(self, name: str) -> None:
        """It was enabled or defined anew: if it was down, it may be tried again."""
        self.begun |= _behind([name])


def bound_to(name: str) -> set[str]:
    """Return a service and all that falls with it."""
    return _reached([name], "binds_to")


def _behind(names: Iterable[str]) -> set[str]:
    return _reached(names, "binds_to", "requires")


def _reached(names: Iterable[str], *kinds: str) -> set[str]:
    found = set(names)
    while more := {
        name
        for name, edges in EDGES.items()
        if name not in found and any(found.intersection(edges.get(kind, ())) for kind in kinds)
    }:
        found |= more
    return found


def marks_of(statuses: Mapping[str, Json]) -> dict[str, Mark]:
    """Return the marks of all services."""
    return {name: _mark(status) for name, status in statuses.items()}


def _mark(status: Json) -> Mark:
    life = life_of(status["pid"]) if status["pid"] else None
    since = status["since"] if status["changes"] else 0.0  # it never began: since virtsupd began
    return Mark(status["state"], since, status["restarts"], life)


def needless(before: Mapping[str, Mark], after: Mapping[str, Mark], touched: Touched) -> list[str]:
    """Return, in words, what changed of services that nobody had a reason to change."""
    found = []
    for name in before.keys() & after.keys():
        old, new = before[name], after[name]
        is_up = old.state == "running"
        allowed = touched.ended if is_up else touched.ended | touched.begun
        if old != new and name not in allowed:
            found.append(f"nobody touched {name}: it was {old}, and is {new}")
    return found

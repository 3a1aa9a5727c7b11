"""What virtsupd knows of itself from the program that it was before."""

from virtsupd.core.frozen import frozen
from virtsupd.process.inheritance import Inheritance
from virtsupd.process.limits import started_with
from virtsupd.process.own_notify import OwnNotify


@frozen
class Past:
    """What does not begin anew when virtsupd becomes another program."""

    since: float
    """When it was started (wall clock)."""
    reexecs: int = 0
    """How often it has become another program since."""
    notify_socket: str | None = None
    """What NOTIFY_SOCKET said then; None: ask the environment."""


def past_of(inherited: Inheritance, now: float) -> Past:
    """Return what was handed over; a program that was started just now has begun at `now`."""
    facts = inherited.facts
    since, reexecs, place = (facts.get(key) for key in ("since", "reexecs", "notify_socket"))
    return Past(
        since=since if isinstance(since, float) else now,
        reexecs=reexecs if isinstance(reexecs, int) else 0,
        notify_socket=place if isinstance(place, str) else None,
    )


def nofile_of(inherited: Inheritance) -> tuple[int, int] | None:
    """Return the limit of descriptors that virtsupd was started with, if it was handed over."""
    match inherited.facts.get("nofile"):
        case [int(soft), int(hard)]:
            return soft, hard
        case _:
            return None


def facts_of(past: Past, own_notify: OwnNotify) -> dict[str, object]:
    """Return what the next program is to know."""
    return {
        "since": past.since,
        "reexecs": past.reexecs + 1,
        "notify_socket": own_notify.path,
        "nofile": started_with(),
    }

"""What a shutdown waits for, in words: "waits for guests: vm1, vm2 (2 of 5 ended)"."""

from __future__ import annotations

from virtsupd.cli.style import harmless
from virtsupd.cli.times import elapsed, moment

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from virtsupd.cli.wire import HostShutdown, Waiting

_NAMES = 4
"""How many are named; the others are counted."""


def heading(shutdown: HostShutdown, now: float) -> str:
    """Return the line of `status` about a shutdown."""
    end = moment(shutdown["deadline"], now)
    text = f"Shutting down, by {harmless(shutdown['by'])}, until {end} at the latest"
    return f"{text}: {waits(shutdown, now)}."


def waits(shutdown: HostShutdown, now: float | None) -> str:
    """Return what is waited for; without `now` nothing in it changes as time passes."""
    guests = [waiting for waiting in shutdown["waits"] if waiting["guest"]]
    asked = [waiting for waiting in shutdown["waits"] if waiting["did"] == "asked"]
    others = [w for w in shutdown["waits"] if not w["guest"] and w["did"] != "asked"]
    found: list[str] = []
    if guests:
        count = f"{shutdown['guests_ended']} of {shutdown['guests']} ended"
        names = _some(_guest(waiting) for waiting in guests)
        found.append(f"waits for guests: {names} ({count})")
    if asked:
        found.append(f"asks for guests: {_some(harmless(w['name']) for w in asked)}")
    if others:
        found.append(f"stops {_some(_service(waiting, now) for waiting in others)}")
    return "; ".join(found) or "nothing is left to wait for"


def _guest(waiting: Waiting) -> str:
    name = harmless(waiting["name"])
    is_killed = waiting["did"] in ("kill", "SIGKILL")
    return f"{name} (being killed)" if is_killed else name


def _service(waiting: Waiting, now: float | None) -> str:
    sent = f"{waiting['did'].removeprefix('SIG')} sent"
    due, then = waiting["due"], waiting["then"]
    if now is not None and due is not None and then == "SIGKILL":
        sent = f"{sent}, KILL in {elapsed(max(due - now, 0.0))}"
    return f"{harmless(waiting['name'])} ({sent})"


def _some(texts: Iterable[str]) -> str:
    listed = list(texts)
    more = f" and {len(listed) - _NAMES} more" if len(listed) > _NAMES else ""
    return ", ".join(listed[:_NAMES]) + more

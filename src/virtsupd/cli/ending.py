"""What a shutdown waits for, in words: "waits for guests: vm1 (2 of 5 ended; it is killed in 50 s)"."""

from __future__ import annotations

from virtsupd.cli.style import harmless
from virtsupd.times import elapsed, moment

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from virtsupd.cli.wire import HostShutdown, Waiting

_NAMES = 4
"""How many are named; the others are counted."""
_DOING = {
    "kill": "being killed",
    "destroy": "being killed",
    "SIGKILL": "being killed",
    "save": "being saved",
}
"""Of guests, where that is another thing than waiting for them to power off."""


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
        found.append(f"waits for guests: {names} ({count}{_patience(guests, now)})")
    if asked:
        found.append(f"asks for guests: {_some(harmless(w['name']) for w in asked)}")
    if others:
        found.append(f"stops {_some(_service(waiting, now) for waiting in others)}")
    return "; ".join(found) or "nothing is left to wait for"


def _guest(waiting: Waiting) -> str:
    name = harmless(waiting["name"])
    doing = _DOING.get(waiting["did"])
    return f"{name} ({doing})" if doing else name


def _patience(guests: list[Waiting], now: float | None) -> str:
    """Return when the first of these guests is no longer waited for, and what comes then."""
    dues = [(waiting["due"], waiting["then"]) for waiting in guests if waiting["due"] is not None]
    if now is None or not dues:
        return ""
    due, then = min(dues)
    fate = "given up" if then == "left" else "killed"
    first = "the first" if len(guests) > 1 else "it"
    return f"; {first} is {fate} in {elapsed(max(due - now, 0.0))}"


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

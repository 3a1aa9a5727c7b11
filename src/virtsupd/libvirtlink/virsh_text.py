"""What virsh prints (LC_ALL=C), as far as the link reads it. Pure."""

import re
from collections.abc import Iterator
from typing import NamedTuple

_EVENT = re.compile(r"event 'lifecycle' for domain '(.*)': (\w+)(?: (.*))?", re.DOTALL)
_LAST_EVENTS = ("Stopped", "Crashed", "Undefined")
_WORDS = {
    "Shutdown": "shutdown",
    "Destroyed": "destroyed",
    "Crashed": "crashed",
    "Migrated": "migrated",
    "Saved": "saved",
    "Failed": "failed",
    "Snapshot": "from snapshot",
}
_ERROR = "error: "
_KINDS = {
    # Not "Failed to connect socket" alone, nor "End of file" alone: libvirtd says the former of
    # virtlogd, and the latter of a guest's monitor.
    "unreachable": (
        "failed to connect to the hypervisor",
        "Disconnected from",
        "client socket is closed",
        "End of file while reading data",
        "Cannot recv data",
        "Cannot write data",
        "keepalive timeout",
    ),
    "no-such-domain": ("failed to get domain", "Domain not found"),
    "denied": ("access denied", "authentication failed", "authentication unavailable"),
    "refused": ("Requested operation is not valid", "uest agent", "argument unsupported"),
}
_NUMBER = re.compile(r"\s*[+-]?\d+")
_UUID_LENGTH = 36


class Event(NamedTuple):
    """One of a domain's life."""

    domain: str
    last_word: str | None
    """Why it ended, if it may be one that libvirt forgets when it ends; None for any other event."""


def event_of(text: str) -> Event | None:
    """Return what a line of `virsh event` tells, if it is one of an event."""
    found = _EVENT.fullmatch(text)
    if found is None:
        return None
    domain, event, detail = found.groups()
    word = _WORDS.get((detail or "").partition(" ")[0], "unknown")
    return Event(domain, word if event in _LAST_EVENTS else None)


def states_of(text: str) -> Iterator[tuple[str, int, int]]:
    """Yield domain, state and reason, in libvirt's numbers, from what `virsh domstats --state` says.

    Raises:
        ValueError: it says something else.
    """
    domain, numbers = None, dict[str, int]()
    for row in [*text.split("\n"), "Domain: ''"]:  # a name has every character but this one
        if row.startswith("Domain: '"):
            if domain is not None:
                yield domain, numbers.get("state.state", 0), numbers.get("state.reason", 0)
            domain, numbers = row[len("Domain: '") : -1], {}
        elif row:
            key, _, value = row.strip().partition("=")
            numbers[key] = int(value)


def uuid_of(domain: str, text: str) -> str | None:
    """Return a domain's UUID from what `virsh list --uuid --name` says; None if it is not there."""
    rows = (row.partition(" ") for row in text.split("\n"))
    return next((uuid for uuid, _, name in rows if name == domain), None)


def may_be_mistaken(domain: str) -> bool:
    """Whether virsh would take this name for the number or the UUID of another domain.

    It looks for those first: `virsh destroy 1` ends the guest that was started first.
    """
    return _NUMBER.fullmatch(domain) is not None or len(domain) == _UUID_LENGTH


def said(text: str) -> str:
    """Return virsh's complaint in one line, "" if there is none."""
    rows = text.split("\n")
    return ": ".join(row.removeprefix(_ERROR) for row in rows if row.startswith(_ERROR))


def kind_of(text: str, domain: str) -> str:
    """Return what kind of error virsh's words mean; those in the domain's name mean nothing."""
    text = text.replace(f"'{domain}'", "")
    matching = (kind for kind, words in _KINDS.items() if any(word in text for word in words))
    return next(matching, "failed")

"""What virtsupd and a libvirt link say to each other: one JSON object a line.

    virtsupd → link   {"id": 7, "do": "start", "domain": "web1"}     {"do": "nudge"}     {"id": 7, "do": "forget"}
    link → virtsupd   {"id": 7, "ok": null}     {"id": 7, "error": ["no-such-domain", "…"]}
                      {"up": "virsh"}     {"lost": "…"}     {"news": ["web1", "off", "shutdown", null, null]}

A word of news has the domain, its state, libvirt's reason, and the pid and begin of its QEMU. An answer
to several who asked the same names the others, too: `"also": [8, 9]`. Forgotten is a request whose
answer nobody waits for any more, if it was not begun.
"""

import json
from typing import Any, NamedTuple

KEEPALIVE = (10, 2)
"""After how many seconds without a word libvirtd is asked for a sign of life, and how often before it
counts as lost: one that hangs is noticed after 30 s. It asks by itself every 5 s by default, which
counts as a word: then these cost nothing."""
MAX_LINE_BYTES = 16 * 1024 * 1024

_encode = json.JSONEncoder(separators=(",", ":")).encode


class News(NamedTuple):
    """How a domain is; as `process.domains.DomainNews`, in what JSON can hold."""

    domain: str
    state: str
    reason: str
    pid: int | None = None
    since: float | None = None


class LinkError(Exception):
    """What cannot be done, with the kind that callers act on (`process.domains.DomainError`)."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind


class BadLineError(Exception):
    """A line that is none of these."""


def line(**fields: object) -> bytes:
    """Return a message as it goes over the wire."""
    return _encode(fields).encode() + b"\n"


def parsed(text: bytes) -> dict[str, Any]:
    """Return what a line says.

    Raises:
        BadLineError: it is no JSON object.
    """
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadLineError(f"not JSON: {text[:60]!r}") from error
    if not isinstance(found, dict):
        raise BadLineError(f"not an object: {text[:60]!r}")
    return found


def checked(rest: bytes) -> bytes:
    """Return the beginning of a line whose end has not come yet.

    Raises:
        BadLineError: it is too long already for a message.
    """
    if len(rest) > MAX_LINE_BYTES:
        raise BadLineError(f"longer than {MAX_LINE_BYTES} bytes")
    return rest


# virDomainState and its reasons (libvirt-domain.h, libvirt 9.0)

STATES = {
    1: "running",
    2: "running",
    3: "paused",
    4: "in shutdown",
    5: "off",
    6: "crashed",
    7: "suspended",
}
_REASONS = {
    1: {1: "booted", 2: "migrated", 3: "restored", 4: "from snapshot", 5: "unpaused"},
    3: {
        1: "user",
        2: "migration",
        3: "save",
        4: "dump",
        5: "i/o error",
        6: "watchdog",
        7: "from snapshot",
        8: "shutting down",
        9: "snapshot",
        10: "crashed",
        11: "starting up",
        12: "post-copy",
        13: "post-copy failed",
    },
    5: {
        1: "shutdown",
        2: "destroyed",
        3: "crashed",
        4: "migrated",
        5: "saved",
        6: "failed",
        7: "from snapshot",
        8: "daemon",
    },
    6: {1: "panicked"},
}


def state_and_reason(state: int, reason: int) -> tuple[str, str]:
    """Return libvirt's numbers in words; what a later libvirt may say is "running", "unknown"."""
    return STATES.get(state, "running"), _REASONS.get(state, {}).get(reason, "unknown")

"""Patterns in place of names: `status 'child*'`."""

from __future__ import annotations

from fnmatch import fnmatchcase

from virtsupd.errors import UnknownServiceError, VirtsupdError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from virtsupd.cli.session import Session
    from virtsupd.cli.wire import Service

_ENDING = ("stop", "restart")


class NoMatchError(VirtsupdError):
    """A pattern fits no service."""

    code = UnknownServiceError.code


def expand(session: Session) -> None:
    """Put the canonical names of the services that fit in the place of each pattern, each once.

    A pattern names no guest to a command that ends services, unless --guests is given: a virtual
    machine ends by its own name.

    Raises:
        NoMatchError: nothing fits one of the patterns.
    """
    request = session.request
    services = session.services([])
    spares_guests = request.verb.name in _ENDING and not request.guests
    found: list[str] = []
    for name in request.names:
        found += _named(name, services, spares_guests=spares_guests) if is_pattern(name) else [name]
    request.names = list(dict.fromkeys(found))


def _named(pattern: str, services: list[Service], *, spares_guests: bool) -> list[str]:
    fitting = _fitting(pattern, services)
    if not fitting:
        raise NoMatchError(f"no service fits {pattern!r}; virtsupctl status lists them all")
    chosen = [one["name"] for one in fitting if not (spares_guests and one["kind"] == "guest")]
    if not chosen:
        raise NoMatchError(f"{pattern!r} fits guests alone; name them, or add --guests")
    return chosen


def is_pattern(name: str) -> bool:
    """Whether it can be no service's name, but stands for many."""
    return any(letter in name for letter in "*?[")


def _fitting(pattern: str, services: list[Service]) -> list[Service]:
    return [
        service
        for service in services
        if any(fnmatchcase(name, pattern) for name in service["provides"])
    ]

"""Listening addresses that two services, or a service and virtsupd, cannot both have."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from virtsupd.config.settings import HostSettings
from virtsupd.core.names import Name
from virtsupd.core.spec import ServiceSpec, SocketSpec

Clash = tuple[Name, int, str]
"""A service, the position of one of its sockets from 0, and what else has its address."""

_Holder = tuple[str | None, ServiceSpec | None]
"""A host (None: all of them, or no matter of hosts) and who has it; None is virtsupd."""


def address_clashes(specs: Iterable[ServiceSpec], host: HostSettings) -> Iterator[Clash]:
    """Yield the sockets that can never listen because of another one.

    Services that conflict with each other may share an address: they are never up together.
    """
    holders: dict[tuple[str, str], list[_Holder]] = {
        _place(str(path)): [(None, None)] for path in _own(host)
    }
    for spec in specs:
        for index, socket in enumerate(spec.process.sockets if spec.process is not None else ()):
            holding = holders.setdefault(_place(socket.listen, socket.type), [])
            mine = _host(socket)
            for theirs, other in holding:
                if _meet(mine, theirs) and not _are_rivals(spec, other):
                    whom = f"the service {other.name}" if other is not None else "virtsupd itself"
                    yield spec.name, index, f"{socket.listen} is taken by {whom}"
                    break
            holding.append((mine, spec))


def _own(host: HostSettings) -> Iterator[Path]:
    yield host.socket
    if host.herd_socket is not None:
        yield host.herd_socket


def _place(listen: str, kind: str = "stream") -> tuple[str, str]:
    """Return what two sockets must have in common to be in each other's way."""
    if listen.startswith("/"):
        return "", listen
    return kind, listen if listen.startswith("@") else listen.rpartition(":")[2].lstrip("0")


def _host(socket: SocketSpec) -> str | None:
    if socket.listen[0] in "/@":
        return None
    host = socket.listen.rpartition(":")[0].lower()
    return {"": None, "localhost": "127.0.0.1"}.get(host, host)


def _meet(one: str | None, other: str | None) -> bool:
    """Whether two hosts of one port have an address in common, as far as their text tells."""
    if one is None or other is None or one == other:
        return True
    everywhere = "[::]" if one.startswith("[") else "0.0.0.0"  # noqa: S104 - compared, not bound
    return one.startswith("[") == other.startswith("[") and everywhere in (one, other)


def _are_rivals(one: ServiceSpec, other: ServiceSpec | None) -> bool:
    if other is None:
        return False
    names = {*one.provides} & {*other.conflicts} or {*other.provides} & {*one.conflicts}
    return bool(names)

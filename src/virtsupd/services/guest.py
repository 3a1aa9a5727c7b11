"""`[[guest]]`: domains of libvirt as services."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Final

from pydantic import Field

from virtsupd.config.kinds import Built, Element, KindContext, KindParts, Made
from virtsupd.config.model import ActionTable, KindTable, Respawning, StopTable
from virtsupd.config.probes import DomainHealth, DomainReady
from virtsupd.config.problems import Fault
from virtsupd.config.values import (
    ActionName,
    DomainName,
    LibvirtUri,
    NotEmpty,
    ServiceName,
    ServiceNames,
    Text,
)
from virtsupd.core.names import parse_name
from virtsupd.process.question import answer_of

_GOES_ALONG: Final = ("virtlogd", "libvirtd")
"""What starts along with a guest, and before it. None is required: a guest outlives all of them."""
_SOCKETS: Final = ("/run/libvirt/libvirt-sock", "/run/libvirt/virtqemud-sock")
"""Of a libvirtd, or of the daemon that newer libvirts have in its place for QEMU."""
_NOT_PASSED: Final = frozenset({"domain", "name", "uri", "wants", "after"})
_ANSWER_SECONDS: Final = 1.0


class GuestTable(KindTable):
    """One `[[guest]]`."""

    domain: DomainName
    """The guest's name in libvirt, where it is defined (`virsh define`)."""
    name: ServiceName | None = None
    """The service's name; default: the domain's."""
    uri: LibvirtUri = "qemu:///system"
    """The libvirt that it is defined in. There is only "qemu:///system": guests of this host."""
    description: Text = ""
    """One line for people."""
    provides: Annotated[ServiceNames, NotEmpty] | None = None
    """Names that it answers to, the first is shown; default: the service's name."""
    requires: ServiceNames = ()
    """Services, guests among them, that must be ready before it is started, and start along."""
    wants: ServiceNames = ()
    """Services that start along with it and may fail. virtlogd and libvirtd always do."""
    after: ServiceNames = ()
    """Order alone: if both start, this one later, and if both stop, this one earlier. virtlogd and
    libvirtd always are."""
    before: ServiceNames = ()
    """Order alone: if both start, this one earlier."""
    conflicts: ServiceNames = ()
    """Services that never run at the same time."""
    ready: DomainReady | None = None
    """When it counts as started: "none", as soon as it runs (default), "agent", or a table of kind
    tcp, banner or http; with timeout (5min), after which it is waited for all the same."""
    health: DomainHealth | None = None
    """The same, again and again: interval, timeout, failures; on_failure = "restart" ends and starts
    it, "degrade" (default) only says so. Default: none."""
    respawn: Respawning = None
    """Whether it is started again: delay (1s, the least), factor, max_delay, limit, window (5min), and on:
    "failure" (default) when it crashed, "end" also when it powered itself off; or false."""
    stop: StopTable | None = None
    """How it is ended: how ("shutdown", see below), and delay (guest_timeout of `[host]`), after which it
    is destroyed."""
    actions: dict[ActionName, ActionTable] = Field(default_factory=dict)
    """Commands of its own, each with command, description and timeout, for `virtsupctl ACTION NAME`."""


def build(guests: Sequence[Element], context: KindContext) -> Built:
    """Return a service for each guest."""
    problems: list[Fault] = []
    services: list[Made] = []
    for index, element in enumerate(guests):
        table: GuestTable = element.table
        try:
            name = parse_name(table.name or table.domain)
        except ValueError as error:
            problems.append(((index,), f"the key name is missing: {error}"))
        else:
            services.append(Made(index, name, _keys(element)))
    return Built(
        {},
        tuple(services),
        problems=tuple(problems),
        warnings=tuple(unattended(context)),
        host_remarks=lambda addresses: _undefined(guests, addresses),
    )


def _keys(element: Element) -> dict[str, object]:
    """Return the keys of the service: those of the guest as they are, and what goes along."""
    table: GuestTable = element.table
    keys = {key: value for key, value in element.keys.items() if key not in _NOT_PASSED}
    return keys | {
        "domain": {"name": table.domain, "uri": table.uri},
        "wants": list(dict.fromkeys((*_GOES_ALONG, *table.wants))),
        "after": list(dict.fromkeys((*_GOES_ALONG, *table.after))),
    }


def unattended(context: KindContext, sockets: Sequence[str] = _SOCKETS) -> Iterator[Fault]:
    """Yield that nobody is there to run guests, with any of these sockets."""
    if "libvirt" not in context.tables and not any(Path(path).exists() for path in sockets):
        yield (), f"there is no table [libvirt], and {sockets[0]} is missing: guests wait for it"


def _undefined(guests: Sequence[Element], addresses: Mapping[str, str]) -> Iterator[Fault]:
    """Yield domains that libvirt does not have, if it answers at once; otherwise that it does not."""
    for uri in dict.fromkeys(element.table.uri for element in guests):
        defined = _defined(addresses.get(uri, uri))
        if defined is None:
            yield (), f"{uri} does not answer: whether it knows the domains was not looked at"
            continue
        for index, element in enumerate(guests):
            table: GuestTable = element.table
            if table.uri == uri and table.domain not in defined:
                text = f"found {table.domain!r}, which {uri} does not know; virsh define it first"
                yield (index, "domain"), text


def _defined(uri: str) -> Sequence[str] | None:
    """Return the names of all domains of a libvirt; None unless it answers at once.

    Whether it did is told by its own URI after them, which has slashes as no name has: of how virsh
    ended nobody is told where a reaper waits for every process.
    """
    command = ["virsh", "--quiet", "--connect", uri, "list --all --name; uri"]
    listed = answer_of(command, timeout_seconds=_ANSWER_SECONDS)
    lines = [line for line in (listed or "").split("\n") if line]
    return lines[:-1] if lines and "/" in lines[-1] else None


GUEST = KindParts(GuestTable, build, identity=("domain", "uri"))

"""What a shutdown has come to, frozen: what it waits for, and until when."""

from collections.abc import Iterator

from virtsupd.core.frozen import frozen
from virtsupd.core.guests import services_left
from virtsupd.core.host_scope import Guest, GuestHost, GuestState, Phase, Shutdown
from virtsupd.core.names import Name
from virtsupd.core.service import Service
from virtsupd.core.shutdown_policy import GuestEnd
from virtsupd.core.snapshot import State
from virtsupd.core.state import HostState


@frozen
class Waiting:
    """One guest or service that ends, and when it is no longer waited for."""

    name: str
    did: str
    """What was done about it last: a signal, or how a guest is ended; "asked": for its guests."""
    due: float | None
    """When `then` comes, by the wall clock."""
    then: str
    """"SIGKILL", "kill", or "left": it is waited for no longer."""
    host: Name | None = None
    """The service that a guest runs through; None for a service."""
    is_guest: bool = False


@frozen
class ShutdownView:
    """What a shutdown has come to. Times are wall clock."""

    by: str
    since: float
    deadline: float
    phase: Phase
    guests: int
    """How many were found, those that are services included."""
    guests_ended: int
    waits: tuple[Waiting, ...]
    left: tuple[str, ...] = ()
    """In words, what could not be ended; only at the end."""


def view(host: HostState) -> ShutdownView | None:
    """Return what a shutdown has come to; None: there is none."""
    found = host.shutdown
    if found is None:
        return None
    others = [guest for h in found.hosts.values() for guest in h.guests.values()]
    gone = sum(guest.state is GuestState.ENDED for guest in others)
    return ShutdownView(
        by=found.order.by,
        since=found.order.since,
        deadline=found.order.deadline.wall,
        phase=found.order.phase,
        guests=len(found.guests) + len(others),
        guests_ended=len(found.guests) - len(services_left(host, found)) + gone,
        waits=(*_waits_for_guests(host, found), *_waits_for_services(host)),
        left=found.left,
    )


def _waits_for_guests(host: HostState, found: Shutdown) -> Iterator[Waiting]:
    for guest_host in found.hosts.values():
        if guest_host.is_settled:
            continue
        if not guest_host.has_guests:
            yield _asked(guest_host)
        for guest in guest_host.guests.values():
            if guest.state is GuestState.ENDING:
                yield _ending(host, guest_host, guest)


def _asked(guest_host: GuestHost) -> Waiting:
    due = guest_host.due.wall if guest_host.due is not None else None
    return Waiting(guest_host.name, "asked", due, "left")


def _ending(host: HostState, guest_host: GuestHost, guest: Guest) -> Waiting:
    is_last = guest.end is GuestEnd.KILL or host.shutdown_policy.overdue == "leave"
    due = guest.due.wall if guest.due is not None else None
    then = "left" if is_last else "kill"
    return Waiting(guest.name, guest.end, due, then, host=guest_host.name, is_guest=True)


def _waits_for_services(host: HostState) -> Iterator[Waiting]:
    for name in sorted(host.services):
        service = host.services[name]
        if service.state is State.STOPPING and not service.is_stuck:
            yield _stopping(service)


def _stopping(service: Service) -> Waiting:
    if service.is_cleaning:
        did, then = "clean-up", "left"
    elif service.origin.domain is not None:
        did, then = ("kill", "left") if service.kills else (service.stop.how or "shutdown", "kill")
    else:
        did, then = ("SIGKILL", "left") if service.kills else (service.stop.signal, "SIGKILL")
    due = service.due.wall if service.due is not None else None
    return Waiting(service.spec.name, did, due, then, is_guest=service.spec.is_guest)

"""A shutdown of the host: guests first, then services in reverse order, under one deadline.

Theory of operation. A shutdown is a mode over what is wanted, not another way to stop: it says who
is wanted no more, and what has to be gone before something else may stop; `settle` does the rest.

In the *guests' phase* services stay, except guests and what has to stop before a guest. Timers that
need a guest host, or come after it, go first, since their jobs may start guests again; then guest hosts
are asked which guests run through them (`guests`); until none of those is left, they and what they
need are wanted as ever and come back if they crash, as does what a guest needs that is a service.
Then the *services' phase* comes.

`go_on` is level-triggered like all of the engine: it looks at what there is and does what that asks
for, before every settling, so that a step taken twice, or by a successor, does no harm. Its one timer
stands for whatever is due next. After the deadline of the whole, what is left gets KILL at once.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from virtsupd.core import guests
from virtsupd.core.effects import Answer, ArmTimer, CancelTimer, Finish, RememberShutdown
from virtsupd.core.events import Fired, GuestEnded, GuestsFound, Timer
from virtsupd.core.host_scope import ROOT, GuestHost, GuestState, Phase, Shutdown, ShutdownOrder
from virtsupd.core.lifecycle import Move
from virtsupd.core.moves import end_at_last, move
from virtsupd.core.names import Name
from virtsupd.core.snapshot import State
from virtsupd.core.state import HostState

# Beginning


def begin(host: HostState, by: str) -> None:
    """Begin to stop everything; a shutdown that is under way goes on as it is."""
    if host.shutdown is None:
        deadline = host.later(host.shutdown_policy.timeout_seconds)
        _enter(host, restore(host, ShutdownOrder(by, host.now.wall, deadline)))


def restore(host: HostState, order: ShutdownOrder) -> Shutdown:
    """Stand where a predecessor stood in its shutdown; nothing is done yet."""
    services = host.services
    guest_services = frozenset(n for n, s in services.items() if s.spec.is_guest)
    is_first = order.phase is Phase.GUESTS
    hosts = [n for n, s in services.items() if s.spec.hosts_guests and is_first]
    found = Shutdown(
        order=order,
        hosts={name: GuestHost(name) for name in sorted(hosts)},
        guests=frozenset(name for name in guest_services if services[name].is_alive),
        kept=frozenset(services.keys() - host.graph.all_behind(guest_services)),
    )
    found.first = frozenset(_first(host, hosts))
    found.kept -= found.first
    if is_first:
        found.kept_up = _kept_up(host, found, hosts)
    host.shutdown = found
    return found


def _first(host: HostState, hosts: Iterable[Name]) -> Iterator[Name]:
    """Yield timers that need guest hosts, or come after them: their jobs may start guests."""
    for name in host.graph.all_behind(hosts):
        if host.services[name].spec.timer is not None:
            yield name


def boot(host: HostState) -> None:
    """Go on with the shutdown of a predecessor, if there is one.

    It has the same deadline, unless that passed while nobody was there to see it: then all that is
    left has as much time as it would have had from the beginning. What was overdue stays so.
    """
    found = host.shutdown
    if found is None:
        return
    if host.is_past(found.order.deadline) and not found.is_overdue:
        deadline = host.later(host.shutdown_policy.timeout_seconds)
        found.order = replace(found.order, deadline=deadline)
    _enter(host, found)


def _enter(host: HostState, found: Shutdown) -> None:
    host.emit(RememberShutdown(found.order))
    for service in host.services.values():
        if not host.is_wanted(service):
            host.end_backoff(service)
    host.dirty.update(host.services)


# The step


def take(host: HostState, event: GuestsFound | GuestEnded | Fired) -> None:
    """Take what happened to a shutdown; when its timer fired, `go_on` sees what is due."""
    if not isinstance(event, Fired):
        guests.take(host, event)
    elif host.shutdown is not None:
        host.shutdown.timer_at = None


def go_on(host: HostState) -> None:
    """Do what the shutdown asks for as things stand; nothing if there is none."""
    found = host.shutdown
    if found is None or found.is_finished:
        return
    if not found.is_overdue and host.is_past(found.order.deadline):
        found.order = replace(found.order, is_overdue=True)
        host.emit(RememberShutdown(found.order))
        host.announce(ROOT, "shutdown overdue")
    if found.order.phase is Phase.GUESTS:
        _go_on_with_guests(host, found)
    if found.is_overdue:
        _kill_services(host, found)
    _arm(host, found)


def _go_on_with_guests(host: HostState, found: Shutdown) -> None:
    guests.go_on(host, found)
    kept_up = _kept_up(host, found, _needy(host, found))
    host.dirty.update(found.kept_up - kept_up)
    found.kept_up = kept_up
    ending = guests.count_ending(host, found)
    if ending < found.ending:
        host.dirty.update(found.guests & host.services.keys())
    found.ending = ending
    if not awaited(host, found):
        found.order = replace(found.order, phase=Phase.SERVICES, left=tuple(_guests_left(found)))
        host.emit(RememberShutdown(found.order))
        host.dirty.update(host.services)


def _kept_up(host: HostState, found: Shutdown, hosts: Iterable[Name]) -> frozenset[Name]:
    """Return these hosts, what they need, and what guests rely on that are services and still end."""
    for_guests = host.graph.needed_closure(_relied_on(host, found))
    return frozenset(host.graph.needed_closure(hosts)) | found.kept.intersection(for_guests)


def _relied_on(host: HostState, found: Shutdown) -> Iterator[Name]:
    """Yield guests that still end, and what those of libvirt are ended through."""
    graph = host.graph
    for name in guests.services_left(host, found):
        yield name
        if host.services[name].origin.domain is not None:
            yield from (n for n in graph.wants.get(name, ()) if n in graph.earlier[name])


def _kill_services(host: HostState, found: Shutdown) -> None:
    """Send KILL to every service of which something is left, as its stop mode says."""
    for name in sorted(host.services, key=host.rank, reverse=True):
        service = host.services[name]
        if name in found.kept_up:
            continue
        if service.is_up:
            move(host, service, Move.STOP)
        if service.state is State.STOPPING:
            end_at_last(host, service)


def _arm(host: HostState, found: Shutdown) -> None:
    at = min(_due(found), default=None)
    if at == found.timer_at:
        return
    found.timer_at = at
    if at is not None:
        host.emit(ArmTimer(ROOT, 0, Timer.SHUTDOWN, at))
    else:
        host.emit(CancelTimer(ROOT, Timer.SHUTDOWN))


def _due(found: Shutdown) -> Iterator[float]:
    if not found.is_overdue:
        yield found.order.deadline.monotonic
    for guest_host in found.hosts.values():
        if not guest_host.is_settled:
            yield from _due_of(guest_host)


def _due_of(guest_host: GuestHost) -> Iterator[float]:
    if guest_host.ask_at is not None:
        yield guest_host.ask_at
    if guest_host.is_asked and guest_host.answer_due is not None:
        yield guest_host.answer_due.monotonic
    dues = [guest_host.due, *(guest.due for guest in guest_host.guests.values())]
    yield from (due.monotonic for due in dues if due is not None)


# Order


def goes_after(host: HostState, name: Name) -> tuple[Name, ...]:
    """Return what a shutdown wants gone, or done with its guests, before a service stops."""
    found = host.shutdown
    if found is None or found.order.phase is not Phase.GUESTS:
        return ()
    if name in found.kept:
        return awaited(host, found)
    if name in found.guests and not guests.has_turn(host, found):
        return (*guests.ending_services(host, found), *guests.hosts_in_turn(found))
    return ()


def awaited(host: HostState, found: Shutdown) -> tuple[Name, ...]:
    """Return what the services stay for: guests that are services, and hosts of other guests."""
    return (*guests.services_left(host, found), *_needy(host, found))


def _needy(host: HostState, found: Shutdown) -> list[Name]:
    """Return the hosts that have to stay up for their guests."""
    hosts = found.hosts.items()
    return [n for n, guest_host in hosts if not guest_host.is_settled and n in host.services]


# The end


def finish(host: HostState) -> None:
    """Answer whoever waits and end virtsupd, once nothing is left that may still end."""
    found = host.shutdown
    if found is None or found.order.phase is Phase.GUESTS:
        return
    if any(service.is_alive and not service.is_stuck for service in host.services.values()):
        return
    for number in host.tickets:
        host.emit(Answer(number, ()))
    host.tickets.clear()
    if not found.is_finished:
        found.is_finished = True
        found.left = tuple(_left(host, found))
        host.emit(CancelTimer(ROOT, Timer.SHUTDOWN))
        host.emit(Finish(found.left))


def _left(host: HostState, found: Shutdown) -> Iterator[str]:
    for name in sorted(host.services):
        if host.services[name].is_stuck:
            yield f"{name}: {host.services[name].stuck_text}"
    yield from found.order.left


def _guests_left(found: Shutdown) -> Iterator[str]:
    for name, guest_host in found.hosts.items():
        for guest in guest_host.guests.values():
            if guest.state is GuestState.LEFT:
                yield f"guest {guest.name} of {name}: {guest.why}"
        if guest_host.why:
            yield f"guests of {name}: not known which run: {guest_host.why}"

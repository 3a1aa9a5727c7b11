"""Guests that are no services, in a shutdown: found through their hosts, ended, killed or left.

A guest host is asked which guests run: at first, again after it failed to answer, and again when
those it named are gone, until there are none left to end. At most so many guests end at a time as
the policy says, services among them included. One that cannot be saved is asked to power off, with its
whole time once more: losing its memory is no reason to lose its disks.

The guests of a host run on when it is stopped. If it is down and cannot tell of them, it is started
once for that, whoever stopped it and whatever it failed of, unless it is disabled. If it is up and
gives no answer, it hangs: it is killed once, and comes back as after a crash. One that nobody
started since the machine booted has no guests: this is no failure of a shutdown.

One that could not tell in its time keeps the services waiting no longer. If it comes back while
they still wait for others, it is asked after all.
"""

from virtsupd.core.effects import EndGuest, FindGuests
from virtsupd.core.events import GuestEnded, GuestsFound
from virtsupd.core.host_scope import Guest, GuestHost, GuestState, Shutdown
from virtsupd.core.lifecycle import Move
from virtsupd.core.moves import move
from virtsupd.core.names import Name
from virtsupd.core.service import Death, Service
from virtsupd.core.shutdown_policy import GuestEnd, RunningGuest
from virtsupd.core.snapshot import State
from virtsupd.core.state import HostState

_ASK_SECONDS = 60.0
"""How long a guest host may take to say which guests run, its own return from a crash included."""
_ANSWER_SECONDS = 30.0
"""How long one that runs may take to answer once, before it counts as hung."""
_ASK_AGAIN_SECONDS = 1.0
_KILL_SECONDS = 30.0
"""How long a guest may take to end when it is killed: libvirt itself goes on from TERM to KILL after
ten seconds, and the kernel may have to write what QEMU had in hand."""

# What guest hosts tell


def take(host: HostState, event: GuestsFound | GuestEnded) -> None:
    """Take what a guest host told; what nobody waits for any more changes nothing."""
    guest_host = host.shutdown.hosts.get(event.name) if host.shutdown is not None else None
    if guest_host is None or guest_host.is_settled:
        return
    if isinstance(event, GuestEnded):
        _take_end(host, guest_host, event)
    elif guest_host.is_asked:
        guest_host.is_asked = False
        _take_answer(host, guest_host, event)


def _take_answer(host: HostState, guest_host: GuestHost, event: GuestsFound) -> None:
    if event.why is not None:
        _take_failure(host, guest_host, event.why)
        return
    guest_host.why = ""
    guest_host.due = None
    for found in event.guests:
        known = guest_host.guests.get(found.name)
        if known is None:
            guest_host.guests[found.name] = _guest(host, found)
            host.announce(guest_host.name, "guest found")
        elif known.state is GuestState.ENDED:
            _escalate(host, guest_host, known, "it was said to have ended, and runs")
    guest_host.is_settled = not guest_host.has_guests


def _take_failure(host: HostState, guest_host: GuestHost, why: str) -> None:
    service = host.services.get(guest_host.name)
    if service is not None and not service.has_past and not service.view.is_coming:
        guest_host.is_settled = True
        return
    if why != guest_host.why:
        host.announce(guest_host.name, "guests unknown")
    guest_host.why = why
    if service is not None and (_is_returning(service) or _raise(host, guest_host, service)):
        guest_host.ask_at = host.now.monotonic + _ASK_AGAIN_SECONDS
    else:
        guest_host.is_settled = True


def _is_returning(service: Service) -> bool:
    return service.is_alive or service.view.is_coming or service.retry_at is not None


def _raise(host: HostState, guest_host: GuestHost, service: Service) -> bool:
    """Start a guest host that is down, with what it needs; False: it may not be, or has been."""
    shutdown = host.shutdown
    if shutdown is None or guest_host.is_raised or not service.enabled:
        return False
    guest_host.is_raised = True
    closure = host.graph.needed_closure([guest_host.name])
    shutdown.raised |= frozenset(closure)
    for name in closure:
        host.clear_failure(host.services[name])
    host.dirty.update(closure)
    return True


def _guest(host: HostState, found: RunningGuest) -> Guest:
    policy = host.shutdown_policy
    seconds = found.timeout_seconds
    return Guest(
        found.name,
        end=found.end or policy.guest_end,
        timeout_seconds=policy.guest_timeout_seconds if seconds is None else seconds,
    )


def _take_end(host: HostState, guest_host: GuestHost, event: GuestEnded) -> None:
    guest = guest_host.guests.get(event.guest)
    if guest is None or guest.state is not GuestState.ENDING or guest.end is not event.end:
        return
    if event.why is not None and guest.end is GuestEnd.SAVE:
        guest.why = event.why
        _end(host, guest_host, guest, GuestEnd.SHUTDOWN)
        return
    if event.why is not None:
        _escalate(host, guest_host, guest, event.why)
        return
    guest.state = GuestState.ENDED
    guest.due = None
    host.announce(guest_host.name, "guest ended")


# What is done next


def go_on(host: HostState, shutdown: Shutdown) -> None:
    """Give up what took too long, end those whose turn it is, ask hosts of which no guest is left."""
    for guest_host in shutdown.hosts.values():
        _await_answer(host, shutdown, guest_host)
        for guest in guest_host.guests.values():
            _give_up_end(host, shutdown, guest_host, guest)
    _end_next(host, shutdown)
    for guest_host in shutdown.hosts.values():
        _ask(host, shutdown, guest_host)


def _await_answer(host: HostState, shutdown: Shutdown, guest_host: GuestHost) -> None:
    service = host.services.get(guest_host.name)
    if service is not None and service.state is State.RUNNING and not shutdown.is_overdue:
        _reopen(guest_host, service)
        _replace_hung(host, guest_host, service)
    if guest_host.is_asked and host.is_past(guest_host.answer_due):
        guest_host.answer_due = host.later(_ANSWER_SECONDS)  # it does not run, or was replaced
    _give_up_answer(host, shutdown, guest_host)


def _reopen(guest_host: GuestHost, service: Service) -> None:
    """Have one asked again that could not tell, and has been started anew since."""
    if guest_host.is_settled and guest_host.why and guest_host.asked_of != service.generation:
        guest_host.is_settled = False
        guest_host.due = None


def _replace_hung(host: HostState, guest_host: GuestHost, service: Service) -> None:
    """Kill one that runs and has not answered in its time, once; no guest ends by that."""
    if guest_host.is_replaced or not guest_host.is_asked or not host.is_past(guest_host.answer_due):
        return
    guest_host.is_replaced = True
    guest_host.is_asked = False
    guest_host.ask_at = host.now.monotonic + _ASK_AGAIN_SECONDS
    guest_host.due = host.later(_ASK_SECONDS)
    service.death = Death(f"it did not say within {_ANSWER_SECONDS:g} s which guests run")
    move(host, service, Move.UNHEALTHY)
    move(host, service, Move.OVERDUE)


def _give_up_answer(host: HostState, shutdown: Shutdown, guest_host: GuestHost) -> None:
    is_waiting = guest_host.is_asked or guest_host.ask_at is not None
    if is_waiting and (shutdown.is_overdue or host.is_past(guest_host.due)):
        guest_host.is_asked, guest_host.ask_at = False, None
        guest_host.why = guest_host.why or "no answer"
        guest_host.is_settled = True


def _give_up_end(host: HostState, shutdown: Shutdown, guest_host: GuestHost, guest: Guest) -> None:
    is_killed = guest.state is GuestState.ENDING and guest.end is GuestEnd.KILL
    if host.is_past(guest.due):
        _escalate(host, guest_host, guest, f"it did not end within {_seconds(guest):g} s")
    elif shutdown.is_overdue and not guest.is_settled and not is_killed:
        _escalate(host, guest_host, guest, "it did not end before the deadline of the shutdown")


def _escalate(host: HostState, guest_host: GuestHost, guest: Guest, why: str) -> None:
    """Go on with a guest that could not be ended so: kill it, or leave it."""
    guest.why = why
    was_killed = guest.end is GuestEnd.KILL and guest.state is not GuestState.RUNNING
    if was_killed or host.shutdown_policy.overdue == "leave":
        guest.state = GuestState.LEFT
        guest.due = None
        host.announce(guest_host.name, "guest left")
    else:
        _end(host, guest_host, guest, GuestEnd.KILL)


def _end(host: HostState, guest_host: GuestHost, guest: Guest, end: GuestEnd) -> None:
    guest.state, guest.end = GuestState.ENDING, end
    guest.due = host.later(_seconds(guest))
    host.emit(EndGuest(guest_host.name, guest.name, end))
    host.announce(guest_host.name, "guest killed" if end is GuestEnd.KILL else "guest ending")


def _seconds(guest: Guest) -> float:
    return _KILL_SECONDS if guest.end is GuestEnd.KILL else guest.timeout_seconds


def _end_next(host: HostState, shutdown: Shutdown) -> None:
    for guest_host in shutdown.hosts.values():
        for guest in guest_host.guests.values():
            if guest.state is GuestState.RUNNING and has_turn(host, shutdown):
                _end(host, guest_host, guest, guest.end)


def _ask(host: HostState, shutdown: Shutdown, guest_host: GuestHost) -> None:
    if guest_host.is_settled or guest_host.is_asked or guest_host.has_guests:
        return
    if not shutdown.is_overdue and _may_start_guests(host, shutdown):
        return
    if shutdown.is_overdue:
        guest_host.is_settled = True
        if not guest_host.guests:
            guest_host.why = "the deadline had passed before it was asked"
        return
    if guest_host.ask_at is not None and guest_host.ask_at > host.now.monotonic:
        return
    service = host.services.get(guest_host.name)
    guest_host.is_asked, guest_host.ask_at = True, None
    guest_host.asked_of = service.generation if service is not None else 0
    guest_host.answer_due = host.later(_ANSWER_SECONDS)
    guest_host.due = guest_host.due or host.later(_ASK_SECONDS)
    host.emit(FindGuests(guest_host.name))


def _may_start_guests(host: HostState, shutdown: Shutdown) -> bool:
    """Whether something of a guest host still runs that could start guests again."""
    first = (host.services.get(name) for name in shutdown.first - shutdown.kept_up)
    return any(found is not None and found.is_alive and not found.is_stuck for found in first)


# Turns


def has_turn(host: HostState, shutdown: Shutdown) -> bool:
    """Tell whether one more guest may begin to end."""
    return count_ending(host, shutdown) < host.shutdown_policy.parallel


def count_ending(host: HostState, shutdown: Shutdown) -> int:
    """Return how many guests are on their way."""
    others = (guest for h in shutdown.hosts.values() for guest in h.guests.values())
    ending = sum(guest.state is GuestState.ENDING for guest in others)
    return ending + len(ending_services(host, shutdown))


def ending_services(host: HostState, shutdown: Shutdown) -> list[Name]:
    """Return the guests on their way that are services."""
    left = services_left(host, shutdown)
    return [name for name in left if host.services[name].state is State.STOPPING]


def services_left(host: HostState, shutdown: Shutdown) -> list[Name]:
    """Return the guests that are services and may still end, sorted."""
    guests = ((name, host.services.get(name)) for name in sorted(shutdown.guests))
    return [n for n, guest in guests if guest is not None and guest.is_alive and not guest.is_stuck]


def hosts_in_turn(shutdown: Shutdown) -> list[Name]:
    """Return the hosts of guests that are on their way."""
    return [
        name
        for name, guest_host in shutdown.hosts.items()
        if any(guest.state is GuestState.ENDING for guest in guest_host.guests.values())
    ]

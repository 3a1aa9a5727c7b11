"""What is wanted: the one place that writes it, for commands, boot and reload.

Nothing here starts or stops anything. It says what should be so, and `settle` finds what differs.
"""

from collections.abc import Iterable
from typing import assert_never

from virtsupd.core import commands
from virtsupd.core.effects import Answer, CancelTimer, Remember, RunReload
from virtsupd.core.events import Asked, Timer, Verb
from virtsupd.core.names import Name
from virtsupd.core.state import HostState
from virtsupd.core.ticket import Ticket

_BOOT = "boot"
RELOAD = "reload"


def boot(host: HostState) -> None:
    """Want what an earlier virtsupd was told to, and for the rest what the definitions start."""
    known: dict[Name, bool] = {}
    for name, service in host.services.items():
        service.since = host.now.wall
        kept = host.remembered.get(name)
        if kept is not None and kept.wanted is not None:
            known[name] = kept.wanted
            set_wanted(host, [name], wanted=kept.wanted, who="an earlier command")
    specs = host.graph.spec_by_name.items()
    started = host.graph.closure(n for n, s in specs if s.autostart and n not in known)
    set_wanted(host, (n for n in started if n not in known), wanted=True, who=_BOOT)
    host.dirty.update(host.services)


def ask(host: HostState, event: Asked) -> None:
    """Take a command: refuse it whole, or open a ticket and want what it says."""
    ticket = commands.open_ticket(host, event)
    if ticket.refusal is not None:
        host.emit(Answer(event.ticket, ticket.refusal))
        return
    host.tickets[event.ticket] = ticket
    match event.verb:
        case Verb.START | Verb.RESTART:
            _ask_up(host, event, ticket)
        case Verb.STOP:
            set_wanted(host, event.names, wanted=False, who=event.who)
            _mark(host, ticket.cascade)
        case Verb.ENABLE | Verb.DISABLE:
            _set_enabled(host, event.names, enabled=event.verb is Verb.ENABLE)
        case Verb.RELOAD:
            _ask_reload(host, event.names)
        case Verb.SHUTDOWN:
            _shut_down(host)
        case Verb.WAIT:
            pass
        case _:
            assert_never(event.verb)


def set_wanted(host: HostState, names: Iterable[Name], *, wanted: bool, who: str) -> None:
    """Want services up or down from now on; what a command changed is remembered."""
    for name in names:
        service = host.services[name]
        if service.wanted != wanted or not service.wanted_by:
            service.wanted = wanted
            service.wanted_by = who
            service.wanted_since = host.now.wall
            host.dirty.add(name)
            if who not in (_BOOT, RELOAD):
                host.emit(Remember(name, wanted=wanted, enabled=service.enabled))
        if not wanted:
            host.end_backoff(service)


def _ask_up(host: HostState, event: Asked, ticket: Ticket) -> None:
    closure = host.graph.closure(event.names)
    for name in closure:
        host.services[name].clear_failure()
        host.emit(CancelTimer(name, Timer.BACKOFF))
    for name in event.names:
        host.services[name].death = None
    set_wanted(host, ticket.displaced, wanted=False, who=event.who)
    set_wanted(host, closure, wanted=True, who=event.who)
    _mark(host, ticket.cascade)
    host.dirty.update(closure)


def _ask_reload(host: HostState, names: Iterable[Name]) -> None:
    for name in names:
        service = host.services[name]
        if service.spec.reload is not None:
            host.emit(RunReload(name, service.generation, service.spec.reload))


def _shut_down(host: HostState) -> None:
    host.is_shutting_down = True
    for service in host.services.values():
        host.end_backoff(service)
    host.dirty.update(host.services)


def _set_enabled(host: HostState, names: Iterable[Name], *, enabled: bool) -> None:
    for name in names:
        service = host.services[name]
        service.enabled = enabled
        if enabled:
            host.clear_failure(service)
        host.dirty.add(name)
        host.emit(Remember(name, wanted=service.wanted, enabled=enabled))
        host.announce(name, "service enabled" if enabled else "service disabled")


def _mark(host: HostState, names: Iterable[Name]) -> None:
    for name in names:
        if host.services[name].is_alive:
            host.services[name].is_marked = True
            host.dirty.add(name)

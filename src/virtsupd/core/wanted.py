"""What is wanted: the one place that writes it, for commands, boot and reload.

Nothing here starts or stops anything. It says what should be so, and `settle` finds what differs.
"""

from collections.abc import Iterable
from typing import assert_never

from virtsupd.core import commands, shutdown, timing
from virtsupd.core.effects import Answer, Release, RunReload
from virtsupd.core.events import Asked, Verb
from virtsupd.core.names import Name
from virtsupd.core.service import Service
from virtsupd.core.state import HostState
from virtsupd.core.ticket import Ticket

_BOOT = "boot"
RELOAD = "reload"


def boot(host: HostState) -> None:
    """Want what an earlier virtsupd was told to, and for the rest what the definitions start."""
    for name, service in host.services.items():
        if not service.has_past:
            service.since = host.now.wall
        kept = host.remembered.get(name)
        if kept is not None and kept.wanted is not None:
            who = kept.by or "an earlier command"
            set_wanted(host, [name], wanted=kept.wanted, who=who, since=kept.since or None)
    roots = (n for n, s in host.services.items() if s.wanted or s.spec.autostart)
    want_along(host, roots, who=_BOOT)
    timing.boot(host)
    host.dirty.update(host.services)


def ask(host: HostState, event: Asked) -> None:
    """Take a command: refuse it whole, or open a ticket and want what it says."""
    gone = [name for name in event.names if name not in host.services]
    if gone:
        text = f"{', '.join(gone)}: no longer there"
        host.emit(Answer(event.ticket, commands.refused(event.names, text)))
        return
    ticket = commands.open_ticket(host, event)
    if ticket.refusal is not None:
        host.emit(Answer(event.ticket, ticket.refusal))
        return
    if event.verb in (Verb.STOP, Verb.RESTART):
        for name in ticket.names:
            host.take_once(name)  # what it was to be started with before
    host.tickets[event.ticket] = ticket
    _want_as_asked(host, event, ticket)


def _want_as_asked(host: HostState, event: Asked, ticket: Ticket) -> None:
    match event.verb:
        case Verb.START | Verb.RESTART:
            _ask_up(host, event, ticket)
        case Verb.STOP:
            _change(host, ticket.names, wanted=False, who=event.who)
            _mark(host, ticket.cascade)
            ticket.touched += _to_be_cleaned_again(host, ticket.names)
        case Verb.ENABLE | Verb.DISABLE:
            _set_enabled(host, event.names, enabled=event.verb is Verb.ENABLE)
        case Verb.RELOAD:
            _ask_reload(host, event.names)
        case Verb.SHUTDOWN:
            shutdown.begin(host, event.who)
        case Verb.TRIGGER | Verb.HOLD | Verb.RELEASE:
            timing.ask(host, event, ticket)
        case Verb.WAIT:
            pass
        case _:
            assert_never(event.verb)


def _to_be_cleaned_again(host: HostState, names: Iterable[Name]) -> tuple[Name, ...]:
    """Have clean-ups that failed run once more, as they are defined now; return whose."""
    found = tuple(name for name in names if host.services[name].can_be_cleaned_again)
    for name in found:
        service = host.services[name]
        service.clean_up, service.not_cleaned = service.spec.clean_up, ""
    host.dirty.update(found)
    return found


def set_wanted(
    host: HostState,
    names: Iterable[Name],
    *,
    wanted: bool,
    who: str,
    since: float | None = None,
) -> None:
    """Want services up or down since then (None: now); what a command changed is remembered."""
    for name in names:
        service = host.services[name]
        if service.wanted != wanted or not service.wanted_by:
            service.wanted = wanted
            service.wanted_by = who
            service.wanted_since = host.now.wall if since is None else since
            host.dirty.add(name)
            if who not in (_BOOT, RELOAD) or _is_remembered(host, name):
                host.remember(service)
        if not wanted:
            host.end_backoff(service)
            if not service.is_alive and service.origin.has_sockets:
                host.emit(Release(name))  # kept for it while it waited


def want_along(host: HostState, roots: Iterable[Name], *, who: str) -> None:
    """Want services and what is started along with them, except what an operator stopped."""
    closure = host.graph.closure(roots)
    names = (name for name in closure if not _is_kept_down(host.services[name]))
    if who == _BOOT:
        set_wanted(host, names, wanted=True, who=who)
    else:
        _change(host, names, wanted=True, who=who)


def _change(host: HostState, names: Iterable[Name], *, wanted: bool, who: str) -> None:
    """Want services otherwise than before; nothing fires for the time before that."""
    for name in names:
        service = host.services[name]
        if service.wanted != wanted:
            timing.begin_anew(host, service)
        set_wanted(host, [name], wanted=wanted, who=who)


def _is_remembered(host: HostState, name: Name) -> bool:
    """Tell whether a later virtsupd would go by a command of this boot."""
    kept = host.remembered.get(name)
    return kept is not None and kept.wanted is not None


def _is_kept_down(service: Service) -> bool:
    return not service.wanted and service.wanted_by not in ("", RELOAD)


def _ask_up(host: HostState, event: Asked, ticket: Ticket) -> None:
    closure = host.graph.closure(ticket.names)
    for name in closure:
        if name in ticket.names or not host.services[name].is_elsewhere:
            host.clear_failure(host.services[name])
    for name in ticket.names:
        host.services[name].death = None
    if event.once:
        off = [name for name in ticket.names if not host.services[name].is_up]
        disabled = [name for name in off if not host.services[name].enabled]
        _set_enabled(host, disabled, enabled=True)
    _change(host, ticket.displaced, wanted=False, who=event.who)
    _change(host, closure, wanted=True, who=event.who)
    _mark(host, ticket.cascade)
    host.dirty.update(closure)


def _ask_reload(host: HostState, names: Iterable[Name]) -> None:
    for name in names:
        service = host.services[name]
        if service.can_reload and service.spec.reload is not None:
            host.emit(RunReload(name, service.generation, service.spec.reload))


def _set_enabled(host: HostState, names: Iterable[Name], *, enabled: bool) -> None:
    for name in names:
        service = host.services[name]
        service.enabled = enabled
        if enabled:
            if not service.is_elsewhere:
                host.clear_failure(service)
            if not service.is_alive:
                timing.begin_anew(host, service)
        host.dirty.add(name)
        host.remember(service)
        host.announce(name, "service enabled" if enabled else "service disabled")


def _mark(host: HostState, names: Iterable[Name]) -> None:
    for name in names:
        host.services[name].is_marked = True
        host.dirty.add(name)

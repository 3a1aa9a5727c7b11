"""The loop: what is wanted against what is.

It starts a service that is wanted, enabled, not resting and not backing off, once all it needs are
satisfied, nothing it conflicts with is alive, and nothing that comes earlier is still on its way.
It stops a service that is not wanted, that a cascade has marked, one of whose bonds fell, or that lost
what it needs before its process was made; it lets those go down first that depend on it or come later, and what a shutdown wants gone before. The
two conditions exclude each other, and both read only what lies before (or behind) a service in an
acyclic order, so the effects end. A one-shot that was done by an older definition runs again before
something starts that needs it, unless a process relies on it.

A pass has two halves. First the *views* of the changed services and of those behind them are
brought up to date in rank order: a view is all that neighbours look at. Then each service whose
surroundings changed is judged once. Moves made there make services dirty again; the passes end
when nothing is dirty. The cost of an event is that of its neighbourhood, not of the graph.
"""

from collections.abc import Iterable
from heapq import heapify, heappop, heappush

from virtsupd.core.explain import hold, stops_after
from virtsupd.core.lifecycle import Move
from virtsupd.core.moves import move
from virtsupd.core.names import Name
from virtsupd.core.service import RestKind, Service, View
from virtsupd.core.shutdown import go_on
from virtsupd.core.snapshot import State
from virtsupd.core.state import HostState
from virtsupd.core.timing import look


def settle(host: HostState) -> None:
    """Start and stop what the event at hand lets start or stop, until nothing differs."""
    go_on(host)
    while host.dirty:
        for name in sorted(_refresh_views(host), key=host.rank):
            _judge(host, host.services[name])
        go_on(host)


def _refresh_views(host: HostState) -> set[Name]:
    """Bring views up to date, causes first; return the services to judge."""
    waiting = [(host.rank(name), name) for name in host.dirty]
    heapify(waiting)
    host.touched |= host.dirty
    host.dirty = set()
    affected: set[Name] = set()
    last = None
    while waiting:
        name = heappop(waiting)[1]
        if name == last:
            continue
        last = name
        affected.add(name)
        affected.update(host.neighbours(name))
        if _refresh(host, host.services[name]):
            graph = host.graph
            behind = (*graph.needed_by[name], *graph.later[name], *graph.conflicts[name])
            for other in behind:
                heappush(waiting, (host.rank(other), other))
    return affected


def _refresh(host: HostState, service: Service) -> bool:
    """Bring one view up to date; return whether it changed."""
    old, service.view = service.view, view_of(host, service)
    if service.view.is_degraded != old.is_degraded:
        word = "service degraded" if service.view.is_degraded else "service recovered"
        host.announce(service.spec.name, word)
    return service.view != old


def view_of(host: HostState, service: Service) -> View:
    """Work out what the neighbours of a service see of it now."""
    name = service.spec.name
    needs = [host.services[need].view for need in host.graph.needs[name]]
    must_stop = service.is_up and (
        not host.is_wanted(service)
        or service.is_marked
        or any(not host.services[b].view.holds for b in host.graph.binds[name])
        or (service.prepared_for is not None and not _may_be_made(host, name, needs))
    )
    runs = service.state is State.RUNNING and not must_stop
    rests = service.rest is not None and service.rest.kind is RestKind.NOT_NEEDED
    is_satisfied = runs or (rests and not host.is_there(service))
    return View(
        is_satisfied=is_satisfied,
        holds=is_satisfied or service.is_asked_again,
        is_coming=not runs and _is_coming(host, service, needs, must_stop=must_stop),
        must_stop=must_stop,
        is_degraded=runs and any(not need.is_satisfied for need in needs),
        is_alive=service.is_alive,
    )


def _may_be_made(host: HostState, name: Name, needs: Iterable[View]) -> bool:
    """Whether what is being prepared may still become a process."""
    rivals = (host.services[rival] for rival in host.graph.conflicts[name])
    return all(need.holds for need in needs) and not any(map(host.is_there, rivals))


def _is_coming(
    host: HostState, service: Service, needs: Iterable[View], *, must_stop: bool
) -> bool:
    if not host.is_wanted(service) or not service.enabled:
        return False
    if service.state is State.STARTING and not must_stop:
        return True
    if (
        service.is_stuck
        or service.rest is not None
        or service.retry_at is not None
        or service.death is not None
    ):
        return False
    if any(
        host.is_there(host.services[rival]) for rival in host.graph.conflicts[service.spec.name]
    ):
        return False
    return all(need.is_satisfied or need.is_coming for need in needs)


def _judge(host: HostState, service: Service) -> None:
    if service.is_up:
        # What is not made yet waits for nobody, and is not made any more.
        is_free = service.prepared_for is not None or not stops_after(host, service)
        if service.view.must_stop and is_free:
            move(host, service, Move.STOP)
        elif not service.view.must_stop:
            look(host, service)
    elif service.state is State.STOPPED and host.is_to_be_cleaned(service):
        move(host, service, Move.CLEAN_UP)
    elif not service.is_alive and hold(host, service) is None:
        if not host.dirty.isdisjoint(host.graph.needs[service.spec.name]):
            return  # in this pass something it needs has changed: it is judged again in the next
        _start(host, service)


def _start(host: HostState, service: Service) -> None:
    """Start a service, or first have run again what it needs and what is outdated."""
    outdated = _outdated(host, service)
    for name in outdated:
        host.services[name].is_marked = True
    host.dirty.update(outdated)
    if not outdated:
        move(host, service, Move.START)


def _outdated(host: HostState, service: Service) -> tuple[Name, ...]:
    """Return the one-shots that have to run again before a service starts, since it needs them.

    What they have done was done by another definition than the one in force, or on top of such. One
    that a process relies on meanwhile is left as it is, and one that is a guest.
    """
    found: dict[Name, bool] = {}
    for need in host.graph.needs[service.spec.name]:
        _is_outdated(host, need, found)
    return tuple(name for name, is_outdated in found.items() if is_outdated)


def _is_outdated(host: HostState, name: Name, found: dict[Name, bool]) -> bool:
    """Tell whether a service is a one-shot that has to run again; note that of what it needs, too."""
    service = host.services[name]
    may_run_again = service.is_done and service.enabled and not service.origin.is_guest
    if name not in found and may_run_again:
        behind = (host.services[other] for other in host.graph.needed_by[name])
        is_free = all(other.is_done or not other.is_alive for other in behind)
        below = [_is_outdated(host, need, found) for need in host.graph.needs[name]]
        found[name] = is_free and (service.has_replacement or any(below))
    return found.get(name, False)

"""Another configuration takes over: what it may not do, and how the services pass into it.

Edges, names and policies of a definition hold at once; what makes the process is compared later
(`Service.has_replacement`) and takes effect at the next start, whatever causes it. A service that
reads changed files again when it is told to is told. One that is no longer configured stays in the
graph, unwanted and needed by nobody, until it has stopped.
"""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace

from virtsupd.core.effects import AwaitReady, EndWatches
from virtsupd.core.graph import GraphError, ServiceGraph
from virtsupd.core.moves import arm_deadline, end_watches, tell_to_reload, watch_health
from virtsupd.core.names import Name
from virtsupd.core.service import KEPT_RESTS, Service
from virtsupd.core.snapshot import State
from virtsupd.core.spec import ServiceSpec
from virtsupd.core.state import HostState
from virtsupd.core.wanted import RELOAD, want_along


def reload_problems(host: HostState, graph: ServiceGraph) -> tuple[str, ...]:
    """Return why a valid new graph cannot be taken over now; () if it can."""
    problems: list[str] = []
    for name in sorted(host.services):
        service = host.services[name]
        if not service.is_alive:
            continue
        if name not in graph.spec_by_name:
            problems.extend(_leaving_problems(service, graph))
        elif service.spec.is_guest:
            problems.extend(_binding_problems(host, service, graph))
    return tuple(problems)


def _leaving_problems(service: Service, graph: ServiceGraph) -> Iterator[str]:
    name = service.spec.name
    if service.spec.is_guest and service.origin.domain is None and not _runs_on(service):
        yield f"{name}: removing it would end a running guest; stop it first"
    heirs = {graph.canonical[n] for n in service.spec.provides if n in graph.canonical}
    for heir in sorted(heirs):
        yield f"{heir}: takes over a name of {name}, which still runs; stop {name} first"


def _runs_on(service: Service) -> bool:
    """Whether it was not configured before either, and stays up for its guests: a reload changes nothing."""
    return service.is_left_over and not service.is_removed


def _binding_problems(host: HostState, guest: Service, graph: ServiceGraph) -> Iterator[str]:
    name = guest.spec.name
    if guest.is_up and not guest.view.must_stop:
        for bond in graph.binds[name]:
            if not _will_hold(host, bond, graph):
                yield f"{name}: binding it to {bond}, which is down, would end a running guest"


def _will_hold(host: HostState, name: Name, graph: ServiceGraph) -> bool:
    """Tell whether a service that others are bound to stays satisfied when `graph` takes over."""
    service = host.services.get(name)
    if service is None or not service.view.holds:
        return False
    return all(_will_hold(host, bond, graph) for bond in graph.binds[name])


def take_over(host: HostState, graph: ServiceGraph, *, spared: Collection[Name] = ()) -> None:
    """Put a graph in force that `reload_problems` has nothing against; `spared` are told nothing."""
    leaving = [s for n, s in host.services.items() if n not in graph.spec_by_name]
    # A guest of libvirt's runs on, as those that never were services do.
    last = {s.spec.name: s for s in leaving if _has_left(s) and s.origin.domain is None}
    for service in leaving:
        if service.spec.name not in last:
            host.forget(service, "it left the configuration")
    ending = {name: service for name, service in last.items() if not _runs_on(service)}
    for name, service in ending.items():
        staying = (n for n in host.graph.needs[name] if n in graph.spec_by_name or n in last)
        _leave(host, service, behind=tuple(staying))
    fresh = [n for n, spec in graph.spec_by_name.items() if _replace_spec(host, n, spec)]
    host.graph = with_leftovers(graph, [s.spec for s in last.values()])
    for name in graph.spec_by_name:
        service = host.services[name]
        service.is_to_reload = service.has_unread and name not in spared
        tell_to_reload(host, service)
    kept = (name for name, service in host.services.items() if service.wanted)
    want_along(host, (*fresh, *kept), who=RELOAD)
    host.retry_not_needed(host.services)
    host.dirty.update(host.services)


def _has_left(service: Service) -> bool:
    """Tell whether something is there of a service: processes, or what they made."""
    return service.is_alive or service.clean_up is not None


def add(host: HostState, spec: ServiceSpec) -> None:
    """Put one service more into the graph; what is there already is not looked at."""
    graph = host.graph
    specs = (*graph.spec_by_name.values(), spec)
    host.graph = ServiceGraph.build(specs, absent=graph.absent - set(spec.provides))
    service = host.add(spec)
    if not service.enabled:
        service.enabled = True
        host.remember(service)
    want_along(host, [spec.name], who=RELOAD)


def _leave(host: HostState, service: Service, *, behind: tuple[Name, ...]) -> None:
    """Take a running service out of the configuration; it stays in the graph until stopped."""
    old = service.spec
    service.is_removed = True
    service.wanted = False
    service.wanted_by = RELOAD
    service.spec = ServiceSpec(
        name=old.name,
        provides=(old.name,),
        description=old.description,
        source=old.source,
        after=behind,
        process=old.process,
        ready=old.ready,
        respawn=None,
        stop=old.stop,
        autostart=False,
        is_guest=old.is_guest,
    )


def _replace_spec(host: HostState, name: Name, spec: ServiceSpec) -> bool:
    """Put a definition in force; return whether reload starts the service."""
    service = host.services.get(name)
    if service is None:
        return host.add(spec).enabled and spec.autostart
    returns = service.is_removed or (spec.autostart and not service.spec.autostart)
    if spec != service.spec and not _rests_on(service, spec):
        host.clear_failure(service)
    old, service.spec = service.spec, spec
    service.is_removed = False
    service.take_definition()
    is_awaited = service.state is State.STARTING and service.is_same_guest
    if is_awaited and spec.ready != old.ready:
        _await_anew(host, service)
    is_watched = spec.health != old.health and service.state is State.RUNNING
    if is_watched and not _asks_a_replacement(service, old):
        _watch_anew(host, service)
    return returns and spec.autostart


def _rests_on(service: Service, spec: ServiceSpec) -> bool:
    """Whether a guest that ended well, or runs elsewhere, did so as the guest that it still is."""
    is_same = spec.domain is not None and spec.domain == service.spec.domain
    return is_same and service.rest is not None and service.rest.kind in KEPT_RESTS


def _await_anew(host: HostState, service: Service) -> None:
    """Let a guest of libvirt's that starts be waited for as is said now."""
    service.forget_deadline()
    service.not_ready_because = ""
    end_watches(host, service)
    host.emit(AwaitReady(service.spec.name, service.generation, service.spec.ready))
    arm_deadline(host, service)


def _asks_a_replacement(service: Service, old: ServiceSpec) -> bool:
    """Tell whether a health check is about a process that is not there yet: other ports, other sockets."""
    new = service.spec.health
    is_another = new is not None and old.health is not None and new.probe != old.health.probe
    return is_another and service.has_replacement


def _watch_anew(host: HostState, service: Service) -> None:
    """Let a changed health check hold at once."""
    service.unhealthy = None
    host.emit(EndWatches(service.spec.name, service.generation))
    watch_health(host, service)


def with_leftovers(graph: ServiceGraph, leftovers: Iterable[ServiceSpec]) -> ServiceGraph:
    """Return `graph` with services that are only there until they have stopped."""
    last = tuple(leftovers)
    if not last:
        return graph
    specs = tuple(graph.spec_by_name.values())
    try:
        return ServiceGraph.build((*specs, *last), absent=graph.absent)
    except GraphError:
        # The new edges contradict the old order; what leaves then goes without order.
        free = (replace(spec, after=()) for spec in last)
        return ServiceGraph.build((*specs, *free), absent=graph.absent)

"""Another configuration takes over: what it may not do, and how the services pass into it.

Edges, names and policies of a definition hold at once; what makes the process is compared later
(`Service.has_replacement`) and takes effect at the next start, whatever causes it. A service that
is no longer configured stays in the graph, unwanted and needed by nobody, until it has stopped.
"""

from collections.abc import Iterable
from dataclasses import replace

from virtsupd.core.graph import GraphError, ServiceGraph
from virtsupd.core.names import Name
from virtsupd.core.service import Service
from virtsupd.core.spec import ServiceSpec
from virtsupd.core.state import HostState
from virtsupd.core.wanted import RELOAD, set_wanted


def reload_problems(host: HostState, graph: ServiceGraph) -> tuple[str, ...]:
    """Return why a valid new graph cannot be taken over now; () if it can."""
    problems: list[str] = []
    for name in sorted(host.services):
        service = host.services[name]
        if name in graph.spec_by_name or not service.is_alive:
            continue
        if service.spec.is_guest:
            problems.append(f"{name}: removing it would end a running guest; stop it first")
        heirs = {graph.canonical[n] for n in service.spec.provides if n in graph.canonical}
        problems.extend(
            f"{heir}: takes over a name of {name}, which still runs; stop {name} first"
            for heir in sorted(heirs)
        )
    return tuple(problems)


def take_over(host: HostState, graph: ServiceGraph) -> None:
    """Put a graph in force that `reload_problems` has nothing against."""
    leaving = [s for n, s in host.services.items() if n not in graph.spec_by_name]
    last = {s.spec.name: s for s in leaving if s.is_alive}
    for service in leaving:
        if not service.is_alive:
            host.forget(service, "it left the configuration")
    for name, service in last.items():
        staying = (n for n in host.graph.needs[name] if n in graph.spec_by_name or n in last)
        _leave(host, service, behind=tuple(staying))
    fresh = [n for n, spec in graph.spec_by_name.items() if _replace_spec(host, n, spec)]
    host.graph = _with_leftovers(graph, [s.spec for s in last.values()])
    set_wanted(host, host.graph.closure(fresh), wanted=True, who=RELOAD)
    host.retry_not_needed(host.services)
    host.dirty.update(host.services)


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
    if spec != service.spec:
        host.clear_failure(service)
    service.spec = spec
    service.is_removed = False
    return returns and spec.autostart


def _with_leftovers(graph: ServiceGraph, leftovers: Iterable[ServiceSpec]) -> ServiceGraph:
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

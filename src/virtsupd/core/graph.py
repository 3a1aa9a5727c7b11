"""The graph of services: what provides which name, who needs whom, and who comes before whom.

Theory of operation. A configuration is a set of `ServiceSpec`s whose edges are names of
provisions. `ServiceGraph.build` resolves every edge to canonical names, once, and refuses the
whole set with every reason it finds, so that whoever holds a graph holds a sound one:

- every name is provided by exactly one service;
- nobody requires something transient, which may vanish;
- "comes before" has no cycle, over requirements and order-only edges together (an edge
  `before = ["x"]` is `after` seen from the other end); a cycle is reported as its names;
- no two services that conflict are both started at boot, and none conflicts with what it needs.

Edges and what they mean: `needs` (requires and binds_to) must be up before and are started along;
`binds` are those of the needs with which a service falls; `wants` are started along and may fail;
`earlier` are order only; `parts` are meant when a stop or restart names the whole. `rank` is one topological order: needs and earlier services have a
smaller rank, so a pass in rank order sees causes before consequences.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from difflib import get_close_matches
from graphlib import CycleError, TopologicalSorter

from virtsupd.core.frozen import frozen
from virtsupd.core.names import Name
from virtsupd.core.spec import ServiceSpec
from virtsupd.errors import ConfigError, UnknownServiceError

Edges = Mapping[Name, tuple[Name, ...]]

_HARD = ("requires", "binds_to")
_SOFT = ("wants", "after", "before", "conflicts", "part_of")
_OF_OTHERS = ("conflicts", "part_of")
_CYCLES_SHOWN = 10


class GraphError(ConfigError):
    """The services do not make a sound graph; `problems` holds every reason."""

    code = "bad-graph"


@frozen
class ServiceGraph:
    """A sound set of services with its edges resolved. Keys and values are canonical names."""

    spec_by_name: Mapping[Name, ServiceSpec]
    canonical: Mapping[Name, Name]
    """Every provision to the service that provides it."""
    needs: Edges
    binds: Edges
    wants: Edges
    earlier: Edges
    conflicts: Edges
    """Symmetric."""
    parts: Edges
    """By what they are part of."""
    needed_by: Edges
    later: Edges
    rank: Mapping[Name, int]
    absent: frozenset[str] = frozenset()
    """Known names that are not part of this configuration."""

    @classmethod
    def build(
        cls, specs: Iterable[ServiceSpec], *, absent: Collection[str] = frozenset()
    ) -> "ServiceGraph":
        """Resolve and check `specs`.

        `absent` are names that are known but not part of this configuration (built-in services
        that nobody turned on): wants and order-only edges to them are dropped instead of refused.

        Raises:
            GraphError: with every problem found.
        """
        all_specs = tuple(specs)
        problems: list[str] = []
        canonical = _provisions(all_specs, problems)
        resolver = _Resolver(canonical, frozenset(absent), problems)
        spec_by_name = {spec.name: spec for spec in all_specs}
        edges = {kind: resolver.edges(all_specs, kind) for kind in (*_HARD, *_SOFT)}
        needs = _merged(edges["requires"], edges["binds_to"])
        earlier = _merged(edges["after"], _reversed(edges["before"]))
        conflicts = _merged(edges["conflicts"], _reversed(edges["conflicts"]))
        rank = _ranked(spec_by_name, _merged(needs, earlier), problems)
        _check_transients(spec_by_name, needs, problems)
        if not problems:
            _check_conflicts(spec_by_name, needs, edges["wants"], conflicts, problems)
        if problems:
            raise GraphError(tuple(problems))
        return cls(
            spec_by_name=spec_by_name,
            canonical=canonical,
            needs=needs,
            binds=edges["binds_to"],
            wants=edges["wants"],
            earlier=earlier,
            conflicts=conflicts,
            parts=_reversed(edges["part_of"], over=spec_by_name),
            needed_by=_reversed(needs, over=spec_by_name),
            later=_reversed(earlier, over=spec_by_name),
            rank=rank,
            absent=frozenset(absent),
        )

    def resolve(self, name: str) -> Name:
        """Return the canonical name of the service that provides `name`.

        Raises:
            UnknownServiceError: nobody provides it; the nearest known name is in the error.
        """
        found = self.canonical.get(Name(name))
        if found is None:
            nearest = get_close_matches(name, self.canonical, n=1)
            raise UnknownServiceError(name, nearest[0] if nearest else None)
        return found

    def closure(self, names: Iterable[Name]) -> tuple[Name, ...]:
        """Return `names` and all that is started along with them, in rank order."""
        return self._reach(names, self.needs, self.wants)

    def needed_closure(self, names: Iterable[Name]) -> tuple[Name, ...]:
        """Return `names` and all that they cannot run without, in rank order."""
        return self._reach(names, self.needs)

    def dependents(self, names: Iterable[Name]) -> tuple[Name, ...]:
        """Return all that cannot run without one of `names`, those not included, in rank order."""
        given = set(names)
        return tuple(name for name in self._reach(given, self.needed_by) if name not in given)

    def all_behind(self, names: Iterable[Name]) -> frozenset[Name]:
        """Return `names` and all that must stop before one of them, by need or order alone."""
        return frozenset(_reachable(names, self.needed_by, self.later))

    def with_parts(self, names: Iterable[Name]) -> tuple[Name, ...]:
        """Return `names`, and then all that is part of them, in rank order."""
        given = tuple(names)
        found = self._reach(given, self.parts)
        return (*given, *(name for name in found if name not in given))

    def _reach(self, names: Iterable[Name], *edges: Edges) -> tuple[Name, ...]:
        return tuple(sorted(_reachable(names, *edges), key=self.rank.__getitem__))


class _Resolver:
    """Turns names of provisions into canonical names and notes those that nobody provides."""

    def __init__(
        self, canonical: Mapping[Name, Name], absent: frozenset[str], problems: list[str]
    ) -> None:
        self._canonical = canonical
        self._absent = absent
        self._problems = problems

    def edges(self, specs: Sequence[ServiceSpec], kind: str) -> dict[Name, tuple[Name, ...]]:
        return {spec.name: self._resolved(spec, kind) for spec in specs}

    def _resolved(self, spec: ServiceSpec, kind: str) -> tuple[Name, ...]:
        names: tuple[Name, ...] = getattr(spec, kind)
        found: dict[Name, None] = {}
        for name in names:
            target = self._canonical.get(name)
            if target is not None and (target != spec.name or kind not in _OF_OTHERS):
                found[target] = None
            elif target is None and not (kind in _SOFT and name in self._absent):
                self._problems.append(self._unknown(spec, kind, name))
        return tuple(found)

    def _unknown(self, spec: ServiceSpec, kind: str, name: Name) -> str:
        nearest = get_close_matches(name, self._canonical, n=1)
        hint = f"; the nearest known name is {nearest[0]!r}" if nearest else ""
        return f"{_where(spec)}: {kind}: no service provides {name!r}{hint}"


def _where(spec: ServiceSpec) -> str:
    return f"{spec.source}: {spec.name}" if spec.source else f"service {spec.name}"


def _provisions(specs: Sequence[ServiceSpec], problems: list[str]) -> dict[Name, Name]:
    owner: dict[Name, ServiceSpec] = {}
    for spec in specs:
        for name in dict.fromkeys((spec.name, *spec.provides)):
            if name in owner:
                other = owner[name]
                problems.append(
                    f"{_where(spec)}: provides: {name!r} is already provided by {_where(other)}; "
                    "each name belongs to one service"
                )
            else:
                owner[name] = spec
    return {name: spec.name for name, spec in owner.items()}


def _merged(first: Edges, second: Edges) -> dict[Name, tuple[Name, ...]]:
    names = (*first, *(name for name in second if name not in first))
    return {n: tuple(dict.fromkeys((*first.get(n, ()), *second.get(n, ())))) for n in names}


def _reversed(edges: Edges, over: Iterable[Name] = ()) -> dict[Name, tuple[Name, ...]]:
    found: dict[Name, list[Name]] = {name: [] for name in over}
    for name, targets in edges.items():
        for target in targets:
            found.setdefault(target, []).append(name)
    return {name: tuple(sorted(sources)) for name, sources in found.items()}


def _ranked(
    spec_by_name: Mapping[Name, ServiceSpec], before: Edges, problems: list[str]
) -> dict[Name, int]:
    """Return one topological order; note up to ten cycles, each as its names."""
    edges = {name: set(before.get(name, ())) for name in sorted(spec_by_name)}
    for _ in range(_CYCLES_SHOWN):
        try:
            order = TopologicalSorter(edges).static_order()
            return {name: index for index, name in enumerate(order)}
        except CycleError as error:
            # graphlib lists each node before the one that waits for it; read it the other way.
            cycle: list[Name] = list(reversed(error.args[1]))
            problems.append(
                f"{_where(spec_by_name[cycle[0]])}: waits for itself: {' → '.join(cycle)}"
            )
            edges[cycle[0]].discard(cycle[1])
    return {}


def _check_transients(
    spec_by_name: Mapping[Name, ServiceSpec], needs: Edges, problems: list[str]
) -> None:
    for name, targets in needs.items():
        problems.extend(
            f"{_where(spec_by_name[name])}: requires {target!r}, which is transient "
            "and may vanish; use wants or after"
            for target in targets
            if spec_by_name[target].transient
        )


def _check_conflicts(
    spec_by_name: Mapping[Name, ServiceSpec],
    needs: Edges,
    wants: Edges,
    conflicts: Edges,
    problems: list[str],
) -> None:
    booted = _reachable((n for n, spec in spec_by_name.items() if spec.autostart), needs, wants)
    for name in sorted(name for name, others in conflicts.items() if others):
        needed = _reachable([name], needs)
        for other in conflicts[name]:
            if other in needed:
                problems.append(
                    f"{_where(spec_by_name[name])}: conflicts with what it needs: {other!r}"
                )
            elif name < other and name in booted and other in booted:
                problems.append(
                    f"{_where(spec_by_name[name])}: conflicts with {other!r}, and both are started at "
                    "boot; set autostart = false on one"
                )


def _reachable(names: Iterable[Name], *edges: Edges) -> set[Name]:
    seen = set(names)
    waiting = list(seen)
    while waiting:
        name = waiting.pop()
        fresh = {n for kind in edges for n in kind.get(name, ())} - seen
        seen |= fresh
        waiting.extend(fresh)
    return seen

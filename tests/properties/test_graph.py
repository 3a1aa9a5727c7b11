"""Laws of the graph against what brute force finds."""

from itertools import pairwise, product

import hypothesis.strategies as st
from hypothesis import given
from tests.support.pure_host import service

from virtsupd.core.graph import GraphError, ServiceGraph
from virtsupd.core.names import Name
from virtsupd.core.spec import ServiceSpec

NAMES = tuple("abcdefg")
EDGES = ("requires", "binds_to", "wants", "after", "before")

Pairs = set[tuple[str, str]]


@st.composite
def any_specs(draw: st.DrawFn) -> list[ServiceSpec]:
    """Services with edges to any of each other: cycles included."""
    known = NAMES[: draw(st.integers(1, len(NAMES)))]
    ends = st.lists(st.sampled_from(known), max_size=2, unique=True)
    return [service(name, **{edge: draw(ends) for edge in EDGES}) for name in known]


@st.composite
def sound_specs(draw: st.DrawFn) -> list[ServiceSpec]:
    """Services in any order of names whose edges lead one way."""
    order = draw(st.permutations(NAMES))
    made = []
    for index, name in enumerate(order):
        below, above = order[:index], order[index + 1 :]
        edges = {
            edge: draw(st.lists(st.sampled_from(ends), max_size=2, unique=True)) if ends else []
            for edge, ends in (*((e, below) for e in EDGES[:4]), ("before", above))
        }
        made.append(service(name, **edges))
    return made


def ordered(specs: list[ServiceSpec]) -> Pairs:
    """(first, then): all pairs of which the first must come before, directly."""
    after = {(e, s.name) for s in specs for e in (*s.requires, *s.binds_to, *s.after)}
    return after | {(s.name, e) for s in specs for e in s.before}


def closed(pairs: Pairs) -> Pairs:
    """The transitive closure, by Warshall."""
    found = set(pairs)
    for middle, first, last in product(NAMES, NAMES, NAMES):
        if (first, middle) in found and (middle, last) in found:
            found.add((first, last))
    return found


@given(any_specs())
def test_a_set_is_refused_exactly_if_something_waits_for_itself(specs: list[ServiceSpec]) -> None:
    cyclic = any(first == last for first, last in closed(ordered(specs)))
    try:
        ServiceGraph.build(specs)
    except GraphError as error:
        assert cyclic
        pairs = ordered(specs)
        for problem in error.problems:
            steps = problem.split("waits for itself: ")[1].split(" → ")
            assert steps[0] == steps[-1]
            assert all((then, first) in pairs for first, then in pairwise(steps))
    else:
        assert not cyclic


@given(sound_specs())
def test_rank_is_an_order_of_all_that_comes_before(specs: list[ServiceSpec]) -> None:
    graph = ServiceGraph.build(specs)
    assert sorted(graph.rank.values()) == list(range(len(specs)))
    assert all(graph.rank[Name(a)] < graph.rank[Name(b)] for a, b in closed(ordered(specs)))


@given(sound_specs())
def test_who_is_in_the_closure_of_another_has_it_among_its_dependents(
    specs: list[ServiceSpec],
) -> None:
    graph = ServiceGraph.build(specs)
    needs = closed({(e, s.name) for s in specs for e in (*s.requires, *s.binds_to)})
    for one in graph.spec_by_name:
        assert set(graph.dependents([one])) == {then for first, then in needs if first == one}
        assert set(graph.needed_closure([one])) == {one} | {a for a, b in needs if b == one}


@given(sound_specs(), st.data())
def test_the_closure_is_whatever_edges_pull_in_causes_first(
    specs: list[ServiceSpec], data: st.DataObject
) -> None:
    graph = ServiceGraph.build(specs)
    pulls = closed({(e, s.name) for s in specs for e in (*s.requires, *s.binds_to, *s.wants)})
    roots = data.draw(st.sets(st.sampled_from([s.name for s in specs])))
    found = graph.closure(roots)
    assert set(found) == roots | {a for a, b in pulls if b in roots}
    assert [graph.rank[n] for n in found] == sorted(graph.rank[n] for n in found)
    assert set(graph.closure(found)) == set(found)


@given(sound_specs())
def test_the_order_of_the_files_changes_nothing(specs: list[ServiceSpec]) -> None:
    assert ServiceGraph.build(specs).rank == ServiceGraph.build(specs[::-1]).rank

"""A graph resolves every edge once, refuses what is unsound with every reason, and keeps order."""

from itertools import pairwise

import pytest
from tests.support.pure_host import service

from virtsupd.core.graph import GraphError, ServiceGraph
from virtsupd.core.names import Name
from virtsupd.core.spec import ServiceSpec
from virtsupd.errors import UnknownServiceError


def problems(*specs: ServiceSpec, absent: frozenset[str] = frozenset()) -> tuple[str, ...]:
    with pytest.raises(GraphError) as caught:
        ServiceGraph.build(specs, absent=absent)
    return caught.value.problems


def names(*texts: str) -> tuple[Name, ...]:
    return tuple(map(Name, texts))


def sound(specs: list[ServiceSpec]) -> bool:
    return len(ServiceGraph.build(specs).rank) == len(specs)


# Names


def test_every_provision_leads_to_its_service() -> None:
    graph = ServiceGraph.build(
        [service("web", provides=names("web", "www")), service("x", requires=["www"])]
    )
    assert graph.resolve("www") == graph.resolve("web") == "web"
    assert graph.needs[Name("x")] == ("web",)


def test_an_unknown_name_comes_with_the_nearest() -> None:
    graph = ServiceGraph.build([service("libvirtd")])
    with pytest.raises(UnknownServiceError) as caught:
        graph.resolve("libvrtd")
    assert caught.value.nearest == "libvirtd"
    with pytest.raises(UnknownServiceError) as caught:
        graph.resolve("zzz")
    assert caught.value.nearest is None


def test_the_canonical_name_is_a_provision_even_if_it_is_not_listed() -> None:
    assert ServiceGraph.build([service("web", provides=names("www"))]).resolve("web") == "web"


# Refusals


@pytest.mark.parametrize("edge", ["requires", "binds_to", "wants", "after", "before", "conflicts"])
def test_a_name_that_nobody_provides_is_refused_with_the_nearest(edge: str) -> None:
    assert problems(
        service("libvirtd"), service("web", source="web.toml", **{edge: ["libvrtd"]})
    ) == (
        f"web.toml: web: {edge}: no service provides 'libvrtd'; the nearest known name is 'libvirtd'",
    )


def test_a_name_like_nothing_known_is_refused_without_a_guess() -> None:
    assert problems(service("web", requires=["zzz"])) == (
        "service web: requires: no service provides 'zzz'",
    )


def test_a_name_belongs_to_one_service() -> None:
    assert problems(
        service("a", provides=names("a", "www"), source="a.toml"),
        service("b", provides=names("b", "www"), source="b.toml"),
    ) == (
        (
            "b.toml: b: provides: 'www' is already provided by a.toml: a; "
            "each name belongs to one service"
        ),
    )


@pytest.mark.parametrize(
    ("specs", "cycle"),
    [
        ([service("a", requires=["a"])], "a → a"),
        ([service("a", requires=["b"]), service("b", binds_to=["a"])], "a → b → a"),
        (
            [service("a", after=["b"]), service("b", requires=["c"]), service("c", after=["a"])],
            "a → b → c → a",
        ),
        ([service("a", before=["b"]), service("b", before=["a"])], "a → b → a"),
    ],
)
def test_a_cycle_is_printed_as_its_names(specs: list[ServiceSpec], cycle: str) -> None:
    (found,) = problems(*specs)
    place, said = found.split(": waits for itself: ")
    assert place == f"service {said[0]}"
    assert turns(said) == turns(cycle)


def turns(cycle: str) -> frozenset[tuple[str, str]]:
    """The steps of a cycle, wherever it is cut open."""
    steps = cycle.split(" → ")
    assert steps[0] == steps[-1]
    return frozenset(pairwise(steps))


def test_a_cycle_of_wants_is_none() -> None:
    assert sound([service("a", wants=["b"]), service("b", wants=["a"])])


def test_every_cycle_is_shown_up_to_ten() -> None:
    pairs = [
        spec
        for i in range(12)
        for spec in (service(f"a{i}", requires=[f"b{i}"]), service(f"b{i}", requires=[f"a{i}"]))
    ]
    assert len(problems(*pairs[:6])) == 3
    assert len(problems(*pairs)) == 10


@pytest.mark.parametrize("edge", ["requires", "binds_to"])
def test_nobody_requires_what_may_vanish(edge: str) -> None:
    assert problems(service("job", transient=True), service("web", **{edge: ["job"]})) == (
        "service web: requires 'job', which is transient and may vanish; use wants or after",
    )


def test_what_may_vanish_can_be_wanted() -> None:
    assert sound([service("job", transient=True), service("web", wants=["job"])])


def test_two_that_conflict_are_not_both_started_at_boot() -> None:
    why = (
        "service a: conflicts with 'b', and both are started at boot; set autostart = false on one",
    )
    assert problems(service("a"), service("b", conflicts=["a"])) == why
    assert problems(service("a", conflicts=["b"]), service("b")) == why
    assert (
        problems(
            service("a"), service("b", conflicts=["a"], autostart=False), service("c", wants=["b"])
        )
        == why
    ), "what is started along is started at boot"
    assert sound([service("a"), service("b", conflicts=["a"], autostart=False)])


def test_nothing_conflicts_with_what_it_needs() -> None:
    assert problems(
        service("a"),
        service("b", requires=["a"]),
        service("c", requires=["b"], conflicts=["a"], autostart=False),
    ) == ("service c: conflicts with what it needs: 'a'",)


def test_a_service_may_conflict_with_the_role_it_fills() -> None:
    spec = service("exim", provides=names("exim", "mta"), conflicts=["mta"])
    assert ServiceGraph.build([spec]).conflicts[Name("exim")] == ()


def test_all_problems_are_shown_at_once() -> None:
    assert (
        len(
            problems(
                service("a", requires=["zzz"]),
                service("b", requires=["c"]),
                service("c", after=["b"]),
                service("d", provides=names("d", "a")),
                service("t", transient=True),
                service("u", requires=["t"]),
            )
        )
        == 4
    )


def test_names_that_are_known_but_absent_are_no_reason_to_refuse_a_weak_edge() -> None:
    spec = service("a", wants=["udev"], after=["udev"], before=["udev"], conflicts=["udev"])
    graph = ServiceGraph.build([spec], absent=frozenset({"udev"}))
    assert (graph.wants[Name("a")], graph.earlier[Name("a")], graph.conflicts[Name("a")]) == (
        (),
        (),
        (),
    )
    assert graph.absent == {"udev"}


@pytest.mark.parametrize("edge", ["requires", "binds_to"])
def test_what_is_absent_cannot_be_required(edge: str) -> None:
    assert problems(service("a", **{edge: ["udev"]}), absent=frozenset({"udev"}))


# Edges and order


def test_edges_are_seen_from_both_ends() -> None:
    graph = ServiceGraph.build(
        [
            service("a"),
            service("b", requires=["a"], binds_to=["a"]),
            service("c", before=["b"], conflicts=["d"]),
            service("d", autostart=False),
        ]
    )
    assert (graph.needs[Name("b")], graph.binds[Name("b")], graph.needed_by[Name("a")]) == (
        ("a",),
        ("a",),
        ("b",),
    )
    assert (graph.earlier[Name("b")], graph.later[Name("c")]) == (("c",), ("b",))
    assert (graph.conflicts[Name("c")], graph.conflicts[Name("d")]) == (("d",), ("c",))


def test_the_closure_is_what_is_started_along() -> None:
    graph = ServiceGraph.build(
        [
            service("a"),
            service("b", requires=["a"]),
            service("w"),
            service("x", after=["b"]),
            service("c", binds_to=["b"], wants=["w"], after=["x"]),
        ]
    )
    assert graph.closure(names("c")) == ("a", "w", "b", "c")
    assert graph.needed_closure(names("c")) == ("a", "b", "c")
    assert graph.dependents(names("a")) == ("b", "c")
    assert graph.dependents(names("a", "b")) == ("c",)
    assert graph.all_behind(names("b")) == {"b", "c", "x"}

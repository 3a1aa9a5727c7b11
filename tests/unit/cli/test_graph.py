import json
from typing import Any

import pytest
from tests.support.fake_varlink import reason, service, stopped
from tests.support.scripted_client import Run

from virtsupd.cli import graph
from virtsupd.cli.style import Style
from virtsupd.errors import UnknownServiceError

SERVICES: list[dict[str, Any]] = [
    service("childhurd", kind="guest", requires=["libvirt"], binds_to=["bridge"]),
    service("libvirtd", provides=["libvirtd", "libvirt"], requires=["virtlogd"], wants=["dbus"]),
    service("virtlogd", requires=["boot"], after=["dbus"]),
    service("bridge", kind="condition", requires=["virtlogd"]),
    service("boot", kind="target"),
    stopped("dbus", wanted=True, reason=reason("waiting", "no socket"), conflicts=["old"]),
    stopped("old", failed=True, kind="one-shot"),
]


def run_graph(*words: str) -> str:
    """Return what `virtsupctl graph` prints."""
    run = Run(["graph", *words], {"Status": [{"services": SERVICES}]})
    assert graph.run(run.session) == 0
    return run.out


def test_the_tree_begins_with_what_nothing_needs_and_draws_each_branch_once() -> None:
    assert run_graph().splitlines() == [
        "+ childhurd",
        "├─ + libvirtd",
        "│  ├─ + virtlogd",
        "│  │  └─ + boot",
        "│  └─ ~ dbus (waiting, optional)",
        "└─ + bridge (bound)",
        "   └─ + virtlogd (see above)",
        "! old (failed)",
    ]


def test_a_named_service_is_drawn_with_what_it_needs() -> None:
    assert run_graph("libvirt").splitlines() == [
        "+ libvirtd",
        "├─ + virtlogd",
        "│  └─ + boot",
        "└─ ~ dbus (waiting, optional)",
    ]


def test_without_unicode_the_strokes_are_plain() -> None:
    services: Any = SERVICES
    text = graph.as_tree(graph.Graph(services), ["virtlogd"], Style(is_unicode=False))
    assert text == "+ virtlogd\n`- + boot"


def test_an_unknown_name_is_an_error_with_the_nearest() -> None:
    with pytest.raises(UnknownServiceError) as caught:
        run_graph("libvrtd")
    assert caught.value.nearest == "libvirtd"


def test_dot_has_a_node_for_each_service_and_an_arrow_to_what_it_needs() -> None:
    lines = run_graph("--dot").splitlines()
    assert lines[0] == "digraph virtsupd {"
    assert lines[-1] == "}"
    assert '  "boot" [shape=hexagon, color=darkgreen];' in lines
    assert '  "old" [shape=ellipse, color=firebrick];' in lines
    assert '  "childhurd" -> "libvirtd";' in lines
    assert '  "childhurd" -> "bridge" [style=bold];' in lines
    assert '  "libvirtd" -> "dbus" [style=dashed];' in lines
    assert '  "virtlogd" -> "dbus" [style=dotted];' in lines
    assert '  "dbus" -> "old" [style=dashed, color=red, dir=both];' in lines


def test_json_has_nodes_and_edges_of_the_part_that_is_asked_for() -> None:
    document = json.loads(run_graph("--json", "virtlogd"))
    assert [node["name"] for node in document["nodes"]] == ["boot", "virtlogd"]
    assert document["edges"] == [{"from": "virtlogd", "to": "boot", "kind": "requires"}]


def test_dependents_are_those_that_cannot_do_without() -> None:
    services: Any = SERVICES
    seen = graph.Graph(services)
    assert seen.dependents(["virtlogd"]) == {"libvirtd", "bridge", "childhurd"}
    assert seen.dependents(["dbus"]) == set()


def test_edges_to_what_may_not_be_seen_are_left_out() -> None:
    services: Any = [service("a", requires=["hidden"], after=["hidden"])]
    seen = graph.Graph(services)
    assert seen.needs("a") == []
    assert seen.edges("a") == []

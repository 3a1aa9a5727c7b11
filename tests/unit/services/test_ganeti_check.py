"""What the nodes of a cluster say of themselves, compared."""

import json

import pytest

from virtsupd.services.ganeti_check import CheckError, by_node, differences

RULE = "-" * 48


def said(name: str, text: str, code: int = 0) -> str:
    return f"{RULE}\nnode: {name}\n{text}\nreturn code = {code}\n"


def test_each_node_says_its_facts_whatever_its_shell_says_before() -> None:
    output = said("a.lab", "welcome\n" + json.dumps({"x": "1"}) + "\n") + said(
        "b.lab", '{"x": "2"}'
    )
    assert by_node(output) == ({"a.lab": {"x": "1"}, "b.lab": {"x": "2"}}, [])


@pytest.mark.parametrize(
    ("output", "why"),
    [
        (
            said("a.lab", "virtsupctl: no service is named 'ganeti'", 1),
            "virtsupctl: no service is named 'ganeti'",
        ),
        (said("a.lab", "no JSON"), "no JSON"),
        (said("a.lab", "", 255), "exit status 255"),
    ],
)
def test_a_node_that_cannot_tell_is_named_and_the_others_are_compared(
    output: str, why: str
) -> None:
    found, [silent] = by_node(said("y.lab", '{"x": "2"}') + said("z.lab", '{"x": "1"}') + output)
    assert list(differences(found)) == ["x: 2 on y.lab; 1 on z.lab"]
    assert silent == f"a.lab does not tell, and is not compared: {why}"


def test_a_cluster_without_nodes_cannot_be_checked() -> None:
    with pytest.raises(CheckError, match="names no node"):
        by_node("")


def test_what_differs_is_told_with_who_has_what() -> None:
    nodes = {
        "a": {"port": "1811", "os": "one"},
        "b": {"port": "1811", "os": "two"},
        "c": {"port": "1811"},
    }
    assert list(differences(nodes)) == ["os: one on a; two on b; nothing on c"]
    assert list(differences({"a": {"port": "1"}, "b": {"port": "1"}})) == []

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
    assert by_node(output) == {"a.lab": {"x": "1"}, "b.lab": {"x": "2"}}


@pytest.mark.parametrize(
    ("output", "why"),
    [
        (
            said("a.lab", "virtsupctl: no service is named 'ganeti'", 1),
            "a.lab: virtsupctl: no service",
        ),
        (said("a.lab", "no JSON"), "a.lab: no JSON"),
        (said("a.lab", "", 255), "a.lab: exit status 255"),
        ("", "names no node"),
    ],
)
def test_a_node_that_cannot_tell_is_named_and_nothing_is_compared(output: str, why: str) -> None:
    with pytest.raises(CheckError, match=why):
        by_node(said("z.lab", '{"x": "1"}') + output if output else output)


def test_what_differs_is_told_with_who_has_what() -> None:
    nodes = {
        "a": {"port": "1811", "os": "one"},
        "b": {"port": "1811", "os": "two"},
        "c": {"port": "1811"},
    }
    assert list(differences(nodes)) == ["os: one on a; two on b; nothing on c"]
    assert list(differences({"a": {"port": "1"}, "b": {"port": "1"}})) == []

import json

import pytest
from tests.support.fake_varlink import service
from tests.support.scripted_client import Answers, Run

from virtsupd.cli import inquiries
from virtsupd.errors import UnreachableError

LIBVIRTD = service(
    "libvirtd",
    provides=["libvirtd", "libvirt"],
    description="the libvirt daemon",
    actions=[
        {"name": "make-pki", "description": "create keys"},
        {"name": "check", "description": ""},
    ],
)
STATUS: Answers = {"Status": [{"services": [LIBVIRTD]}]}


def test_doc_says_what_a_service_is_and_what_it_can_do() -> None:
    run = Run(["doc", "libvirt"], STATUS)
    assert inquiries.run(run.session) == 0
    assert run.out.splitlines() == [
        "libvirtd: the libvirt daemon",
        "  also called libvirt",
        "  virtsupctl make-pki libvirtd  create keys",
        "  virtsupctl check libvirtd",
    ]


def test_a_service_without_words_or_actions_is_said_to_have_none() -> None:
    plain: Answers = {"Status": [{"services": [service("a")]}]}
    for verb, text in (
        ("doc", "a: no description\n"),
        ("actions", "a has no actions of its own\n"),
    ):
        run = Run([verb, "a"], plain)
        inquiries.run(run.session)
        assert run.out == text


def test_actions_are_shown_as_they_are_typed() -> None:
    run = Run(["actions", "libvirtd"], STATUS)
    inquiries.run(run.session)
    assert run.out.splitlines()[0] == "libvirtd:"
    assert "  virtsupctl check libvirtd" in run.out.splitlines()


def test_json_holds_the_same() -> None:
    run = Run(["--json", "doc", "libvirtd"], STATUS)
    inquiries.run(run.session)
    (document,) = json.loads(run.out)["services"]
    assert sorted(document) == ["actions", "description", "name", "provides"]
    run = Run(["--json", "actions", "libvirtd"], STATUS)
    inquiries.run(run.session)
    assert sorted(json.loads(run.out)["services"][0]) == ["actions", "name"]


def test_cat_prints_each_definition() -> None:
    run = Run(["cat", "a", "b"], {"Cat": [{"text": "x = 1\n"}]})
    assert inquiries.run(run.session) == 0
    assert run.out == "x = 1\n\nx = 1\n"
    assert run.client.calls == [("Cat", {"name": "a"}), ("Cat", {"name": "b"})]


def test_json_of_cat_names_each_definition() -> None:
    run = Run(["--json", "cat", "a"], {"Cat": [{"text": "x = 1\n"}]})
    inquiries.run(run.session)
    assert json.loads(run.out) == {"definitions": [{"name": "a", "text": "x = 1\n"}]}


def test_an_action_gets_its_arguments_and_prints_its_lines() -> None:
    run = Run(["make-pki", "libvirtd", "-f", "a b"], {"Act": [{"lines": ["done\x1b"]}]})
    assert inquiries.run(run.session) == 0
    assert run.client.calls == [
        (
            "Act",
            {
                "name": "libvirtd",
                "action": "make-pki",
                "arguments": ["-f", "a b"],
                "terminal": True,
            },
        )
    ]
    assert run.out == "done\x1b\n"


def test_an_action_cannot_drive_a_terminal() -> None:
    run = Run(["check", "libvirtd"], {"Act": [{"lines": ["\x1b[2J"]}]}, terminal=True)
    inquiries.run(run.session)
    assert run.out == "\\x1b[2J\n"


def test_json_of_an_action_is_its_lines() -> None:
    run = Run(["--json", "check", "libvirtd"], {"Act": [{"lines": ["x"]}]})
    inquiries.run(run.session)
    assert json.loads(run.out) == {"lines": ["x"]}


def test_completion_is_given_every_name_or_the_actions() -> None:
    run = Run(["complete-names"], STATUS)
    assert inquiries.run(run.session) == 0
    assert run.out == "libvirt\nlibvirtd\n"
    run = Run(["complete-actions", "libvirtd"], STATUS)
    inquiries.run(run.session)
    assert run.out == "check\nmake-pki\n"


@pytest.mark.parametrize("error", [UnreachableError("no"), TimeoutError()])
def test_completion_is_silent_when_virtsupd_cannot_be_asked(error: Exception) -> None:
    run = Run(["complete-names"], {"Status": [error]})
    assert inquiries.run(run.session) == 1
    assert (run.out, run.err) == ("", "")
    assert run.client.timeout == 1.0

"""The list of machines to build in: ours go in and out, and what others wrote stays."""

from dataclasses import replace

import pytest

from virtsupd.machine.build_machines import BuildMachine, with_machine, without_machine
from virtsupd.machine.scheme_text import SchemeError, last_datum

ONE = BuildMachine(
    "childhurd", 10022, ["i586-gnu"], "offloading", "ssh-ed25519 AAAA root@x", "/etc/guix/key"
)
TWO = replace(ONE, name="childhurd2", port=12022)
THEIRS = """;; theirs
(use-modules (guix gexp))
(list (build-machine (name "big") (systems '("x86_64-linux"))
        (user "a") (host-key "b"))) ; the big one
"""


def test_a_machine_is_an_element_before_theirs() -> None:
    text = with_machine(THEIRS, ONE)
    where = last_datum(text)
    assert where is not None
    value = text[slice(*where)]
    assert value.startswith("(append (list (build-machine")
    assert '(name "localhost") (port 10022)' in value
    assert '(host-key "ssh-ed25519 AAAA")' in value
    assert '(name "big")' in value
    assert text.startswith(";; theirs\n(use-modules (guix gexp))\n")


@pytest.mark.parametrize("text", [THEIRS, "(list)\n", "%machines\n", "(define a '())\na ; value\n"])
def test_what_was_there_is_there_again(text: str) -> None:
    once = with_machine(text, ONE)
    assert with_machine(once, ONE) == once
    assert without_machine(once, "childhurd") == text
    assert without_machine(text, "childhurd") == text


@pytest.mark.parametrize("order", [("childhurd", "childhurd2"), ("childhurd2", "childhurd")])
@pytest.mark.parametrize("text", [THEIRS, None])
def test_two_come_and_go_in_any_order(text: str | None, order: tuple[str, str]) -> None:
    both = with_machine(with_machine(text, ONE), TWO)
    assert both.count("(append") == 2
    left = without_machine(both, order[0])
    assert left is not None
    assert last_datum(left) is not None
    assert left.count("(append") == 1
    assert without_machine(left, order[1]) == text


def test_a_file_that_was_not_there_is_not_there_again() -> None:
    made = with_machine(None, ONE)
    where = last_datum(made)
    assert where is not None
    assert made[slice(*where)].endswith("(list)\n;; virtsupd childhurd begins\n)")
    assert without_machine(made, "childhurd") is None


def test_a_changed_machine_takes_the_place_of_itself() -> None:
    text = with_machine(with_machine(THEIRS, ONE), replace(ONE, port=1))
    assert "10022" not in text
    assert without_machine(text, "childhurd") == THEIRS


def test_what_users_wrote_meanwhile_stays() -> None:
    text = with_machine(THEIRS, ONE).replace('"big"', '"bigger"') + "; more\n"
    left = without_machine(text, "childhurd")
    assert left == THEIRS.replace('"big"', '"bigger"') + "; more\n"


def test_a_file_that_cannot_be_read_is_left_alone() -> None:
    with pytest.raises(SchemeError):
        with_machine("(list", ONE)

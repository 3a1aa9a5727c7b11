"""What virsh prints, with names that have everything in them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.fake_virsh import states

from virtsupd.libvirtlink.virsh_text import (
    Event,
    event_of,
    kind_of,
    may_be_mistaken,
    said,
    states_of,
    uuid_of,
)

UUID = "2b0da873-f9fb-46c2-970e-40bf7ac72691"
NAMES = st.text(st.characters(exclude_characters="\n/", exclude_categories=["Cs"]), min_size=1)


@given(st.dictionaries(NAMES, st.tuples(st.integers(0, 9), st.integers(0, 9))))
def test_states_are_read_whatever_the_names(expected: dict[str, tuple[int, int]]) -> None:
    text = states(*((name, *numbers) for name, numbers in expected.items()))
    assert {name: tuple(numbers) for name, *numbers in states_of(text + "\n\n")} == expected


def test_a_domain_without_numbers_has_none() -> None:
    assert list(states_of("Domain: 'a'\n\nDomain: 'b'\n  state.state=1\n")) == [
        ("a", 0, 0),
        ("b", 1, 0),
    ]


@pytest.mark.parametrize("text", ["nonsense", "Domain: 'a'\n  state.state=up", "  state.state="])
def test_something_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        list(states_of(text))


@given(NAMES)
def test_an_event_is_read_whatever_the_name(name: str) -> None:
    text = f"event 'lifecycle' for domain '{name}': Stopped Destroyed"
    assert event_of(text) == Event(name, "destroyed")


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ("Started Booted", Event("web1", None)),
        ("Stopped Shutdown", Event("web1", "shutdown")),
        ("Stopped Crashed", Event("web1", "crashed")),
        ("Stopped Snapshot", Event("web1", "from snapshot")),
        ("Crashed Panicked", Event("web1", "unknown")),
        ("Undefined Removed", Event("web1", "unknown")),
        ("Stopped", Event("web1", "unknown")),
        ("Somehow New", Event("web1", None)),
    ],
)
def test_an_event_that_may_be_the_last_has_its_reason(told: str, expected: Event) -> None:
    assert event_of(f"event 'lifecycle' for domain 'web1': {told}") == expected


@pytest.mark.parametrize(
    "text", ["", "connected", "event loop interrupted", "error: Disconnected from qemu:///system"]
)
def test_other_lines_are_no_events(text: str) -> None:
    assert event_of(text) is None


def test_a_domain_is_found_by_its_whole_name() -> None:
    other = UUID.replace("2", "3")
    text = f"{other} 11\n{UUID} 1\n\n"
    assert uuid_of("1", text) == UUID
    assert uuid_of("7", text) is None


@pytest.mark.parametrize("name", ["1", " 7", "+7", "-7", "007", UUID, "x" * 36])
def test_what_virsh_takes_for_a_number_or_a_uuid_may_be_mistaken(name: str) -> None:
    assert may_be_mistaken(name)


@pytest.mark.parametrize("name", ["web1", "1web", "7 ", "--", "x" * 35])
def test_other_names_may_not(name: str) -> None:
    assert not may_be_mistaken(name)


def test_complaints_are_one_line() -> None:
    text = "warning: x\nerror: Failed to start domain 'a'\nerror: no space\n\n"
    assert said(text) == "Failed to start domain 'a': no space"
    assert said("nothing") == ""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "error: failed to connect to the hypervisor\nerror: Failed to connect socket",
            "unreachable",
        ),
        ("error: Cannot recv data: Connection reset by peer", "unreachable"),
        ("error: failed to get domain 'web1'", "no-such-domain"),
        ("error: authentication failed: no", "denied"),
        ("error: Requested operation is not valid: domain is not running", "refused"),
        ("error: Guest agent is not responding: not connected", "refused"),
        ("error: Failed to connect socket to '/run/libvirt/virtlogd-sock'", "failed"),
        ("error: out of memory", "failed"),
    ],
)
def test_kinds(text: str, expected: str) -> None:
    assert kind_of(text, "web1") == expected


def test_a_name_cannot_pass_for_an_error() -> None:
    name = "access denied"
    assert kind_of(f"error: Failed to start domain '{name}'\nerror: no space", name) == "failed"
    assert kind_of(f"error: failed to get domain '{name}'", name) == "no-such-domain"

"""What virtsupd knows of itself from before an exec."""

import json

import pytest

from virtsupd.daemon.past import facts_of, nofile_of, past_of
from virtsupd.process.inheritance import Inheritance
from virtsupd.process.limits import started_with
from virtsupd.process.own_notify import OwnNotify
from virtsupd.process.reexec import Handover


def inherited(facts: dict[str, object]) -> Inheritance:
    return Inheritance(Handover({}, json.loads(json.dumps(facts)), frozenset()))


def test_a_first_program_begins_now() -> None:
    past = past_of(Inheritance(), 5.5)
    assert (past.since, past.reexecs, past.notify_socket) == (5.5, 0, None)
    assert nofile_of(Inheritance()) is None


def test_the_next_one_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", "@there")
    left = inherited(facts_of(past_of(Inheritance(), 5.5), OwnNotify()))
    past = past_of(left, 9.5)
    assert (past.since, past.reexecs, past.notify_socket) == (5.5, 1, "@there")
    assert OwnNotify(past.notify_socket).path == "@there"
    assert nofile_of(left) == started_with()


def test_what_is_no_such_fact_is_left_alone() -> None:
    left = inherited({"since": "x", "reexecs": None, "notify_socket": 3, "nofile": [1]})
    past = past_of(left, 9.5)
    assert (past.since, past.reexecs, past.notify_socket) == (9.5, 0, None)
    assert nofile_of(left) is None

"""Libvirt's words for how a domain is, and what they mean for a service."""

import pytest

from virtsupd.process.domains import DomainNews, DomainState
from virtsupd.supervisor.domain_ends import (
    end_of,
    has_ended,
    is_here,
    is_in_transit,
    note_of,
    was_migrated,
)

ENDED = {DomainState.OFF, DomainState.CRASHED, DomainState.GONE}


@pytest.mark.parametrize("state", DomainState)
def test_a_domain_has_ended_or_runs(state: DomainState) -> None:
    assert has_ended(state) is (state in ENDED)


@pytest.mark.parametrize("state", set(DomainState) - ENDED)
def test_what_is_not_plainly_running_is_said(state: DomainState) -> None:
    is_plain = state is DomainState.RUNNING
    assert bool(note_of(DomainNews("web1", state, "booted"))) is not is_plain


@pytest.mark.parametrize("reason", ["shutdown", "destroyed", "saved", "migrated", "from snapshot"])
def test_an_end_that_somebody_meant_is_no_failure(reason: str) -> None:
    assert end_of(DomainNews("web1", DomainState.OFF, reason)).code == 0


@pytest.mark.parametrize("reason", ["crashed", "failed", "unknown", "a word of later"])
def test_all_other_ends_are_failures(reason: str) -> None:
    assert end_of(DomainNews("web1", DomainState.OFF, reason)).code == 1


def test_a_crash_that_is_preserved_is_a_crash() -> None:
    assert str(end_of(DomainNews("web1", DomainState.CRASHED, "panicked"))) == "crashed"


def test_an_end_that_nobody_saw_is_a_failure() -> None:
    assert end_of(None).code == 1


@pytest.mark.parametrize("reason", ["migration", "post-copy", "post-copy failed", "starting up"])
def test_a_guest_that_waits_for_the_end_of_its_migration_is_not_here(reason: str) -> None:
    paused = DomainNews("web1", DomainState.PAUSED, reason)
    assert is_in_transit(paused)
    assert not is_here(paused)


@pytest.mark.parametrize(
    ("state", "reason", "is_so"),
    [
        ("running", "migrated", True),
        ("running", "unknown", True),
        ("paused", "user", True),
        ("paused", "i/o error", True),
        ("off", "migration", False),
    ],
)
def test_all_other_guests_that_have_not_ended_are_here(
    state: str, reason: str, *, is_so: bool
) -> None:
    news = DomainNews("web1", DomainState(state), reason)
    assert (is_here(news), is_in_transit(news)) == (is_so, False)


def test_what_libvirt_does_not_have_is_not_here() -> None:
    assert not is_here(None)
    assert not is_in_transit(None)


def test_a_guest_that_was_migrated_runs_elsewhere() -> None:
    assert was_migrated(DomainNews("web1", DomainState.GONE, "migrated"))
    assert not was_migrated(DomainNews("web1", DomainState.OFF, "shutdown"))

"""Whose turn it is to end. What becomes of guests in a shutdown: test_shutdown.py."""

from tests.support.pure_host import PureHost, service

from virtsupd.core import guests
from virtsupd.core.events import GuestsFound, Verb
from virtsupd.core.host_scope import Shutdown
from virtsupd.core.names import Name
from virtsupd.core.shutdown_policy import RunningGuest, ShutdownPolicy

VIRT = Name("virt")


def shutdown_of(host: PureHost) -> Shutdown:
    found = host.engine._host.shutdown
    assert found is not None
    return found


def test_guests_of_both_sorts_take_turns() -> None:
    host = PureHost.of(
        service("virt", hosts_guests=True),
        service("vm", is_guest=True),
        policy=ShutdownPolicy(parallel=2),
    )
    host.stubborn.add("vm")
    host.ask(Verb.SHUTDOWN)
    found, state = shutdown_of(host), host.engine._host
    assert guests.has_turn(state, found)
    assert guests.hosts_in_turn(found) == []
    host.post(GuestsFound(VIRT, (RunningGuest("a"), RunningGuest("b"))))
    assert guests.count_ending(state, found) == 2
    assert not guests.has_turn(state, found)
    assert guests.hosts_in_turn(found) == [VIRT]
    assert guests.ending_services(state, found) == ["vm"]


def test_one_that_cannot_be_killed_takes_no_turn() -> None:
    host = PureHost.of(service("vm", is_guest=True), service("db"))
    host.unkillable.update(("vm", "db"))
    host.ask(Verb.SHUTDOWN)
    host.pass_time(16)
    found, state = shutdown_of(host), host.engine._host
    assert guests.services_left(state, found) == []
    assert guests.count_ending(state, found) == 0

"""All that the engine holds, and the few things that all of its parts do to it."""

from tests.support.pure_host import service

from virtsupd.core.effects import ArmTimer, CancelTimer, Forget, Remember, Report, Result
from virtsupd.core.events import Instant, Timer, Verb
from virtsupd.core.graph import ServiceGraph
from virtsupd.core.names import Name
from virtsupd.core.service import Rest, RestKind
from virtsupd.core.shutdown import begin
from virtsupd.core.spec import ServiceSpec
from virtsupd.core.state import HostState, Remembered
from virtsupd.core.ticket import Ticket

DB, WEB = Name("db"), Name("web")


def host_of(*specs: ServiceSpec) -> HostState:
    host = HostState(ServiceGraph.build(specs), {})
    for spec in specs:
        host.add(spec)
    return host


def test_a_new_service_is_stopped_unwanted_and_enabled_as_it_was() -> None:
    host = HostState(ServiceGraph.build([]), {DB: Remembered(wanted=True, enabled=False)})
    found = host.add(service("db"))
    assert (found.is_alive, found.wanted, found.enabled) == (False, False, False)
    assert host.add(service("web")).enabled


def test_a_service_is_wanted_unless_it_left_or_everything_ends() -> None:
    host = host_of(service("db"))
    found = host.services[DB]
    assert not host.is_wanted(found)
    found.wanted = True
    assert host.is_wanted(found)
    found.is_removed = True
    assert not host.is_wanted(found)
    found.is_removed = False
    begin(host, "a test")
    assert host.is_shutting_down
    assert not host.is_wanted(found)


def test_a_timer_counts_from_the_event_at_hand() -> None:
    host = host_of(service("db"))
    host.now = Instant(100.0, 5.0)
    host.services[DB].generation = host.next_generation()
    host.arm(host.services[DB], Timer.BACKOFF, 2.5)
    assert host.effects == [ArmTimer(DB, 1, Timer.BACKOFF, 102.5)]


def test_a_pause_ends_once() -> None:
    host = host_of(service("db"))
    host.services[DB].retry_at = Instant(1.0, 1.0)
    host.clear_failure(host.services[DB])
    host.clear_failure(host.services[DB])
    assert host.effects == [CancelTimer(DB, Timer.BACKOFF)]


def test_what_is_remembered_is_what_a_later_virtsupd_is_told() -> None:
    host = host_of(service("db"))
    found = host.services[DB]
    found.wanted, found.wanted_by, found.wanted_since = True, "root", 7.0
    host.remember(found)
    assert host.effects == [Remember(DB, wanted=True, enabled=True, by="root", since=7.0)]
    assert host.remembered == {DB: Remembered(wanted=True, enabled=True, by="root", since=7.0)}


def test_only_those_not_needed_are_asked_again() -> None:
    host = host_of(service("db"), service("web"))
    host.services[DB].rest = Rest(RestKind.NOT_NEEDED, "77")
    host.services[WEB].rest = Rest(RestKind.FAILED, "1")
    host.retry_not_needed([DB, WEB])
    assert (host.services[DB].rest, host.dirty) == (None, {DB})
    assert host.services[WEB].rest is not None


def test_neighbours_are_those_at_either_end_of_an_edge() -> None:
    host = host_of(
        service("a"),
        service("b", requires=["a"]),
        service("c", after=["b"]),
        service("d", conflicts=["b"], autostart=False),
        service("e", wants=["b"]),
    )
    assert host.neighbours(Name("b")) == {"a", "c", "d"}


def test_what_is_forgotten_ends_the_commands_that_name_it() -> None:
    host = host_of(service("db"), service("web"))
    host.tickets = {
        1: Ticket(Verb.STOP, (DB,), open={DB}),
        2: Ticket(Verb.START, (DB,), open={DB}),
        3: Ticket(Verb.STOP, (WEB,), open={WEB}),
    }
    host.dirty.add(DB)
    host.forget(host.services[DB], "stopped")
    assert host.tickets[1].closed == {DB: Report(DB, Result.DONE, "db is gone: stopped")}
    assert host.tickets[2].closed == {DB: Report(DB, Result.FAILED, "db is gone: stopped")}
    assert host.tickets[3].open == {WEB}
    assert Forget(DB) in host.effects
    assert (set(host.services), host.dirty) == ({WEB}, set())

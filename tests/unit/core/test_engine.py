"""The engine as a whole: one event in, effects out, every command answered, one end."""

import pytest
from tests.support.pure_host import NOTIFY, PureHost, service, target

from virtsupd.core.effects import Finish
from virtsupd.core.engine import Engine
from virtsupd.core.events import Booted, Exited, Fired, Instant, OutputChanged, Timer, Verb
from virtsupd.core.exits import ExitStatus
from virtsupd.core.graph import ServiceGraph
from virtsupd.core.names import Name
from virtsupd.core.snapshot import State

DB = Name("db")
NOW = Instant(1.0, 1_700_000_000.0)


def test_equal_events_lead_to_equal_effects() -> None:
    graph = ServiceGraph.build([service("db"), service("web", requires=["db"])])
    first, second = Engine(graph, {}), Engine(graph, {})
    assert first.advance(Booted(), NOW) == second.advance(Booted(), NOW)


def test_an_effect_is_returned_once() -> None:
    engine = Engine(ServiceGraph.build([service("db")]), {})
    assert engine.advance(Booted(), NOW)
    assert engine.advance(OutputChanged(DB, None), NOW) == ()


def test_times_that_people_see_are_wall_clock() -> None:
    engine = Engine(ServiceGraph.build([service("db")]), {})
    engine.advance(Booted(), NOW)
    found = engine.snapshot(DB)
    assert (found.since, found.wanted_since, found.changes) == (
        NOW.wall,
        NOW.wall,
        ((State.STARTING, NOW.wall),),
    )


@pytest.mark.parametrize(
    "event",
    [
        Exited(Name("gone"), 1, ExitStatus(0)),
        Fired(Name("gone"), 1, Timer.BACKOFF),
        OutputChanged(Name("gone"), "full"),
        Fired(DB, 99, Timer.STOP_DELAY),
    ],
)
def test_what_comes_late_or_about_nobody_changes_nothing(event: Exited | Fired) -> None:
    host = PureHost.of(service("db"))
    host.take()
    host.post(event)
    assert host.effects == []


@pytest.mark.parametrize("timer", Timer)
def test_a_timer_that_fires_for_nothing_changes_nothing(timer: Timer) -> None:
    """It was cancelled while its event was already on the way."""
    host = PureHost.of(service("db"))
    host.take()
    host.post(Fired(DB, host.engine.service(DB).generation, timer))
    assert (host.state("db"), host.did()) == ("running", [])


def test_output_that_cannot_be_written_degrades_a_service_until_it_can() -> None:
    host = PureHost.of(service("db"))
    host.post(OutputChanged(DB, "no space left"), OutputChanged(DB, "no space left"))
    assert host.reason("db") == "degraded: output: no space left"
    host.post(OutputChanged(DB, None))
    assert host.reason("db") == ""
    assert host.tells("db")[2:] == ["output lost", "output restored"]


# Shutdown


def test_a_shutdown_stops_everything_in_reverse_order_and_finishes_once() -> None:
    host = PureHost.of(
        target("net"),
        service("db", requires=["net"]),
        service("web", requires=["db"]),
        service("log", before=["db"]),
        service("x"),
    )
    host.stubborn |= {"db", "web"}
    host.did()
    host.ask(Verb.SHUTDOWN)
    assert host.did() == ["terminate x", "terminate web"]
    host.lets_go("web")
    assert host.did() == ["terminate db"]
    host.lets_go("db")
    assert host.did() == ["terminate log", "answer", "finish"]
    assert host.is_finished


def test_a_shutdown_ends_guests_first_and_only_then_what_they_may_rely_on() -> None:
    host = PureHost.of(
        service("net"),
        service("libvirtd"),
        service("vm", requires=["libvirtd"], is_guest=True),
        service("vm2", is_guest=True),
        service("monitor", requires=["vm"]),
        service("reporter", after=["vm2"]),
    )
    host.stubborn |= {"monitor", "vm", "vm2"}
    host.did()
    host.ask(Verb.SHUTDOWN)
    assert sorted(host.did()) == ["terminate monitor", "terminate reporter", "terminate vm2"]
    host.lets_go("monitor")
    assert host.did() == ["terminate vm"]
    host.lets_go("vm2")
    assert host.did() == []
    host.lets_go("vm")
    assert host.did() == ["terminate libvirtd", "terminate net", "answer", "finish"]


def test_a_guest_that_cannot_be_ended_does_not_keep_the_shutdown_from_ending() -> None:
    host = PureHost.of(service("net"), service("vm", is_guest=True), target("vm2", is_guest=True))
    host.unkillable.add("vm")
    host.did()
    host.ask(Verb.SHUTDOWN)
    host.pass_time(100)
    assert host.did() == ["terminate vm", "kill vm", "terminate net", "answer", "finish"]


def test_a_shutdown_with_transient_targets_for_guests_ends() -> None:
    host = PureHost.of(service("net"), target("vm", is_guest=True, transient=True))
    host.did()
    host.ask(Verb.SHUTDOWN)
    assert host.did() == ["forget vm", "terminate net", "answer", "finish"]


def test_a_guest_that_is_a_target_is_awaited_like_any_other() -> None:
    host = PureHost.of(service("net"), target("vm", is_guest=True))
    host.did()
    host.ask(Verb.SHUTDOWN)
    assert host.did() == ["terminate net", "answer", "finish"]


def test_a_guest_that_vanishes_is_awaited_no_more() -> None:
    host = PureHost.of(
        service("net"),
        target("vm", is_guest=True, transient=True),
        service("vm2", is_guest=True, transient=True),
    )
    host.did()
    host.ask(Verb.SHUTDOWN)
    assert host.did() == [
        "forget vm",
        "terminate vm2",
        "forget vm2",
        "terminate net",
        "answer",
        "finish",
    ]


def test_outside_a_shutdown_guests_keep_nothing_from_stopping() -> None:
    host = PureHost.of(service("net"), service("vm", is_guest=True))
    host.did()
    host.stop("net")
    assert host.did() == ["terminate net", "answer net done"]


def test_a_shutdown_of_nothing_is_over_at_once() -> None:
    host = PureHost.of()
    host.ask(Verb.SHUTDOWN)
    assert host.did() == ["answer", "finish"]


def test_everybody_who_asks_for_the_shutdown_is_answered_and_it_ends_once() -> None:
    host = PureHost.of(service("db"))
    host.stubborn.add("db")
    first, second = host.ask(Verb.SHUTDOWN), host.ask(Verb.SHUTDOWN)
    host.lets_go("db")
    third = host.ask(Verb.SHUTDOWN)
    assert {first, second, third} <= set(host.answers)
    assert host.take(Finish) == [Finish()]


def test_a_shutdown_ends_starts_and_pauses() -> None:
    host = PureHost.of(
        service("db", ready=NOTIFY), service("x"), service("web", requires=["db"]), boot=False
    )
    ticket = host.start("web", "x")
    host.exits("x")
    assert host.timers
    host.ask(Verb.SHUTDOWN)
    assert [str(r.result) for r in host.reports(ticket)] == ["superseded", "done"]
    assert not host.timers
    assert host.is_finished


def test_nothing_is_respawned_during_a_shutdown() -> None:
    host = PureHost.of(service("db"), service("web", requires=["db"]))
    host.stubborn.add("web")
    host.ask(Verb.SHUTDOWN)
    host.exits("db")
    host.did()
    host.lets_go("web")
    assert host.did() == ["answer", "finish"]


def test_a_shutdown_leaves_what_is_wanted_as_it_was() -> None:
    host = PureHost.of(service("db"))
    host.ask(Verb.SHUTDOWN)
    assert host.engine.service(DB).wanted
    assert host.reason("db") == ""
    assert host.engine.is_shutting_down


def test_a_process_that_cannot_be_killed_does_not_keep_the_shutdown_from_ending() -> None:
    host = PureHost.of(service("db"), service("web", requires=["db"]))
    host.unkillable.add("web")
    host.did()
    host.ask(Verb.SHUTDOWN)
    host.pass_time(100)
    assert host.did() == ["terminate web", "kill web", "terminate db", "answer", "finish"]

"""A shutdown: guests first, then services in reverse order, and what happens when something will not end."""

from typing import Any

import pytest
from tests.support.pure_host import FAILED, PureHost, domain, in_words, service, target, timer

from virtsupd.core import processes
from virtsupd.core.effects import ArmTimer, Finish, RememberShutdown
from virtsupd.core.events import (
    Booted,
    Fired,
    GuestEnded,
    GuestsFound,
    Instant,
    Reloaded,
    Timer,
    Verb,
)
from virtsupd.core.host_scope import ROOT, Phase, ShutdownOrder
from virtsupd.core.names import Name
from virtsupd.core.shutdown_policy import GuestEnd, RunningGuest, ShutdownPolicy
from virtsupd.core.spec import Readiness, ServiceSpec, SocketProbe, Stop

VIRT = Name("virt")


def guest(name: str, **fields: Any) -> ServiceSpec:
    return service(name, is_guest=True, **fields)


def virt(**fields: Any) -> ServiceSpec:
    return service("virt", hosts_guests=True, **fields)


def host_of(*specs: ServiceSpec, **policy: Any) -> PureHost:
    host = PureHost.of(*specs, policy=ShutdownPolicy(**policy))
    host.did()
    return host


def found(host: PureHost, *names: str) -> None:
    host.post(GuestsFound(VIRT, tuple(RunningGuest(name) for name in names)))


def ended(host: PureHost, name: str, end: GuestEnd = GuestEnd.SHUTDOWN) -> None:
    host.post(GuestEnded(VIRT, name, end))


def left(host: PureHost) -> tuple[str, ...]:
    assert host.is_finished
    view = host.engine.shutdown_view()
    assert view is not None
    return view.left


# Order


def test_guests_end_before_services_and_services_in_reverse_order() -> None:
    host = host_of(service("db"), service("web", requires=["db"]), guest("vm", requires=["db"]))
    ticket = host.ask(Verb.SHUTDOWN)
    assert host.did() == [
        "terminate vm",
        "terminate web",
        "terminate db",
        "answer",
        "finish",
    ]
    assert host.reports(ticket) == ()


def test_a_host_without_guests_goes_straight_to_its_services() -> None:
    host = host_of(service("db"))
    host.ask(Verb.SHUTDOWN)
    assert host.did() == ["terminate db", "answer", "finish"]


def test_how_far_it_has_come_is_written_down_before_anything_is_done() -> None:
    host = host_of(virt(), service("db"))
    host.effects.clear()
    host.ask(Verb.SHUTDOWN)
    found(host)
    said = [e.order.phase if isinstance(e, RememberShutdown) else in_words(e) for e in host.effects]
    assert [what for what in said if what] == [
        Phase.GUESTS,
        "find guests of virt",
        Phase.SERVICES,
        "terminate db",
        "terminate virt",
        "answer",
        "finish",
    ]


def test_a_guest_that_cannot_be_killed_holds_up_nothing() -> None:
    host = host_of(service("db"), guest("vm"))
    host.unkillable.add("vm")
    host.ask(Verb.SHUTDOWN)
    host.pass_time(14.9)
    assert host.running() == ["db"]
    host.pass_time(0.2)
    assert host.is_finished
    assert left(host) == ("vm: its processes are still there after SIGKILL",)


def test_guests_of_services_end_through_the_service_while_everything_stays() -> None:
    host = host_of(service("net"), virt(requires=["net"]), service("web"), target("all"))
    host.ask(Verb.SHUTDOWN)
    assert host.did() == ["find guests of virt"]
    found(host, "a", "b")
    assert host.did() == ["shutdown guest a", "shutdown guest b"]
    assert host.running() == ["all", "net", "virt", "web"]
    ended(host, "a")
    assert host.did() == []
    ended(host, "b")
    assert host.did() == ["find guests of virt"]
    found(host)
    assert host.did() == [
        "terminate web",
        "terminate virt",
        "terminate net",
        "answer",
        "finish",
    ]
    assert not host.timers


def with_a_job() -> PureHost:
    """A host of guests whose timer, which comes after it, has a job under way that does not end at once."""
    host = host_of(virt(), timer("watcher", after=["virt"]), timer("backup"))
    host.stubborn.update(("watcher", "backup"))
    host.ask(Verb.TRIGGER, "watcher")
    host.ask(Verb.TRIGGER, "backup")
    host.did()
    return host


def test_jobs_that_may_start_guests_end_before_the_guests_are_looked_for() -> None:
    host = with_a_job()
    host.ask(Verb.SHUTDOWN)
    assert host.did() == ["terminate watcher"]
    host.lets_go("watcher")
    assert host.did() == ["find guests of virt"]
    assert host.running() == ["backup", "virt"]


def test_a_job_that_cannot_be_killed_does_not_keep_the_guests_from_ending() -> None:
    host = with_a_job()
    host.unkillable.add("watcher")
    host.ask(Verb.SHUTDOWN)
    host.pass_time(5.0)
    assert host.did() == ["terminate watcher", "kill watcher"]
    host.pass_time(10.0)
    assert host.did() == ["find guests of virt"]


def test_why_services_stay_is_told() -> None:
    host = host_of(virt(), service("web"))
    host.ask(Verb.SHUTDOWN)
    (link,) = host.engine.why(VIRT).links
    assert link.why == "kept up for guests"
    assert link.next.text == "stops after the end of all guests of virt"
    first, second = host.engine.why(Name("web")).links
    assert first.why == "virtsupd is shutting down"
    assert (first.next.text, second.name) == ("stops after the end of all guests of virt", "virt")


def test_why_names_the_guests_that_are_waited_for() -> None:
    host = host_of(virt(), guest("vm"), guest("vm2"), service("web"), parallel=2)
    host.stubborn.update(("vm", "vm2"))
    host.ask(Verb.SHUTDOWN)
    host.lets_go("vm")
    found(host, "a", "b")
    ended(host, "a")
    text = "stops after the end of guest vm2 and guest b"
    assert host.engine.why(Name("web")).links[0].next.text == text
    assert host.engine.why(VIRT).links[0].next.text == text


def test_why_says_that_a_guest_awaits_its_turn() -> None:
    host = host_of(virt(), guest("vm"), guest("vm2"), guest("vm3"), parallel=2)
    host.stubborn.update(("vm", "vm2", "vm3"))
    host.ask(Verb.SHUTDOWN)
    text = "stops after the end of one of guest vm and guest vm2"
    assert host.engine.why(Name("vm3")).links[0].next.text == text


def test_a_guest_that_begins_meanwhile_ends_too() -> None:
    host = host_of(virt())
    host.ask(Verb.SHUTDOWN)
    found(host, "a")
    ended(host, "a")
    found(host, "late")
    assert host.did()[-1] == "shutdown guest late"


def test_services_stay_for_guests_of_both_sorts() -> None:
    host = host_of(virt(), guest("vm"), service("web"))
    host.stubborn.add("vm")
    host.ask(Verb.SHUTDOWN)
    found(host)
    assert host.running() == ["virt", "web"]
    host.pass_time(5)
    assert host.is_finished


# At most so many at a time


def test_at_most_as_many_guests_end_at_a_time_as_the_policy_says() -> None:
    host = host_of(virt(), parallel=2)
    host.ask(Verb.SHUTDOWN)
    host.did()
    found(host, "a", "b", "c")
    assert host.did() == ["shutdown guest a", "shutdown guest b"]
    ended(host, "b")
    assert host.did() == ["shutdown guest c"]


def test_guests_that_are_services_take_their_turn_too() -> None:
    host = host_of(guest("x"), guest("y"), virt(), parallel=1)
    host.stubborn.update(("x", "y"))
    host.ask(Verb.SHUTDOWN)
    found(host, "a")
    assert host.did() == ["find guests of virt", "terminate x"]
    host.lets_go("x")
    assert host.did() == ["shutdown guest a"]
    assert host.running() == ["virt", "y"]
    ended(host, "a")
    assert "terminate y" in host.did()


def test_those_that_have_to_stop_before_a_guest_take_no_turn() -> None:
    host = host_of(guest("x"), guest("y"), service("agent", requires=["x"]), parallel=1)
    host.stubborn.add("y")
    host.ask(Verb.SHUTDOWN)
    assert host.did() == ["terminate y", "terminate agent"]
    host.lets_go("y")
    assert host.did()[0] == "terminate x"


# Deadlines of guests


def test_a_guest_that_does_not_end_in_its_time_is_killed() -> None:
    host = host_of(virt(), guest_timeout_seconds=30.0)
    host.ask(Verb.SHUTDOWN)
    found(host, "a")
    host.did()
    host.pass_time(29.9)
    assert host.did() == []
    host.pass_time(0.2)
    assert host.did() == ["kill guest a"]
    ended(host, "a", GuestEnd.KILL)
    found(host)
    assert host.is_finished
    assert left(host) == ()


def test_a_guest_that_cannot_be_killed_is_left_and_named() -> None:
    host = host_of(virt(), guest_timeout_seconds=30.0)
    host.ask(Verb.SHUTDOWN)
    found(host, "a")
    host.pass_time(61)
    found(host, "a")
    assert host.is_finished
    assert left(host) == ("guest a of virt: it did not end within 30 s",)


def test_a_guest_may_be_left_after_its_time() -> None:
    host = host_of(virt(), overdue="leave", guest_timeout_seconds=30.0)
    host.ask(Verb.SHUTDOWN)
    found(host, "a")
    host.pass_time(31)
    found(host, "a")
    assert host.is_finished
    assert not [d for d in host.did() if d.startswith("kill")]


def test_a_guest_may_have_a_way_and_a_time_of_its_own() -> None:
    host = host_of(virt())
    host.ask(Verb.SHUTDOWN)
    host.did()
    host.post(GuestsFound(VIRT, (RunningGuest("a", GuestEnd.SAVE, 5.0), RunningGuest("b"))))
    assert host.did() == ["save guest a", "shutdown guest b"]
    host.pass_time(6)
    assert host.did() == ["kill guest a"]


def test_a_guest_that_cannot_be_ended_politely_is_killed_at_once() -> None:
    host = host_of(virt())
    host.ask(Verb.SHUTDOWN)
    found(host, "a")
    host.did()
    host.post(GuestEnded(VIRT, "a", GuestEnd.SHUTDOWN, "no ACPI"))
    assert host.did() == ["kill guest a"]
    host.post(GuestEnded(VIRT, "a", GuestEnd.SHUTDOWN, "too late"))
    assert host.did() == [], "the polite way is over"
    host.post(GuestEnded(VIRT, "a", GuestEnd.KILL, "no permission"))
    found(host, "a")
    assert left(host) == ("guest a of virt: no permission",)


@pytest.mark.parametrize("overdue", ["kill", "leave"])
def test_a_guest_that_cannot_be_saved_is_asked_to_power_off(overdue: str) -> None:
    host = host_of(virt(), guest_end=GuestEnd.SAVE, guest_timeout_seconds=30.0, overdue=overdue)
    host.ask(Verb.SHUTDOWN)
    found(host, "a")
    host.pass_time(20)
    host.did()
    host.post(GuestEnded(VIRT, "a", GuestEnd.SAVE, "it is transient"))
    assert host.did() == ["shutdown guest a"]
    host.pass_time(29)
    assert host.did() == [], "it has its whole time"
    ended(host, "a", GuestEnd.SHUTDOWN)
    found(host)
    assert left(host) == ()


def test_a_guest_whose_save_fails_after_the_deadline_of_all_is_killed() -> None:
    host = host_of(virt(), guest_end=GuestEnd.SAVE, timeout_seconds=20.0)
    host.ask(Verb.SHUTDOWN)
    found(host, "a")
    host.did()
    host.pass_time(21)
    host.post(GuestEnded(VIRT, "a", GuestEnd.SAVE, "no space"))
    assert host.did() == ["kill guest a"]


def test_a_guest_that_is_said_to_be_gone_and_is_not_is_killed() -> None:
    host = host_of(virt())
    host.ask(Verb.SHUTDOWN)
    for _ in range(3):
        found(host, "a")
        ended(host, "a", GuestEnd.SHUTDOWN)
        ended(host, "a", GuestEnd.KILL)
    assert left(host) == ("guest a of virt: it was said to have ended, and runs",)


def test_what_was_not_asked_for_changes_nothing() -> None:
    host = host_of(virt())
    found(host, "a")
    host.ask(Verb.SHUTDOWN)
    host.post(GuestEnded(VIRT, "x", GuestEnd.SHUTDOWN))
    host.post(GuestsFound(Name("other"), (RunningGuest("a"),)))
    found(host, "a")
    host.did()
    found(host, "b")
    assert host.did() == [], "nobody had asked"
    ended(host, "a")
    found(host)
    found(host, "c")
    assert host.is_finished


# Guest hosts that fail


def test_a_guest_host_that_crashes_comes_back_for_its_guests() -> None:
    host = host_of(service("log"), virt(requires=["log"]), service("web"))
    host.ask(Verb.SHUTDOWN)
    found(host, "a")
    host.did()
    host.exits("web", FAILED)
    host.exits("virt", FAILED)
    host.exits("log", FAILED)
    host.pass_time(1)
    assert host.running() == ["log", "virt"], "web is needed no more"
    ended(host, "a")
    found(host)
    assert host.is_finished


def test_a_guest_host_that_does_not_answer_is_asked_again_until_its_time_is_over() -> None:
    host = host_of(virt())
    host.ask(Verb.SHUTDOWN)
    for _ in range(60):
        assert host.did() == ["find guests of virt"]
        host.post(GuestsFound(VIRT, why="no such socket"))
        host.pass_time(1)
    assert host.is_finished
    assert left(host) == ("guests of virt: not known which run: no such socket",)


def test_a_guest_host_that_hangs_is_killed_and_tells_of_its_guests_when_it_is_back() -> None:
    host = host_of(virt(), service("web"))
    host.stubborn.add("virt")
    host.ask(Verb.SHUTDOWN)
    host.did()
    host.pass_time(29.9)
    assert host.did() == []
    host.pass_time(0.15)
    assert host.did() == ["terminate virt", "kill virt"]
    host.pass_time(1)
    assert host.did() == ["spawn virt", "find guests of virt"]
    host.stubborn.clear()
    found(host, "a")
    assert host.did() == ["shutdown guest a"]
    ended(host, "a")
    found(host)
    assert left(host) == ()


def test_a_guest_host_that_is_slow_to_start_is_not_killed_for_it() -> None:
    host = host_of(virt(ready=Readiness(SocketProbe("sock"), 300.0)))
    host.ready("virt")
    host.exits("virt", FAILED)
    host.pass_time(1)
    host.ask(Verb.SHUTDOWN)
    host.pass_time(35)
    host.ready("virt")
    host.pass_time(20)
    assert "kill virt" not in host.did()
    assert host.running() == ["virt"]


def test_a_guest_host_that_never_answers_is_killed_once_and_given_up() -> None:
    host = host_of(virt())
    host.ask(Verb.SHUTDOWN)
    host.pass_time(89)
    assert host.running() == ["virt"]
    assert host.did().count("kill virt") == 1
    host.pass_time(3)
    assert left(host) == ("guests of virt: not known which run: no answer",)


def test_a_guest_host_that_was_given_up_is_asked_when_it_is_back() -> None:
    """As long as the services wait for a guest that is one of them."""
    host = host_of(virt(), domain("vm", wants=["virt"], after=["virt"]))
    host.stubborn.add("vm")
    host.ask(Verb.SHUTDOWN)
    host.pass_time(100)
    assert host.running() == ["virt"]
    host.did()
    host.exits("virt", FAILED)
    host.pass_time(1)
    assert host.did() == ["terminate virt", "spawn virt", "find guests of virt"]
    found(host, "a")
    host.lets_go("vm")
    assert not host.is_finished
    ended(host, "a")
    found(host)
    assert left(host) == ()


def test_a_deadline_does_not_wait_for_a_guest_host_that_hangs() -> None:
    host = host_of(virt(), timeout_seconds=20.0)
    host.ask(Verb.SHUTDOWN)
    host.pass_time(21)
    assert left(host) == ("guests of virt: not known which run: no answer",)


def test_a_guest_host_that_nobody_started_since_boot_has_no_guests() -> None:
    host = host_of(virt(autostart=False), service("web"))
    host.ask(Verb.SHUTDOWN)
    host.post(GuestsFound(VIRT, why="not running"))
    assert left(host) == ()


def test_a_guest_host_that_was_stopped_is_started_for_its_guests_and_stopped_again() -> None:
    host = host_of(service("log"), virt(requires=["log"]), service("web"))
    host.stop("virt", "log")
    host.ask(Verb.SHUTDOWN)
    assert host.did()[-1] == "find guests of virt"
    host.post(GuestsFound(VIRT, why="not running"))
    assert host.did() == ["spawn log", "spawn virt"]
    host.pass_time(1)
    found(host, "a")
    assert host.did() == ["find guests of virt", "shutdown guest a"]
    assert host.running() == ["log", "virt", "web"]
    host.exits("virt", FAILED)
    host.pass_time(1)
    assert host.running() == ["log", "virt", "web"], "it comes back as any other"
    ended(host, "a")
    found(host)
    assert host.did()[-4:] == ["terminate virt", "terminate log", "answer", "finish"]
    assert left(host) == ()


def test_a_successor_starts_a_guest_host_that_was_stopped_too() -> None:
    host = host_of(virt())
    host.stop("virt")
    host.ask(Verb.SHUTDOWN)
    host.post(GuestsFound(VIRT, why="not running"))
    heir = host.successor(died={"virt": FAILED})
    heir.pass_time(1)
    heir.post(GuestsFound(VIRT, why="not running"))
    assert heir.running() == ["virt"]
    heir.pass_time(1)
    found(heir)
    assert left(heir) == ()


def test_a_guest_host_that_has_failed_is_tried_once_more() -> None:
    host = host_of(virt(respawn=None), service("web"))
    host.exits("virt", FAILED)
    host.ask(Verb.SHUTDOWN)
    for _ in range(2):
        host.post(GuestsFound(VIRT, why="not running"))
        if host.state("virt") == "running":
            host.exits("virt", FAILED)
        host.pass_time(1)
    assert host.did().count("spawn virt") == 1
    assert left(host) == ("guests of virt: not known which run: not running",)


def test_a_disabled_guest_host_stays_down() -> None:
    host = host_of(virt(), service("web"))
    host.stop("virt")
    host.ask(Verb.DISABLE, "virt")
    host.ask(Verb.SHUTDOWN)
    host.post(GuestsFound(VIRT, why="not running"))
    assert "spawn virt" not in host.did()
    assert left(host) == ("guests of virt: not known which run: not running",)


def test_what_a_guest_needs_that_is_a_service_comes_back_if_it_crashes() -> None:
    host = host_of(service("net"), guest("vm", requires=["net"]), service("web"))
    host.stubborn.add("vm")
    host.ask(Verb.SHUTDOWN)
    host.exits("net", FAILED)
    host.exits("web", FAILED)
    host.pass_time(1)
    assert host.running() == ["net"]
    host.lets_go("vm")
    assert host.did()[-3:] == ["terminate net", "answer", "finish"]


def test_what_stands_between_two_guests_stops_between_them() -> None:
    host = host_of(guest("a"), service("x", requires=["a"]), guest("b", requires=["x"]))
    host.stubborn.add("b")
    host.ask(Verb.SHUTDOWN)
    host.pass_time(5)
    steps = [words for words in host.did() if words.startswith("terminate")]
    assert steps == ["terminate b", "terminate x", "terminate a"]


def test_a_guest_host_that_is_down_may_know_of_guests() -> None:
    host = host_of(virt(), service("web"))
    host.stop("virt")
    host.ask(Verb.SHUTDOWN)
    found(host, "a")
    assert host.did()[-1] == "shutdown guest a"
    assert host.running() == ["web"]


# The deadline of the whole


def test_what_is_left_at_the_deadline_gets_kill_at_once() -> None:
    host = host_of(
        service("db", stop=Stop(delay_seconds=1000)),
        service("web", requires=["db"], stop=Stop(delay_seconds=1000)),
        timeout_seconds=20.0,
    )
    host.stubborn.update(("db", "web"))
    host.ask(Verb.SHUTDOWN)
    host.pass_time(19.9)
    assert host.running() == ["db"]
    host.did()
    host.pass_time(0.2)
    assert host.did() == ["kill web", "terminate db", "kill db", "answer", "finish"]
    assert left(host) == ()


def test_guests_are_killed_at_the_deadline_before_their_hosts() -> None:
    host = host_of(
        service("log"), virt(requires=["log"]), guest("vm", stop=Stop(delay_seconds=1000)),
        service("web"), timeout_seconds=20.0, parallel=2,
    )  # fmt: skip
    host.stubborn.add("vm")
    host.ask(Verb.SHUTDOWN)
    found(host, "a", "b")
    host.did()
    host.pass_time(20)
    assert host.did() == ["kill guest a", "kill guest b", "terminate web", "kill web", "kill vm"]
    assert host.running() == ["log", "virt"]
    ended(host, "a", GuestEnd.KILL)
    ended(host, "b", GuestEnd.KILL)
    assert host.did()[-2:] == ["answer", "finish"]
    assert left(host) == ()


def test_guests_that_may_be_left_are_left_at_the_deadline() -> None:
    host = host_of(virt(), timeout_seconds=20.0, overdue="leave")
    host.ask(Verb.SHUTDOWN)
    found(host, "a")
    host.pass_time(20)
    text = "it did not end before the deadline of the shutdown"
    assert left(host) == (f"guest a of virt: {text}",)


def test_a_host_that_has_not_answered_at_the_deadline_is_given_up() -> None:
    host = host_of(virt(), timeout_seconds=20.0)
    host.ask(Verb.SHUTDOWN)
    host.pass_time(20)
    assert left(host) == ("guests of virt: not known which run: no answer",)


def test_what_cannot_be_killed_is_named() -> None:
    host = host_of(service("db"), service("web", requires=["db"]), timeout_seconds=20.0)
    host.unkillable.add("web")
    host.ask(Verb.SHUTDOWN)
    host.pass_time(40)
    assert left(host) == ("web: its processes are still there after SIGKILL",)
    assert host.running() == []


# Commands meanwhile


def test_a_second_shutdown_changes_nothing() -> None:
    host = host_of(virt(), timeout_seconds=20.0)
    first = host.ask(Verb.SHUTDOWN)
    found(host, "a")
    host.pass_time(10)
    host.did()
    second = host.ask(Verb.SHUTDOWN)
    assert host.did() == []
    host.pass_time(40)
    assert {first, second} <= set(host.answers)
    assert sum(isinstance(effect, Finish) for effect in host.effects) == 1


def test_a_timer_that_fires_before_its_time_is_armed_again() -> None:
    host = host_of(virt())
    host.post(Fired(ROOT, 0, Timer.SHUTDOWN))
    host.ask(Verb.SHUTDOWN)
    armed = host.timers[ROOT, Timer.SHUTDOWN]
    del host.timers[ROOT, Timer.SHUTDOWN]
    host.post(Fired(ROOT, 0, Timer.SHUTDOWN))
    assert host.timers[ROOT, Timer.SHUTDOWN] == armed


def test_the_timer_of_a_shutdown_is_no_service_s() -> None:
    host = host_of(service("db"))
    db = host.engine.service(Name("db"))
    with pytest.raises(AssertionError):
        processes.take(host.engine._host, db, Fired(Name("db"), db.generation, Timer.SHUTDOWN))


# A crash in the middle


def test_a_successor_goes_on_with_the_same_deadline() -> None:
    host = host_of(virt(), service("web"), timeout_seconds=100.0)
    host.ask(Verb.SHUTDOWN)
    found(host, "a", "b")
    ended(host, "a")
    host.pass_time(40)
    heir = host.successor(boot=False)
    assert heir.engine.is_shutting_down
    heir.post(Booted())
    view = heir.engine.shutdown_view()
    assert view is not None
    assert (view.by, view.since, view.deadline) == ("tester", 1000.0, 1100.0)
    assert "find guests of virt" in heir.did()
    found(heir, "b")
    assert heir.did() == ["shutdown guest b"]
    ended(heir, "b")
    found(heir)
    assert heir.is_finished
    assert heir.order is None


def test_a_successor_starts_nothing_but_what_its_guests_need() -> None:
    host = host_of(virt(), service("web"), service("db"))
    host.ask(Verb.SHUTDOWN)
    heir = host.successor(died={"virt": FAILED, "web": FAILED})
    heir.pass_time(1)
    assert heir.running() == ["db", "virt"]


def test_a_successor_in_the_services_phase_asks_for_no_guests_and_starts_nothing() -> None:
    host = host_of(virt(), service("db"), service("web", requires=["virt", "db"]))
    host.stubborn.add("db")
    host.ask(Verb.SHUTDOWN)
    found(host)
    heir = host.successor()
    assert [words for words in heir.did() if not words.startswith("adopt")] == [
        "terminate db",
    ]
    heir.pass_time(5)
    assert heir.is_finished


def test_a_deadline_that_nobody_kept_begins_anew() -> None:
    host = host_of(virt())
    host.ask(Verb.SHUTDOWN)
    heir = host.successor(away=5000.0)
    assert heir.order == ShutdownOrder("tester", 1000.0, Instant(6840.0, 6840.0))
    found(heir, "a")
    assert heir.did()[-1] == "shutdown guest a"


def test_a_successor_knows_of_the_guests_that_were_left() -> None:
    host = host_of(virt(), service("db"), overdue="leave")
    host.stubborn.add("db")
    host.ask(Verb.SHUTDOWN)
    found(host, "a")
    host.post(GuestEnded(VIRT, "a", GuestEnd.SHUTDOWN, "no ACPI"))
    found(host, "a")
    heir = host.successor()
    heir.pass_time(5)
    assert left(heir) == ("guest a of virt: no ACPI",)


def test_a_deadline_that_was_seen_to_pass_does_not_begin_anew() -> None:
    host = host_of(virt(), timeout_seconds=20.0)
    host.ask(Verb.SHUTDOWN)
    found(host, "a")
    host.pass_time(21)
    heir = host.successor(away=5)
    text = "guests of virt: not known which run: the deadline had passed before it was asked"
    assert left(heir) == (text,)


def test_successors_give_no_service_more_time_than_the_first_would_have() -> None:
    host = host_of(service("db", stop=Stop(delay_seconds=10)))
    host.stubborn.add("db")
    host.ask(Verb.SHUTDOWN)
    for _ in range(3):
        host.pass_time(2)
        host = host.successor(away=1)
    host.pass_time(0.9)
    assert "kill db" not in host.did()
    host.pass_time(0.2)
    assert "kill db" in host.did()


# Settings


def test_a_policy_of_a_reload_holds_for_the_next_shutdown() -> None:
    host = host_of(service("db"))
    host.post(Reloaded(host.engine.graph, ShutdownPolicy(timeout_seconds=5.0)))
    host.stubborn.add("db")
    host.ask(Verb.SHUTDOWN)
    (armed,) = [e for e in host.effects if isinstance(e, ArmTimer) and e.name == ROOT]
    assert armed.at == host.now + 5

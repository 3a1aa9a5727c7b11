"""A new configuration: what holds at once, what is pending, what leaves, and what is refused."""

from dataclasses import replace
from typing import Any

from tests.support.pure_host import CLEAN, NOTIFY, PureHost, process, service, target

from virtsupd.core.effects import EndWatches, Remember, Terminate, WatchHealth
from virtsupd.core.events import Verb
from virtsupd.core.exits import ExitStatus
from virtsupd.core.names import Name
from virtsupd.core.snapshot import State
from virtsupd.core.spec import (
    ExecProbe,
    ExitProbe,
    Health,
    NotifyProbe,
    Readiness,
    Reload,
    Respawn,
    ServiceSpec,
    Stop,
)

DB = Name("db")
CHECK = ExecProbe(("check",))


def pending(host: PureHost, name: str = "db") -> bool:
    return host.engine.snapshot(Name(name)).is_replacement_pending


# What stays


def test_an_unchanged_configuration_changes_nothing() -> None:
    specs = (service("db"), service("web", requires=["db"]), service("off", autostart=False))
    host = PureHost.of(*specs)
    host.effects.clear()
    host.reload(*specs)
    assert host.effects == []


def test_edges_hold_at_once() -> None:
    host = PureHost.of(service("db"), service("web"))
    host.reload(service("db"), service("web", requires=["db"]))
    host.did()
    host.stop("db")
    assert host.did() == ["terminate web", "terminate db", "answer db done"]


def test_names_hold_at_once() -> None:
    host = PureHost.of(service("db"))
    host.reload(service("db", provides=(DB, Name("sql"))), service("web", requires=["sql"]))
    assert host.engine.graph.resolve("sql") == "db"
    assert host.running() == ["db", "web"]


def test_policies_hold_at_once() -> None:
    host = PureHost.of(service("db"))
    stop = Stop("SIGQUIT", delay_seconds=1)
    host.reload(service("db", stop=stop, respawn=None, success_exit=frozenset({3})))
    assert not pending(host)
    host.stop("db")
    assert [e.stop for e in host.take(Terminate) if isinstance(e, Terminate)] == [stop]


def test_a_health_check_of_a_process_that_is_still_to_come_waits_for_it() -> None:
    """What is asked may be where the process will be, not where it is."""
    health = Health(CHECK)
    host = PureHost.of(service("db", health=health))
    host.effects.clear()
    elsewhere = Health(ExecProbe(("check", "--port", "2")))
    host.reload(service("db", process=process("other"), health=elsewhere))
    assert not host.take(WatchHealth, EndWatches)
    host.restart("db")
    (watch,) = host.take(WatchHealth)
    assert isinstance(watch, WatchHealth)
    assert watch.health == elsewhere


def test_a_changed_health_check_holds_at_once() -> None:
    host = PureHost.of(service("db", health=Health(CHECK, on_failure="degrade")))
    host.health("db", "slow")
    host.did()
    host.reload(service("db", health=Health(CHECK, interval_seconds=1)))
    assert host.did() == ["watch db"]
    assert host.reason("db") == ""
    host.reload(service("db"))
    assert host.did() == []


def test_what_makes_the_process_is_pending_until_its_next_start_of_any_cause() -> None:
    for cause in ("restart", "crash", "cascade"):
        host = PureHost.of(service("base"), service("db", requires=["base"]))
        new = service("db", requires=["base"], process=process("db", "--new"))
        host.did()
        host.reload(service("base"), new)
        assert host.did() == []
        assert pending(host)
        if cause == "restart":
            host.restart("db")
        elif cause == "crash":
            host.exits("db")
            host.pass_time(1)
        else:
            host.restart("base")
        assert not pending(host)
        assert host.running() == ["base", "db"]


def reads(digest: str, once: str = "", **fields: Any) -> ServiceSpec:
    """A service that reads one file again when it gets SIGUSR1, but for what it reads `once`."""
    made = replace(process("db"), files=(once,) if once else ())
    return service("db", process=made, reload=Reload("SIGUSR1", files=(digest,)), **fields)


def unread(host: PureHost) -> bool:
    return host.engine.snapshot(DB).is_reload_pending


def test_a_service_is_told_of_changed_files_that_it_reads_again() -> None:
    host = PureHost.of(reads("old", once="a"))
    host.did()
    host.reload(reads("new", once="a"))
    assert host.did() == ["reload db"]
    assert not unread(host)
    assert not pending(host)
    host.reload(reads("new", once="a"))
    assert host.did() == []
    host.reload(reads("newest", once="b"))
    assert host.did() == ["reload db"]
    assert not unread(host)
    assert pending(host)


def test_what_is_not_told_of_changed_files_waits_for_a_reload_or_restart_of_it() -> None:
    for verb in (Verb.RELOAD, Verb.RESTART):
        host = PureHost.of(reads("old"))
        host.did()
        host.reload(reads("new"), spared=[DB])
        assert host.did() == []
        assert unread(host)
        host.ask(verb, "db")
        assert not unread(host)


def test_a_reload_that_fails_is_not_repeated_by_itself() -> None:
    host = PureHost.of(reads("old"))
    host.reload_fails = "it said no"
    host.did()
    host.reload(reads("new"))
    assert host.did() == ["reload db"]
    assert unread(host)
    host.pass_time(100)
    assert host.did() == []
    host.reload_fails = None
    host.reload(reads("new"))
    assert host.did() == ["reload db"]
    assert not unread(host)


def test_a_service_that_starts_is_told_of_changed_files_once_it_runs() -> None:
    host = PureHost.of(reads("old", ready=NOTIFY))
    host.did()
    host.reload(reads("new", ready=NOTIFY))
    assert host.did() == []
    host.ready("db")
    assert host.did() == ["reload db"]
    assert not unread(host)


def test_one_that_is_started_afterwards_has_read_its_files() -> None:
    host = PureHost.of(reads("old", ready=NOTIFY))
    host.reload(reads("new", ready=NOTIFY))
    host.exits("db")
    host.pass_time(1)
    host.did()
    host.ready("db")
    assert host.did() == []
    assert not unread(host)


def test_a_successor_tells_of_changed_files_what_was_to_be_told() -> None:
    host = PureHost.of(reads("old"))
    host.held_reloads = True
    host.reload(reads("new"))
    heir = host.successor(reads("new"))
    assert "reload db" in heir.did()
    assert not unread(heir)


def test_a_successor_with_changed_files_tells_nobody_by_itself() -> None:
    host = PureHost.of(reads("old"))
    heir = host.successor(reads("new"))
    assert "reload db" not in heir.did()
    assert unread(heir)


def test_a_changed_readiness_is_pending_and_the_running_start_is_judged_by_its_own() -> None:
    host = PureHost.of(service("db", ready=NOTIFY))
    host.reload(service("db"))
    assert pending(host)
    assert host.reason("db") == "waiting: waits until ready (notify)"
    host.ready("db")
    assert host.running() == ["db"]


def test_a_process_that_becomes_a_target_is_still_ended_as_a_process() -> None:
    host = PureHost.of(service("db"))
    host.reload(target("db"))
    host.did()
    host.restart("db")
    assert host.did() == ["terminate db", "answer db done"]
    assert not host.processes


def test_a_changed_definition_gets_another_try() -> None:
    host = PureHost.of(service("db", respawn=None), service("web", respawn=None))
    host.exits("db")
    host.exits("web")
    host.did()
    host.reload(service("db", respawn=Respawn(delay_seconds=9)), service("web", respawn=None))
    assert host.did() == ["spawn db"]
    assert host.reason("web") == "failed: exited with code 1"


# What comes


def test_what_is_new_is_started_along_with_what_it_needs() -> None:
    host = PureHost.of(service("db", autostart=False))
    host.reload(service("db", autostart=False), service("web", requires=["db"]))
    assert host.did() == ["spawn db", "spawn web"]
    assert host.engine.snapshot(DB).wanted_by == "reload"


def test_what_a_running_service_newly_requires_is_started() -> None:
    host = PureHost.of(service("web"), service("db", autostart=False))
    host.did()
    host.reload(service("web", requires=["db"]), service("db", autostart=False))
    assert host.did() == ["spawn db"]
    assert host.reason("web") == ""


def test_what_the_operator_stopped_stays_stopped_whatever_newly_requires_it() -> None:
    host = PureHost.of(service("db"))
    host.stop("db")
    host.did()
    host.reload(service("db"), service("web", requires=["db"]))
    assert host.did() == []
    assert host.reason("web") == "waiting: waits for db (stopped-by-operator)"


def test_what_now_starts_by_itself_starts_unless_an_operator_stopped_it() -> None:
    host = PureHost.of(service("a", autostart=False), service("b", autostart=False))
    host.stop("b")
    host.did()
    host.reload(service("a"), service("b"))
    assert host.did() == ["spawn a"]


def test_disabled_outlives_leaving_the_configuration() -> None:
    host = PureHost.of(service("db"), service("x"))
    host.ask(Verb.DISABLE, "db")
    host.reload(service("x"))
    host.reload(service("x"), service("db"))
    assert host.running() == ["x"]
    assert host.reason("db").startswith("disabled: ")


def test_a_stop_is_forgotten_with_its_service_and_a_later_virtsupd_is_told() -> None:
    host = PureHost.of(service("db"))
    host.stop("db")
    host.reload()
    host.take()
    host.reload(service("db"))
    assert host.running() == ["db"]
    assert host.take(Remember) == [
        Remember(DB, wanted=True, enabled=True, by="reload", since=1000.0)
    ]


# What leaves


def test_what_was_removed_stops_dependents_first_and_is_forgotten() -> None:
    host = PureHost.of(service("db"), service("web", requires=["db"]), service("x"))
    host.stubborn |= {"db", "web"}
    host.did()
    host.reload(service("x"))
    assert host.did() == ["terminate web"]
    host.lets_go("web")
    assert host.did() == ["forget web", "terminate db"]
    host.lets_go("db")
    assert host.did() == ["forget db"]
    assert host.engine.names() == ("x",)
    assert tuple(host.engine.graph.spec_by_name) == ("x",)


def test_what_was_removed_and_does_not_run_is_forgotten_at_once() -> None:
    host = PureHost.of(service("db", autostart=False))
    host.reload()
    assert host.did() == ["forget db"]
    assert host.engine.names() == ()


def test_what_was_removed_while_it_backed_off_leaves_no_timer() -> None:
    host = PureHost.of(service("db"))
    host.exits("db")
    assert host.timers
    host.reload()
    assert host.engine.names() == ()
    assert not host.timers


def test_what_was_removed_is_not_started_again_when_it_crashes() -> None:
    host = PureHost.of(service("db"))
    host.stubborn.add("db")
    host.reload()
    assert host.state("db") is State.STOPPING
    host.exits("db", CLEAN)
    host.lets_go("db")
    assert host.engine.names() == ()
    assert not host.timers


def test_what_returns_while_it_still_stops_is_started_again() -> None:
    host = PureHost.of(service("db"))
    host.stubborn.add("db")
    host.did()
    host.reload()
    host.reload(service("db"))
    host.lets_go("db")
    assert host.did() == ["terminate db", "spawn db"]


def test_what_leaves_keeps_no_order_that_the_new_edges_contradict() -> None:
    """What it needed now comes after it, wherever it is configured."""
    host = PureHost.of(service("db"), service("web", requires=["db"]))
    host.stubborn.add("web")
    host.did()
    host.reload(service("db", after=["web"]), absent=frozenset({"web"}))
    assert host.did() == ["terminate web"]
    host.lets_go("web")
    assert host.did() == ["forget web"]
    assert host.running() == ["db"]


# What is refused


def test_a_reload_that_would_end_a_guest_is_refused() -> None:
    guest = service("vm", is_guest=True)
    host = PureHost.of(guest)
    assert host.reload() == ("vm: removing it would end a running guest; stop it first",)
    host.stop("vm")
    assert host.reload() == ()


def test_binding_a_running_guest_to_what_is_down_is_refused() -> None:
    off = service("net", autostart=False)
    host = PureHost.of(service("vm", is_guest=True), service("db", respawn=None))
    why = "vm: binding it to net, which is down, would end a running guest"
    bound = service("vm", is_guest=True, binds_to=["net"])
    db = service("db", respawn=None)
    assert host.reload(bound, off, db) == (why,)
    assert host.reload(service("vm", is_guest=True), off, db) == ()
    assert host.reload(bound, off, db) == (why,)
    through = service("vm", is_guest=True, binds_to=["db"])
    assert host.reload(through, off, service("db", binds_to=["net"])) == (
        "vm: binding it to db, which is down, would end a running guest",
    )
    assert host.reload(through, off, db) == ()
    assert host.state("vm") == "running"


def test_a_guest_that_is_going_down_anyway_hinders_no_reload() -> None:
    host = PureHost.of(service("vm", is_guest=True))
    host.stubborn.add("vm")
    host.stop("vm")
    bound = service("vm", is_guest=True, binds_to=["net"])
    assert host.reload(bound, service("net", autostart=False)) == ()


def test_a_name_of_what_still_runs_is_not_given_to_another() -> None:
    host = PureHost.of(service("old", provides=(Name("old"), Name("www"))))
    assert host.reload(service("new", provides=(Name("new"), Name("www")))) == (
        "new: takes over a name of old, which still runs; stop old first",
    )
    host.stop("old")
    assert host.reload(service("new", provides=(Name("new"), Name("www")))) == ()


def test_readiness_by_exit_and_by_message_are_different_processes() -> None:
    host = PureHost.of(service("job", ready=Readiness(NotifyProbe())))
    host.reload(service("job", ready=Readiness(ExitProbe()), one_shot=True))
    assert pending(host, "job")


# One service more


def test_what_is_added_starts_and_nothing_else_does() -> None:
    asked = service("asked", not_needed_exit=frozenset({9}))
    host = PureHost.of(service("once", transient=True, respawn=None), asked, service("db"))
    host.exits("once", CLEAN)
    host.exits("asked", ExitStatus(code=9))
    host.effects.clear()
    host.add(service("more", requires=["db"]))
    assert host.did() == ["spawn more"]
    assert host.running() == ["db", "more"]
    assert "once" not in host.engine.names()


def test_what_is_added_begins_afresh_under_a_name_that_was_used() -> None:
    host = PureHost.of(service("db"), service("job", transient=True, respawn=None))
    host.ask(Verb.DISABLE, "job")
    host.stop("job")
    assert host.engine.names() == ("db",)
    host.did()
    host.add(service("job", transient=True, respawn=None))
    assert host.did() == ["spawn job"]
    heir = host.successor()
    assert heir.running() == ["db", "job"]
    assert heir.service("job").enabled

"""What is wanted changes by commands, boot and reload alone, and what is asked for comes about."""

from typing import Any

from tests.support.pure_host import CLEAN, NOTIFY, PureHost, service, target

from virtsupd.core.effects import Remember
from virtsupd.core.engine import Remembered
from virtsupd.core.events import Verb
from virtsupd.core.names import Name
from virtsupd.core.spec import Reload, Respawn, ServiceSpec


def wanted(host: PureHost) -> str:
    return " ".join(n for n in host.engine.names() if host.engine.service(n).wanted)


def off(name: str, **fields: Any) -> ServiceSpec:
    return service(name, autostart=False, **fields)


# Boot


def test_boot_wants_what_starts_by_itself_and_all_that_is_started_along() -> None:
    host = PureHost.of(
        off("a"), off("b"), off("c"), off("d"), service("e", requires="a", binds_to="b", wants="c")
    )
    assert wanted(host) == "a b c e"
    assert host.did() == ["spawn a", "spawn b", "spawn c", "spawn e"]
    assert host.engine.snapshot(Name("a")).wanted_by == "boot"


def test_what_an_operator_stopped_stays_stopped_in_the_next_virtsupd() -> None:
    host = PureHost.of(
        service("db"),
        service("web", requires=["db"]),
        remembered={"db": Remembered(wanted=False, enabled=True)},
    )
    assert host.did() == []
    assert host.reason("db") == "stopped-by-operator: stopped by an earlier command"
    assert host.engine.service(Name("db")).wanted_since == host.now
    assert host.reason("web") == "waiting: waits for db (stopped-by-operator)"


def test_by_whom_and_since_when_is_known_to_the_next_virtsupd() -> None:
    kept = Remembered(wanted=False, enabled=True, by="root", since=12.0)
    host = PureHost.of(service("db"), remembered={"db": kept})
    found = host.engine.service(Name("db"))
    assert (found.wanted_by, found.wanted_since) == ("root", 12.0)
    told = Remember(Name("db"), wanted=False, enabled=True, by="root", since=12.0)
    assert host.take(Remember) == [told]


def test_what_an_operator_started_is_started_by_the_next_virtsupd() -> None:
    host = PureHost.of(off("db"), remembered={"db": Remembered(wanted=True, enabled=True)})
    assert host.did() == ["spawn db"]


def test_a_remembered_start_still_starts_along_what_it_needs() -> None:
    host = PureHost.of(
        off("db"),
        service("web", requires=["db"]),
        remembered={"web": Remembered(wanted=True, enabled=True)},
    )
    assert host.did() == ["spawn db", "spawn web"]


def test_in_a_new_boot_the_definitions_decide_and_disabled_stays_disabled() -> None:
    host = PureHost.of(
        service("db"),
        service("web"),
        remembered={
            "db": Remembered(wanted=None, enabled=False),
            "web": Remembered(wanted=None, enabled=True),
        },
    )
    assert host.did() == ["spawn web"]
    assert host.reason("db").startswith("disabled: ")


# Start


def test_start_wants_the_closure_over_requires_binds_to_and_wants() -> None:
    host = PureHost.of(
        off("a"), off("b", requires="a"), off("c"), off("d"), off("e", binds_to="b", wants="c")
    )
    assert wanted(host) == ""
    host.start("e")
    assert wanted(host) == "a b c e"
    assert host.did() == ["spawn a", "spawn c", "spawn b", "spawn e", "answer e done"]


def test_a_command_is_remembered_before_it_is_answered() -> None:
    host = PureHost.of(off("db"), off("web", requires=["db"]))
    host.start("web")
    kinds = [type(effect).__name__ for effect in host.effects]
    assert kinds.index("Answer") > max(i for i, k in enumerate(kinds) if k == "Remember")
    host.take()
    host.stop("web")
    told = Remember(Name("web"), wanted=False, enabled=True, by="tester", since=1000.0)
    assert host.take(Remember) == [told]


def test_starting_what_runs_changes_nothing() -> None:
    host = PureHost.of(service("db"))
    host.did()
    host.start("db")
    host.start("db")
    assert host.did() == ["answer db already", "answer db already"]


def test_starting_what_is_starting_makes_no_second_process() -> None:
    host = PureHost.of(off("db", ready=NOTIFY))
    host.start("db")
    host.start("db")
    assert host.did() == ["spawn db"]
    host.ready("db")
    assert host.did() == ["answer db done", "answer db done"]


def test_a_start_clears_the_failures_of_all_it_starts_along() -> None:
    host = PureHost.of(service("db", respawn=None), service("web", requires=["db"], respawn=None))
    host.exits("web")
    host.exits("db")
    assert host.reason("db") == "failed: exited with code 1"
    host.did()
    host.start("web")
    assert host.did() == ["spawn db", "spawn web", "answer web done"]


def test_a_start_ends_the_pause_before_a_respawn() -> None:
    host = PureHost.of(service("db", respawn=Respawn(delay_seconds=10)))
    host.exits("db")
    host.did()
    host.start("db")
    assert host.did() == ["spawn db", "answer db done"]
    assert not host.timers


# Stop and restart


def test_stop_ends_dependents_first_and_they_return_with_what_they_need() -> None:
    host = PureHost.of(
        service("db"), service("web", requires=["db"]), service("page", requires=["web"])
    )
    host.did()
    host.stop("db")
    assert host.did() == ["terminate page", "terminate web", "terminate db", "answer db done"]
    assert wanted(host) == "page web"
    assert host.reason("page") == "waiting: waits for web (waiting)"
    host.start("db")
    assert host.did() == ["spawn db", "spawn web", "answer db done", "spawn page"]


def test_what_the_operator_stopped_does_not_return_with_what_it_needs() -> None:
    host = PureHost.of(service("db"), service("web", requires=["db"]))
    host.stop("web")
    host.did()
    host.restart("db")
    assert host.did() == ["terminate db", "spawn db", "answer db done"]


def test_wants_and_order_are_no_reason_to_stop() -> None:
    host = PureHost.of(service("db"), service("web", wants=["db"]), service("x", after=["db"]))
    host.did()
    host.stop("db")
    assert host.did() == ["terminate db", "answer db done"]


def test_restart_is_mark_stop_and_start() -> None:
    host = PureHost.of(service("db"), service("web", requires=["db"]))
    host.did()
    host.restart("db")
    assert host.did() == [
        "terminate web",
        "terminate db",
        "spawn db",
        "spawn web",
        "answer db done",
    ]
    assert host.states("web") == [
        "starting",
        "running",
        "stopping",
        "stopped",
        "starting",
        "running",
    ]


def test_restarting_what_is_stopped_starts_it() -> None:
    host = PureHost.of(off("db"))
    host.restart("db")
    assert host.did() == ["spawn db", "answer db done"]


def test_two_restarts_at_once_end_and_start_it_once() -> None:
    host = PureHost.of(service("db"))
    host.stubborn.add("db")
    host.did()
    host.restart("db")
    host.restart("db")
    host.lets_go("db")
    assert host.did() == ["terminate db", "spawn db", "answer db done", "answer db done"]


def test_a_cascade_touches_no_respawn_count() -> None:
    host = PureHost.of(service("db"), service("web", requires=["db"], respawn=Respawn(limit=1)))
    for _ in range(5):
        host.restart("db")
    found = host.engine.snapshot(Name("web"))
    assert (found.restarts, found.respawns, str(found.state)) == (0, (), "running")


def test_stopping_a_target_or_condition_cascades_to_nothing() -> None:
    host = PureHost.of(
        target("net"), target("lo", ready=NOTIFY), service("web", requires=["net", "lo"])
    )
    host.ready("lo")
    host.did()
    host.stop("net", "lo")
    assert host.did() == ["answer net done lo done"]
    assert host.reason("web") == (
        "degraded: runs without net (stopped-by-operator), lo (stopped-by-operator)"
    )


def test_only_what_is_bound_to_a_stopped_target_falls_and_returns() -> None:
    host = PureHost.of(target("net"), service("vpn", binds_to=["net"]))
    host.did()
    host.stop("net")
    assert host.did() == ["terminate vpn", "answer net done"]
    host.start("net")
    assert host.did() == ["spawn vpn", "answer net done"]


# Newer commands


def test_a_start_during_the_stop_wins_and_the_stop_is_superseded() -> None:
    host = PureHost.of(service("db"))
    host.stubborn.add("db")
    host.did()
    host.stop("db")
    host.start("db")
    assert host.did() == ["terminate db", "answer db superseded"]
    host.lets_go("db")
    assert host.did() == ["spawn db", "answer db done"]


def test_a_stop_during_the_start_wins_and_the_start_is_superseded() -> None:
    host = PureHost.of(off("db", ready=NOTIFY))
    host.stubborn.add("db")
    host.start("db")
    host.stop("db")
    assert host.did() == ["spawn db", "terminate db", "answer db superseded"]
    host.lets_go("db")
    assert host.did() == ["answer db done"]


def test_start_stop_and_start_again_end_with_one_process() -> None:
    host = PureHost.of(off("db", ready=NOTIFY))
    host.stubborn.add("db")
    host.start("db")
    host.stop("db")
    host.start("db")
    host.lets_go("db")
    assert host.did() == [
        "spawn db",
        "terminate db",
        "answer db superseded",
        "answer db superseded",
        "spawn db",
    ]


def test_of_two_conflicting_services_the_one_asked_for_last_runs() -> None:
    host = PureHost.of(off("a"), off("b", conflicts=["a"]))
    host.stubborn |= {"a", "b"}
    host.start("b")
    host.start("a")
    host.start("b")
    host.did()
    host.lets_go("b")
    assert host.did() == ["spawn b", "answer b done"]
    assert wanted(host) == "b"


# Enable and disable


def test_disable_leaves_alone_what_runs_and_keeps_it_from_starting_again() -> None:
    host = PureHost.of(service("db"))
    host.take()
    assert host.result(host.ask(Verb.DISABLE, "db")) == "done"
    told = Remember(Name("db"), wanted=True, enabled=False, by="boot", since=1000.0)
    assert host.take(Remember) == [told]
    assert host.state("db") == "running"
    host.exits("db")
    assert host.reason("db").startswith("disabled: ")
    assert host.did() == ["terminate db"]
    assert not host.timers


def test_enable_clears_failures_and_what_is_wanted_comes_back() -> None:
    host = PureHost.of(service("db", respawn=None))
    host.exits("db")
    host.ask(Verb.DISABLE, "db")
    host.did()
    host.ask(Verb.ENABLE, "db")
    assert host.did() == ["spawn db", "answer db done"]
    assert host.tells("db")[-4:] == ["disabled", "enabled", "starting", "running"]


def test_enable_ends_the_pause_before_a_respawn() -> None:
    host = PureHost.of(service("db", respawn=Respawn(delay_seconds=10)))
    host.exits("db")
    host.ask(Verb.ENABLE, "db")
    assert host.state("db") == "running"
    assert not host.timers


# Reload of one service


def test_reload_tells_the_running_process_and_nobody_else() -> None:
    host = PureHost.of(service("db", reload=Reload("SIGHUP")))
    host.did()
    host.ask(Verb.RELOAD, "db")
    assert host.did() == ["reload db", "answer db done"]
    assert host.tells("db")[-1] == "reloaded"


def test_what_is_not_running_is_never_told_to_reload() -> None:
    host = PureHost.of(off("db", ready=NOTIFY, reload=Reload("SIGHUP")), off("web"))
    host.ask(Verb.RELOAD, "db", "web")
    assert host.did() == ["answer db failed web failed"]
    host.start("db")
    host.ask(Verb.RELOAD, "db")
    assert host.did() == ["spawn db", "answer db failed"]


def test_a_finished_one_shot_has_nothing_to_reload() -> None:
    host = PureHost.of(service("job", one_shot=True, ready=NOTIFY, reload=Reload("SIGHUP")))
    host.exits("job", CLEAN)
    host.did()
    assert host.result(host.ask(Verb.RELOAD, "job")) == "failed"
    assert host.did() == ["answer job failed"]

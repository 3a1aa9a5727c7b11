"""The loop starts what may start and stops what has to stop, in order, and then ends."""

import pytest
from tests.support.pure_host import CLEAN, NOTIFY, PureHost, process, service, target

from virtsupd.core.engine import Remembered
from virtsupd.core.events import Verb
from virtsupd.core.names import Name
from virtsupd.core.spec import ExitProbe, Readiness, Respawn, ServiceSpec

EXIT = Readiness(ExitProbe())
SLOW = Respawn(delay_seconds=10)


def diamond(**fields: object) -> tuple[ServiceSpec, ...]:
    """One below, two independent of each other, one above."""
    return (
        service("base", **fields),
        service("left", requires=["base"], **fields),
        service("right", requires=["base"], **fields),
        service("top", requires=["left", "right"], **fields),
    )


def test_nothing_starts_before_what_it_needs_is_ready() -> None:
    host = PureHost.of(*diamond(ready=NOTIFY))
    assert host.did() == ["spawn base"]
    host.ready("base")
    assert host.did() == ["spawn left", "spawn right"]
    host.ready("right")
    assert host.did() == []
    host.ready("left")
    assert host.did() == ["spawn top"]


def test_independent_branches_start_together() -> None:
    host = PureHost.of(*(service(name, ready=NOTIFY) for name in "abc"))
    assert host.did() == ["spawn a", "spawn b", "spawn c"]


def test_independent_branches_stop_together_dependents_first() -> None:
    host = PureHost.of(*diamond())
    host.stubborn |= {"base", "left", "right", "top"}
    host.did()
    host.stop("base")
    assert host.did() == ["terminate top"]
    host.lets_go("top")
    assert host.did() == ["terminate left", "terminate right"]
    host.lets_go("right")
    assert host.did() == []
    host.lets_go("left")
    assert host.did() == ["terminate base"]


def test_a_failure_keeps_its_dependents_down_and_leaves_the_rest_alone() -> None:
    host = PureHost.of(*diamond(), service("other"), boot=False)
    host.fails_to_spawn("left", permanent=True)
    host.ask(Verb.START, "top", "other")
    assert host.did() == [
        "spawn base",
        "spawn other",
        "spawn left",
        "spawn right",
        "answer top failed other done",
    ]
    assert host.running() == ["base", "other", "right"]
    assert host.reason("top") == "waiting: waits for left (failed)"


def test_a_want_may_fail() -> None:
    host = PureHost.of(service("db"), service("web", wants=["db"]), boot=False)
    host.fails_to_spawn("db", permanent=True)
    host.start("web")
    assert host.did() == ["spawn db", "spawn web", "answer web done"]


def test_order_alone_pulls_nothing_in_and_holds_nothing_up() -> None:
    host = PureHost.of(service("db", autostart=False), service("web", after=["db"]))
    assert host.did() == ["spawn web"]


@pytest.mark.parametrize("how", ["after", "before"])
def test_what_comes_later_waits_for_the_earlier_while_it_is_on_its_way(how: str) -> None:
    first = service("a", ready=NOTIFY, before=["b"] if how == "before" else [])
    host = PureHost.of(first, service("b", after=["a"] if how == "after" else []))
    assert host.did() == ["spawn a"]
    assert host.reason("b") == "waiting: starts after a (starting)"
    host.ready("a")
    assert host.did() == ["spawn b"]


def test_what_comes_later_goes_on_when_the_earlier_fails() -> None:
    host = PureHost.of(service("a", ready=NOTIFY, respawn=SLOW), service("b", after=["a"]))
    host.did()
    host.exits("a")
    assert host.did() == ["terminate a", "spawn b"]


def test_what_comes_later_waits_for_all_that_the_earlier_needs() -> None:
    host = PureHost.of(
        service("base", ready=NOTIFY), service("a", requires=["base"]), service("b", after=["a"])
    )
    assert host.did() == ["spawn base"]
    host.ready("base")
    assert host.did() == ["spawn a", "spawn b"]


def test_a_crash_cascades_nothing_and_dependents_run_on_degraded_until_it_is_back() -> None:
    host = PureHost.of(service("db", respawn=SLOW), service("web", requires=["db"]))
    host.did()
    host.exits("db")
    assert host.did() == ["terminate db"]
    assert host.reason("web") == "degraded: runs without db (backing-off)"
    host.pass_time(10)
    assert host.did() == ["spawn db"]
    assert host.reason("web") == ""
    assert host.tells("web") == ["starting", "running", "degraded", "recovered"]


def test_dependents_stay_degraded_when_it_fails_for_good() -> None:
    host = PureHost.of(service("db", respawn=None), service("web", requires=["db"]))
    host.exits("db")
    assert host.running() == ["web"]
    assert host.reason("web") == "degraded: runs without db (failed)"


def test_what_is_bound_falls_with_a_crash_and_returns() -> None:
    host = PureHost.of(
        service("db", respawn=SLOW), service("web", binds_to=["db"], respawn=Respawn(limit=1))
    )
    host.did()
    host.exits("db")
    assert host.did() == ["terminate db", "terminate web"]
    assert host.reason("web") == "waiting: waits for db (backing-off)"
    host.pass_time(10)
    assert host.did() == ["spawn db", "spawn web"]
    assert host.engine.snapshot(Name("web")).restarts == 0


def test_bonds_fall_through_each_other() -> None:
    host = PureHost.of(
        service("a", respawn=None), service("b", binds_to=["a"]), service("c", binds_to=["b"])
    )
    host.did()
    host.exits("a")
    assert host.did() == ["terminate a", "terminate c", "terminate b"]


def test_self_healing_waits_for_a_conflicting_service_to_end() -> None:
    """The rival came while it was down, by a reload."""
    a = service("a", autostart=False, respawn=SLOW)
    host = PureHost.of(a, service("b", autostart=False, conflicts=["a"], respawn=None))
    host.start("a")
    host.exits("a")
    host.reload(a, service("b", conflicts=["a"], respawn=None))
    assert host.running() == ["b"]
    host.pass_time(20)
    assert host.reason("a") == "waiting: conflicts with b (running)"
    host.exits("b")
    assert host.running() == ["a"]


def test_what_a_reload_brings_waits_for_a_conflicting_service_to_end() -> None:
    host = PureHost.of(service("x"))
    host.did()
    host.reload(service("x", autostart=False), service("c", conflicts=["x"]))
    assert host.did() == []
    assert host.reason("c") == "waiting: conflicts with x (running)"
    host.stop("x")
    assert host.did() == ["terminate x", "spawn c", "answer x done"]


def test_boot_starts_one_of_two_that_conflict_and_the_other_waits() -> None:
    kept = Remembered(wanted=True, enabled=True)
    host = PureHost.of(
        service("a"), service("x", autostart=False, conflicts=["a"]), remembered={"x": kept}
    )
    assert host.did() == ["spawn a"]
    assert host.reason("x") == "waiting: conflicts with a (running)"


def test_a_target_runs_once_all_it_needs_does() -> None:
    host = PureHost.of(service("db", ready=NOTIFY), target("all", requires=["db"]))
    assert host.running() == []
    host.ready("db")
    assert host.running() == ["all", "db"]


def test_a_process_that_cannot_be_killed_keeps_nothing_else_from_stopping() -> None:
    host = PureHost.of(service("db"), service("web", requires=["db"]))
    host.unkillable.add("web")
    host.did()
    host.stop("db")
    host.pass_time(100)
    assert host.did() == ["terminate web", "kill web", "terminate db", "answer db done"]
    host.start("db")
    assert host.did() == ["spawn db", "answer db done"]
    host.lets_go("web")
    assert host.did() == ["spawn web"]


def test_one_event_costs_its_neighbourhood_and_not_the_graph() -> None:
    """The effects of one event stay in proportion to what it changes."""
    host = PureHost.of(*(service(f"s{i}") for i in range(100)))
    host.effects.clear()
    host.exits("s7")
    assert {getattr(effect, "name", "s7") for effect in host.effects} == {"s7"}
    assert len(host.effects) < 12


def test_what_vanishes_while_the_loop_runs_is_judged_no_more() -> None:
    host = PureHost.of(target("a"), target("job", after=["a"], transient=True))
    host.stop("job")
    assert host.engine.names() == ("a",)


# One-shots that were done by an older definition


AGAIN = ["terminate image", "terminate account", "spawn account"]


def image_and_machine(command: str, **fields: object) -> tuple[ServiceSpec, ...]:
    """One that prepares, one on top of it, and one that needs the latter alone."""
    return (
        service("account", process=process(command), one_shot=True, ready=EXIT),
        service("image", one_shot=True, ready=EXIT, requires=["account"]),
        service("machine", requires=["image"], **fields),
    )


def done_host(*specs: ServiceSpec) -> PureHost:
    host = PureHost.of(*specs)
    host.exits("account", CLEAN)
    host.exits("image", CLEAN)
    host.did()
    return host


def test_what_was_done_by_an_older_definition_is_done_again_before_what_needs_it_starts() -> None:
    host = done_host(*image_and_machine("old"))
    host.reload(*image_and_machine("new"))
    assert host.did() == [], "the machine relies on it"
    ticket = host.restart("machine")
    assert host.did() == ["terminate machine", *AGAIN]
    host.exits("account", CLEAN)
    assert host.did() == ["spawn image"]
    host.exits("image", CLEAN)
    assert host.did() == ["spawn machine", "answer machine done"]
    assert host.result(ticket) == "done"
    host.restart("machine")
    assert host.did() == ["terminate machine", "spawn machine", "answer machine done"]


def test_it_is_done_again_also_for_one_that_died_and_is_started_by_itself() -> None:
    host = done_host(*image_and_machine("old", respawn=SLOW))
    host.reload(*image_and_machine("new", respawn=SLOW))
    host.exits("machine")
    host.did()
    host.pass_time(10)
    assert host.did() == AGAIN


def test_what_a_process_relies_on_is_not_done_again() -> None:
    other = service("other", requires=["account"])
    host = done_host(*image_and_machine("old"), other)
    host.reload(*image_and_machine("new"), other)
    host.restart("machine")
    assert host.did() == ["terminate machine", "spawn machine", "answer machine done"]


def test_what_fails_when_it_is_done_again_keeps_down_what_needs_it() -> None:
    host = done_host(*image_and_machine("old"))
    host.stop("machine")
    host.reload(*image_and_machine("new"))
    host.did()
    host.start("machine")
    assert host.did() == AGAIN
    host.exits("account")
    assert host.running() == []
    assert host.reason("machine").startswith("waiting: waits for image")

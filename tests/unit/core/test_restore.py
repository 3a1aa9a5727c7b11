"""A successor finds services as they were left: what ran runs on, what was under way goes on."""

from dataclasses import replace
from typing import Any

import pytest
from tests.support.pure_host import (
    CLEAN,
    FAILED,
    NOTIFY,
    UNKNOWN,
    PureHost,
    in_words,
    process,
    service,
    target,
)

from virtsupd.core.effects import Adopt, Keep, Remember, Terminate
from virtsupd.core.engine import Engine
from virtsupd.core.events import (
    Adopted,
    BecameReady,
    Booted,
    Exited,
    GuestsFound,
    NeverMade,
    SpawnFailed,
    Verb,
)
from virtsupd.core.exits import ExitStatus
from virtsupd.core.graph import ServiceGraph
from virtsupd.core.names import Name
from virtsupd.core.snapshot import State
from virtsupd.core.spec import (
    ExecProbe,
    ExitProbe,
    Health,
    PathProbe,
    PidFileProbe,
    Readiness,
    Respawn,
    ServiceSpec,
    Stop,
    StopMode,
    TcpProbe,
)

DB = Name("db")
WEB = Name("web")
EXIT = Readiness(ExitProbe())
TCP = Readiness(TcpProbe(80), timeout_seconds=7)
PID_FILE = Readiness(PidFileProbe("/run/db.pid"), timeout_seconds=7)
SLOW = Respawn(delay_seconds=10)
AWAY = 5.0


def job(**fields: Any) -> ServiceSpec:
    return service("job", one_shot=True, ready=EXIT, **fields)


def due(host: PureHost) -> dict[str, float]:
    """When armed timers are due, by service and kind."""
    return {f"{name} {kind}": timer.at for (name, kind), timer in host.timers.items()}


# What runs, runs on


def test_what_ran_runs_on_as_if_nothing_had_happened() -> None:
    host = PureHost.of(service("db", respawn=Respawn(delay_seconds=0)))
    host.exits("db")
    host.pass_time(50)
    before, pid = host.service("db"), host.pid("db")
    heir = host.successor(away=AWAY)
    assert heir.did() == ["adopt db"]
    found = heir.service("db")
    assert found.adopted_at == heir.now
    assert replace(found, adopted_at=None) == before
    assert heir.tells("db") == ["adopted"]
    assert heir.pid("db") == found.pid == pid
    assert (found.restarts, found.since, len(found.exits)) == (1, 1000.0, 1)


def test_a_successor_writes_down_nothing_but_the_adoption() -> None:
    host = PureHost.of(
        target("net"), service("db", requires=["net"]), service("web"), job(), service("x")
    )
    host.stop("x")
    host.exits("job", CLEAN)
    heir = host.successor(boot=False)
    heir.post(Booted())
    noted = heir.take(Keep, Remember)
    assert [effect.name for effect in noted if isinstance(effect, Keep)] == ["db", "web"]
    assert len(noted) == 2
    for name in ("db", "web"):
        assert replace(heir.kept[Name(name)], adopted_at=None) == host.kept[Name(name)]


def test_all_are_looked_for_before_anything_else_is_done() -> None:
    host = PureHost.of(service("a"), service("db"), service("web", requires=["db"]))
    host.stubborn.add("a")
    host.stop("a")
    heir = host.successor(*host.specs[:2], service("new"), boot=False)
    done = heir.engine.advance(Booted(), heir.instant())
    words = [in_words(effect) for effect in done if in_words(effect)]
    assert words == [
        "adopt a",
        "adopt db",
        "adopt web",
        "terminate a",
        "spawn new",
        "terminate web",
    ]


def test_it_is_taken_over_as_often_as_virtsupd_dies() -> None:
    host = PureHost.of(service("db"))
    pid = host.pid("db")
    for _ in range(5):
        host = host.successor(away=AWAY)
    assert (host.state("db"), host.service("db").pid, host.states("db")) == (
        "running",
        pid,
        ["starting", "running"],
    )
    assert host.service("db").adopted_at == host.now


def test_what_it_becomes_is_as_of_any_other() -> None:
    host = PureHost.of(service("db", respawn=SLOW)).successor()
    host.exits("db")
    assert host.reason("db") == "backing-off: exited with code 1; starts again by itself"
    host.pass_time(10)
    found = host.service("db")
    assert (host.state("db"), found.adopted_at, found.restarts) == ("running", None, 1)


def test_its_health_is_watched_again() -> None:
    health = Health(ExecProbe(("check",)))
    heir = PureHost.of(service("db", health=health)).successor()
    assert heir.did() == ["adopt db", "watch db"]


def test_news_of_an_earlier_life_is_not_taken_for_news_of_this_one() -> None:
    host = PureHost.of(service("db"), service("web", ready=NOTIFY))
    late = host.service("web").generation
    host.restart("web")
    heir = host.successor()
    heir.stubborn.add("db")
    heir.restart("db")
    heir.lets_go("db")
    used = host.engine._host.generations
    assert heir.service("db").generation > used
    heir.did()
    heir.post(Exited(WEB, late, FAILED), BecameReady(WEB, late), NeverMade(WEB, late))
    assert (heir.state("web"), heir.did()) == ("starting", [])


# What died meanwhile


@pytest.mark.parametrize("status", [UNKNOWN, FAILED, ExitStatus(signal=11)])
def test_what_died_meanwhile_is_respawned_as_its_policy_says(status: ExitStatus) -> None:
    host = PureHost.of(service("db", respawn=SLOW))
    heir = host.successor(died={"db": status}, away=AWAY)
    assert heir.did() == ["adopt db", "terminate db"]
    assert heir.reason("db") == f"backing-off: {status}; starts again by itself"
    assert heir.service("db").exits[0].status == status
    heir.pass_time(10)
    assert (heir.state("db"), heir.service("db").restarts) == ("running", 1)


def test_deaths_count_against_the_limit_across_virtsupds() -> None:
    host = PureHost.of(service("db", respawn=Respawn(delay_seconds=0, limit=2, window_seconds=60)))
    for _ in range(2):
        host = host.successor(died={"db": FAILED})
        assert host.state("db") == "running"
    host = host.successor(died={"db": FAILED})
    assert host.reason("db") == ("failed: exited with code 1; the limit is 2 respawns within 60 s")
    assert len(host.service("db").exits) == 3


def test_a_long_run_that_ended_meanwhile_forgives_as_any_long_run() -> None:
    policy = Respawn(delay_seconds=0, limit=1, window_seconds=60)
    host = PureHost.of(service("db", respawn=policy))
    host.exits("db")
    host.pass_time(61)
    assert host.successor(died={"db": FAILED}).state("db") == "running"


def test_what_is_not_started_again_by_itself_rests() -> None:
    host = PureHost.of(
        service("db", respawn=None),
        service("done", respawn=None),
        service("odd", not_needed_exit=frozenset({77})),
    )
    heir = host.successor(died={"db": UNKNOWN, "done": CLEAN, "odd": ExitStatus(77)})
    assert heir.reason("db") == "failed: ended in an unknown way"
    assert heir.reason("done") == "finished: exited with code 0"
    assert heir.reason("odd") == "not-needed: not needed here: exited with code 77"


def test_what_a_dead_leader_left_is_ended_before_it_starts_again() -> None:
    host = PureHost.of(service("db", respawn=Respawn(delay_seconds=0)))
    host.unkillable.add("db")
    host.processes[DB].is_done = True
    heir = host.successor()
    assert (heir.did(), heir.state("db")) == (["adopt db", "terminate db"], "stopping")
    heir.lets_go("db")
    assert heir.did() == ["spawn db"]


def test_one_of_which_no_trace_is_left_has_died() -> None:
    heir = PureHost.of(service("db", respawn=SLOW)).successor(lost=["db"])
    assert heir.reason("db") == "backing-off: ended in an unknown way; starts again by itself"
    assert heir.service("db").exits[0].status == UNKNOWN


def test_nothing_starts_upon_what_died_meanwhile() -> None:
    host = PureHost.of(service("db", respawn=SLOW))
    heir = host.successor(*host.specs, service("web", requires=["db"]), died={"db": FAILED})
    assert heir.did() == ["adopt db", "terminate db"]
    assert heir.reason("web") == "waiting: waits for db (backing-off)"
    heir.pass_time(10)
    assert heir.did() == ["spawn db", "spawn web"]


def test_what_is_new_starts_once_what_it_needs_was_found() -> None:
    host = PureHost.of(service("db"))
    heir = host.successor(*host.specs, service("web", requires=["db"]))
    assert heir.did() == ["adopt db", "spawn web"]


# What was starting


def test_a_start_of_which_nothing_was_made_begins_again() -> None:
    host = PureHost.of(service("db", ready=NOTIFY, autostart=False))
    host.held.add("db")
    host.start("db")
    host.held.clear()
    heir = host.successor()
    assert heir.did() == ["adopt db", "spawn db"]
    found = heir.service("db")
    assert (found.restarts, found.start_failures, found.exits) == (0, (), ())


def test_a_start_that_was_made_but_not_yet_told_goes_on() -> None:
    host = PureHost.of(service("db", ready=TCP), boot=False)
    host.effects_left = 3
    host.post(Booted())
    assert host.did() == ["spawn db"]
    heir = host.successor(away=AWAY)
    assert heir.did() == ["adopt db", "await db"]
    assert due(heir) == {"db start-deadline": heir.now + 7}


def test_what_was_starting_is_given_all_its_time_again() -> None:
    host = PureHost.of(service("db", ready=TCP, respawn=None))
    heir = host.successor(away=100)
    assert due(heir) == {"db start-deadline": heir.now + 7}
    assert heir.service("db").due == heir.instant(7)
    heir.pass_time(7)
    assert heir.reason("db") == "failed: not ready within 7 s"


def test_it_is_ready_when_its_probe_holds() -> None:
    heir = PureHost.of(service("db", ready=TCP), service("web", requires=["db"])).successor()
    heir.did()
    heir.ready("db")
    assert heir.did() == ["spawn web"]


def test_ready_may_have_been_said_to_nobody() -> None:
    ready = Readiness(NOTIFY.probe, timeout_seconds=7)
    heir = PureHost.of(service("db", ready=ready)).successor(away=100)
    heir.pass_time(6.9)
    assert heir.state("db") == "starting"
    heir.pass_time(0.1)
    assert (heir.state("db"), heir.timers) == ("running", {})


def test_ready_may_have_been_said_to_nobody_by_one_that_is_waited_for_without_end() -> None:
    ready = Readiness(NOTIFY.probe, timeout_seconds=0)
    heir = PureHost.of(service("db", ready=ready)).successor()
    heir.pass_time(60)
    assert heir.state("db") == "running"


def test_one_that_was_heard_all_the_time_has_to_say_it() -> None:
    """Nothing is lost when virtsupd only becomes another program."""
    ready = Readiness(NOTIFY.probe, timeout_seconds=7)
    host = PureHost.of(service("db", ready=ready, respawn=None))
    heir = host.successor(boot=False)
    heir.engine.advance(Booted(), heir.instant())
    heir.post(Adopted(DB, heir.service("db").generation, host.pid("db"), was_heard=True))
    assert heir.service("db").adopted_at is None
    heir.pass_time(7)
    assert heir.reason("db") == "failed: not ready within 7 s"


def test_the_next_start_of_the_same_has_to_say_it() -> None:
    ready = Readiness(NOTIFY.probe, timeout_seconds=7)
    heir = PureHost.of(service("db", ready=ready, respawn=None)).successor()
    heir.restart("db")
    heir.pass_time(7)
    assert heir.reason("db") == "failed: not ready within 7 s"


def test_without_a_probe_it_runs_once_it_is_found() -> None:
    host = PureHost.of(service("db"), boot=False)
    host.effects_left = 3
    host.post(Booted())
    assert host.did() == ["spawn db"]
    heir = host.successor()
    assert (heir.state("db"), heir.service("db").pid) == ("running", heir.pid("db"))


def test_a_death_while_it_started_is_a_start_that_failed() -> None:
    host = PureHost.of(service("db", ready=NOTIFY, respawn=None))
    heir = host.successor(died={"db": UNKNOWN})
    assert heir.reason("db") == "failed: ended in an unknown way before it was ready"
    assert len(heir.service("db").start_failures) == 1


def test_a_start_that_was_seen_and_of_which_no_trace_is_left_has_failed() -> None:
    host = PureHost.of(service("db", ready=NOTIFY, respawn=None))
    heir = host.successor(lost=["db"])
    assert heir.reason("db") == "failed: ended in an unknown way before it was ready"


def test_the_first_process_of_one_that_forks_is_no_death() -> None:
    """Nobody can tell how it ended; whether the start came to something, the pid file says."""
    host = PureHost.of(service("db", ready=PID_FILE))
    host.processes[DB].is_done = True
    heir = host.successor()
    assert (heir.state("db"), heir.did()) == ("starting", ["adopt db", "await db"])
    heir.post(BecameReady(DB, heir.service("db").generation, 77))
    assert (heir.state("db"), heir.service("db").pid) == ("running", 77)


def test_a_condition_is_asked_again() -> None:
    host = PureHost.of(target("net", ready=Readiness(PathProbe("/net"), timeout_seconds=7)))
    heir = host.successor(away=AWAY)
    assert heir.did() == ["await net"]
    assert due(heir) == {"net start-deadline": heir.now + 7}
    heir.ready("net")
    assert heir.running() == ["net"]


def test_targets_and_conditions_stay_as_they_were() -> None:
    host = PureHost.of(target("net"), target("udev", ready=NOTIFY))
    host.ready("udev")
    before = dict(host.engine._host.services)
    heir = host.successor(away=AWAY)
    assert (heir.did(), heir.running()) == ([], ["net", "udev"])
    assert heir.engine._host.services == before


# What was stopping


def test_a_stop_goes_on_with_its_signal_and_all_its_time() -> None:
    host = PureHost.of(service("db", stop=Stop("SIGINT", delay_seconds=3)))
    host.stubborn.add("db")
    host.stop("db")
    heir = host.successor(away=AWAY)
    assert heir.did() == ["adopt db", "terminate db"]
    assert due(heir) == {"db stop-delay": heir.now + 3}
    assert heir.service("db").due == heir.instant(3)
    heir.pass_time(3)
    assert heir.did() == ["kill db"]
    assert heir.reason("db") == "stopped-by-operator: stopped by tester"


@pytest.mark.parametrize("kills", [1, 2])
def test_a_stop_that_came_to_kill_kills_again(kills: int) -> None:
    host = PureHost.of(service("db"))
    host.unkillable.add("db")
    host.stop("db")
    host.pass_time(5 if kills == 1 else 15)
    assert host.service("db").kills == kills
    heir = host.successor()
    assert heir.did() == ["adopt db", "kill db"]
    assert due(heir) == {"db stop-delay": heir.now + 10}
    heir.pass_time(10)
    assert heir.service("db").is_stuck
    assert heir.did() == []


def test_a_stop_that_the_successor_begins_signals_once() -> None:
    host = PureHost.of(service("db"), service("web"))
    host.stubborn.add("db")
    heir = host.successor(service("web"))
    assert heir.did() == ["adopt web", "adopt db", "terminate db"]
    heir.lets_go("db")
    assert heir.did() == ["forget db"]


def test_a_stop_that_ended_meanwhile_has_ended() -> None:
    host = PureHost.of(service("db"))
    host.stubborn.add("db")
    host.stop("db")
    heir = host.successor(died={"db": FAILED})
    assert (heir.state("db"), heir.reason("db")) == (
        "stopped",
        "stopped-by-operator: stopped by tester",
    )
    assert [exit_.status for exit_ in heir.service("db").exits] == [FAILED]


def test_an_end_that_was_noted_is_not_noted_twice() -> None:
    host = PureHost.of(service("db", respawn=SLOW))
    host.unkillable.add("db")
    host.exits("db")
    host.processes.pop(DB)
    heir = host.successor()
    assert [exit_.status for exit_ in heir.service("db").exits] == [FAILED]
    assert heir.reason("db") == "backing-off: exited with code 1; starts again by itself"


def test_what_follows_a_death_follows_though_nothing_is_left_to_be_found() -> None:
    host = PureHost.of(service("db", respawn=None), service("web", not_needed_exit=frozenset({77})))
    host.unkillable |= {"db", "web"}
    host.exits("db")
    host.exits("web", ExitStatus(77))
    heir = host.successor(lost=["db", "web"])
    assert heir.reason("db") == "failed: exited with code 1"
    assert heir.reason("web") == "not-needed: not needed here: exited with code 77"


@pytest.mark.parametrize("state", [State.STARTING, State.RUNNING, State.STOPPING])
def test_what_cannot_be_looked_for_is_left_down(state: State) -> None:
    """Nobody may tell whether it is there: nothing is started beside it."""
    host = PureHost.of(service("db", ready=NOTIFY))
    host.stubborn.add("db")
    if state is not State.STARTING:
        host.ready("db")
    if state is State.STOPPING:
        host.restart("db")
    heir = host.successor(boot=False)
    heir.engine.advance(Booted(), heir.instant())
    heir.processes.clear()
    heir.post(
        SpawnFailed(
            DB, heir.service("db").generation, "leftovers", "no permission", is_permanent=True
        )
    )
    assert heir.reason("db") == "failed: leftovers: no permission"


@pytest.mark.parametrize("mode", [StopMode.PROCESS, StopMode.CGROUP])
def test_one_whose_children_run_on_says_that_their_orphans_go_elsewhere(mode: StopMode) -> None:
    heir = PureHost.of(service("db", stop=Stop(mode=mode))).successor()
    assert heir.reason("db").startswith("adopted: taken over") is (mode is StopMode.PROCESS)
    heir.restart("db")
    assert heir.reason("db") == ""


# What was down


def test_backing_off_lasts_until_the_same_instant() -> None:
    host = PureHost.of(service("db", respawn=SLOW))
    host.exits("db")
    at = host.now + 10
    heir = host.successor(away=AWAY)
    assert due(heir) == {"db backoff": at}
    reason = heir.engine.snapshot(DB).reason
    assert reason is not None
    assert reason.retry_at == at
    heir.pass_time(AWAY)
    assert (heir.state("db"), heir.service("db").restarts) == ("running", 1)


def test_backing_off_that_is_over_ends_at_once() -> None:
    host = PureHost.of(service("db", respawn=SLOW))
    host.exits("db")
    heir = host.successor(away=1000)
    heir.pass_time(0)
    assert heir.state("db") == "running"


def test_what_rests_rests_on() -> None:
    host = PureHost.of(
        service("db", respawn=None),
        service("done", respawn=None),
        service("odd", not_needed_exit=frozenset({77})),
        service("web", requires=["db"]),
        service("shop", requires=["odd"]),
    )
    host.exits("db")
    host.exits("done", CLEAN)
    host.exits("odd", ExitStatus(77))
    before = {name: host.reason(name) for name in ("db", "done", "odd")}
    heir = host.successor(away=AWAY)
    assert heir.did() == ["adopt web", "adopt shop"]
    assert {name: heir.reason(name) for name in before} == before
    assert heir.state("shop") == "running"
    assert heir.reason("web").startswith("degraded: runs without db")


def test_a_definition_mended_while_virtsupd_was_away_is_tried() -> None:
    host = PureHost.of(service("db", respawn=None))
    host.exits("db")
    heir = host.successor(service("db", respawn=None, process=process("mended")), away=AWAY)
    assert heir.did() == ["spawn db"]


def test_a_one_shot_that_is_done_is_not_run_again() -> None:
    host = PureHost.of(job(), service("web", requires=["job"]))
    host.exits("job", CLEAN)
    heir = host.successor()
    assert (heir.did(), heir.running()) == (["adopt job", "adopt web"], ["job", "web"])


def test_a_one_shot_that_ended_well_meanwhile_is_done() -> None:
    host = PureHost.of(job(), service("web", requires=["job"]))
    heir = host.successor(died={"job": CLEAN})
    assert (heir.did(), heir.running()) == (["adopt job", "await job", "spawn web"], ["job", "web"])


def test_a_one_shot_of_which_nobody_knows_how_it_ended_has_failed() -> None:
    heir = PureHost.of(job(respawn=None)).successor(died={"job": UNKNOWN})
    assert heir.reason("job") == "failed: ended in an unknown way before it was ready"


def test_a_leader_that_ended_between_two_virtsupds_is_no_one_shot_that_is_done() -> None:
    """It is killed again before it has taken in how the leader ended."""
    host = PureHost.of(service("db", respawn=SLOW))
    host.processes[DB].is_done, host.processes[DB].status = True, FAILED
    heir = host.successor(boot=False)
    (adopted,) = (e for e in heir.engine.advance(Booted(), heir.instant()) if isinstance(e, Adopt))
    heir.effects_left = 1
    heir.post(Adopted(DB, adopted.generation, None))
    assert heir.successor().reason("db") == (
        "backing-off: exited with code 1; starts again by itself"
    )


# What an operator asked for


def test_a_restart_in_the_middle_ends_with_all_of_it_up_again() -> None:
    specs = (service("db"), service("web", requires=["db"]), service("shop", requires=["web"]))
    host = PureHost.of(*specs)
    host.stubborn |= {"web", "shop"}
    host.restart("db")
    heir = host.successor()
    assert heir.did() == ["adopt db", "adopt web", "adopt shop", "terminate shop"]
    heir.lets_go("shop")
    heir.lets_go("web")
    assert heir.did() == [
        "terminate web",
        "terminate db",
        "spawn db",
        "spawn web",
        "spawn shop",
    ]
    assert heir.running() == ["db", "shop", "web"]


@pytest.mark.parametrize("done", range(40))
def test_a_restart_ends_up_wherever_virtsupd_is_killed(done: int) -> None:
    host = PureHost.of(service("db"), service("web", requires=["db"], is_guest=False))
    host.effects_left = done
    host.restart("db")
    heir = host.successor(away=AWAY)
    assert heir.running() == ["db", "web"]
    assert set(heir.processes) == {DB, WEB}


def test_what_the_operator_stopped_stays_stopped_with_what_waits_for_it() -> None:
    host = PureHost.of(service("db"), service("web", requires=["db"]))
    host.stop("db")
    before = {name: host.reason(name) for name in ("db", "web")}
    heir = host.successor().successor()
    assert heir.did() == []
    assert {name: heir.reason(name) for name in before} == before
    assert before["db"] == "stopped-by-operator: stopped by tester"
    heir.start("db")
    assert heir.running() == ["db", "web"]


def test_what_was_not_started_at_boot_is_not_started_by_a_successor() -> None:
    host = PureHost.of(service("db", autostart=False))
    assert (
        host.successor().reason("db") == "not-autostarted: not started at boot (autostart = false)"
    )


def test_what_was_started_by_a_command_runs_on_and_comes_back() -> None:
    host = PureHost.of(service("db", autostart=False, respawn=SLOW))
    host.start("db")
    heir = host.successor(died={"db": FAILED})
    heir.pass_time(10)
    assert heir.running() == ["db"]


def test_what_is_disabled_runs_on_and_stays_down_once_it_has_ended() -> None:
    host = PureHost.of(service("db"))
    host.ask(Verb.DISABLE, "db")
    heir = host.successor()
    assert heir.running() == ["db"]
    heir.exits("db")
    assert heir.reason("db").startswith("disabled")


def test_what_is_bound_does_not_fall_while_processes_are_looked_for() -> None:
    specs = (service("db"), service("vm", binds_to=["db"], is_guest=True))
    host = PureHost.of(*specs)
    heir = host.successor()
    assert (heir.did(), heir.states("vm")) == (["adopt db", "adopt vm"], ["starting", "running"])


def test_what_was_degraded_is_degraded() -> None:
    host = PureHost.of(service("db", respawn=None), service("web", requires=["db"]))
    host.exits("db")
    heir = host.successor()
    assert heir.reason("web") == host.reason("web") == "degraded: runs without db (failed)"


# Another configuration


def test_a_changed_definition_is_pending_until_the_next_start() -> None:
    host = PureHost.of(service("db"))
    heir = host.successor(service("db", process=process("new"), stop=Stop("SIGINT")))
    assert heir.did() == ["adopt db"]
    assert heir.engine.snapshot(DB).is_replacement_pending
    heir.restart("db")
    assert not heir.engine.snapshot(DB).is_replacement_pending
    (ended,) = (e for e in heir.take(Terminate) if isinstance(e, Terminate))
    assert ended.stop.signal == "SIGINT"


def test_changed_edges_hold_at_once() -> None:
    host = PureHost.of(service("db"), service("web"))
    heir = host.successor(service("db", autostart=False), service("web", binds_to=["db"]))
    heir.stop("db")
    assert heir.did() == [
        "adopt db",
        "adopt web",
        "terminate web",
        "terminate db",
        "answer db done",
    ]


def test_what_is_starting_is_judged_by_the_probe_in_force() -> None:
    host = PureHost.of(service("db", ready=TCP))
    assert host.successor(service("db")).state("db") == "running"
    heir = host.successor(service("db", ready=NOTIFY))
    assert heir.did() == ["adopt db", "await db"]


def test_a_one_shot_goes_on_as_one_whatever_it_is_now() -> None:
    host = PureHost.of(job())
    heir = host.successor(service("job"))
    assert heir.state("job") == "starting"
    heir.exits("job", CLEAN)
    assert heir.state("job") == "running"


def test_a_condition_that_became_a_service_starts_as_one() -> None:
    host = PureHost.of(target("db", ready=TCP))
    assert host.state("db") == "starting"
    heir = host.successor(service("db"))
    assert (heir.did(), heir.running()) == (["spawn db"], ["db"])
    assert PureHost.of(target("db", ready=TCP)).successor(target("db")).running() == ["db"]


def test_what_is_no_longer_configured_is_stopped_and_forgotten() -> None:
    host = PureHost.of(service("db", stop=Stop("SIGINT")), service("web"))
    heir = host.successor(service("web"))
    assert [e.stop.signal for e in heir.effects if isinstance(e, Terminate)] == ["SIGINT"]
    assert heir.engine.names() == ("web",)
    assert heir.forgotten == ["db"]
    assert heir.kept.keys() == {"web"}
    assert heir.successor().did() == ["adopt web"]


def test_what_was_removed_and_is_configured_again_stays_for_those_that_need_it() -> None:
    spec = service("db")
    host = PureHost.of(spec)
    host.stubborn.add("db")
    host.reload(service("x"))
    heir = host.successor(spec, service("web", requires=["db"]))
    heir.lets_go("db")
    assert heir.running() == ["db", "web"]
    assert heir.forgotten == ["x"]


@pytest.mark.parametrize("lost", [True, False])
def test_what_is_no_longer_configured_and_ended_meanwhile_is_forgotten(*, lost: bool) -> None:
    host = PureHost.of(service("db"), service("vm", is_guest=True))
    if lost:
        heir = host.successor(service("web"), lost=["db", "vm"])
    else:
        heir = host.successor(service("web"), died={"db": FAILED, "vm": FAILED})
    assert heir.engine.names() == ("web",)
    assert sorted(heir.forgotten) == ["db", "vm"]


def test_what_is_gone_with_its_definition_is_not_even_looked_for() -> None:
    host = PureHost.of(target("net"), service("db"))
    host.stop("db")
    heir = host.successor(service("web"))
    assert (heir.did(), heir.engine.names()) == (["spawn web"], ("web",))


def test_what_a_one_shot_left_behind_ends_when_its_definition_is_gone() -> None:
    host = PureHost.of(job())
    host.exits("job", CLEAN)
    heir = host.successor(service("web"))
    assert heir.did() == ["adopt job", "terminate job", "spawn web", "forget job"]
    assert heir.engine.names() == ("web",)


def test_a_guest_that_is_no_longer_configured_runs_on_until_it_is_stopped() -> None:
    host = PureHost.of(service("vm", is_guest=True))
    heir = host.successor(service("web")).successor(away=AWAY)
    assert (heir.did(), heir.state("vm")) == (["adopt web", "adopt vm"], "running")
    ticket = heir.stop("vm")
    assert heir.result(ticket) == "done"
    assert heir.forgotten == ["vm"]


def test_a_guest_that_is_no_longer_configured_and_was_to_stop_stops() -> None:
    host = PureHost.of(service("vm", is_guest=True), service("monitor", requires=["vm"]))
    host.stubborn.add("monitor")
    host.stop("vm")
    host.remembered.clear()
    heir = host.successor(service("web"))
    heir.lets_go("monitor")
    assert "vm" in heir.forgotten


def test_a_guest_that_is_no_longer_configured_hinders_no_reload() -> None:
    heir = PureHost.of(service("vm", is_guest=True)).successor(service("web"))
    heir.did()
    assert heir.reload(service("shop")) == ()
    assert sorted(heir.did()) == ["forget web", "spawn shop", "terminate web"]
    assert heir.running() == ["shop", "vm"]
    assert heir.reload(service("shop", provides=("shop", "vm"))) == (
        "shop: takes over a name of vm, which still runs; stop vm first",
    )


def test_a_guest_that_is_configured_again_is_as_before() -> None:
    spec = service("vm", is_guest=True)
    heir = PureHost.of(spec).successor(service("web"))
    assert heir.reload(spec) == ()
    assert heir.engine.snapshot(Name("vm")).is_replacement_pending is False
    assert not heir.service("vm").spec.transient
    assert heir.states("vm") == ["starting", "running"]


def test_what_guests_depend_on_runs_on_too_and_says_why() -> None:
    host = PureHost.of(service("logs", guard="virtlog"), service("db"))
    pid = host.pid("logs")
    heir = host.successor(service("web")).successor(away=AWAY)
    assert (heir.running(), heir.pid("logs")) == (["logs", "web"], pid)
    [warning] = heir.engine.snapshot(Name("logs")).warnings
    assert "no longer configured (there is no [virtlog])" in warning
    assert not heir.engine.snapshot(Name("logs")).is_replacement_pending
    assert heir.reload(service("web")) == ()
    assert heir.running() == ["logs", "web"]
    assert heir.result(heir.stop("logs")) == "done"
    assert heir.forgotten == ["logs"]


def test_what_an_older_version_started_is_known_to_be_depended_on_from_then_on() -> None:
    heir = PureHost.of(service("logs")).successor(service("logs", guard="virtlog"))
    assert heir.successor(service("web")).running() == ["logs", "web"]


def test_what_guests_depend_on_stays_in_a_shutdown_until_they_are_gone() -> None:
    virt = service("virt", hosts_guests=True)
    heir = PureHost.of(service("logs", guard="virtlog"), virt).successor(virt)
    heir.ask(Verb.SHUTDOWN)
    assert heir.running() == ["logs", "virt"]
    heir.post(GuestsFound(Name("virt"), ()))
    assert heir.running() == []


def test_what_guests_depend_on_warns_no_more_once_it_is_configured_again() -> None:
    spec = service("logs", guard="virtlog")
    heir = PureHost.of(spec).successor(service("web"))
    assert heir.reload(spec) == ()
    assert heir.engine.snapshot(Name("logs")).warnings == ()
    assert heir.states("logs") == ["starting", "running"]


def test_a_guest_that_was_starting_when_its_definition_went_runs_on() -> None:
    heir = PureHost.of(service("vm", is_guest=True, ready=NOTIFY)).successor(service("web"))
    assert heir.running() == ["vm", "web"]


def test_a_renamed_service_goes_on_under_its_new_name() -> None:
    host = PureHost.of(service("db"), service("web", requires=["db"]))
    host.pass_time(5)
    pid, since = host.pid("db"), host.service("db").since
    new = service("database", provides=(Name("database"), DB), process=process("db"))
    heir = host.successor(new, service("web", requires=["db"]), away=AWAY)
    assert heir.did() == ["adopt database", "adopt web"]
    found = heir.service("database")
    assert (found.pid, found.since, found.has_replacement) == (pid, since, False)
    assert heir.engine.names() == ("database", "web")


def test_a_renamed_service_whose_new_name_has_a_past_is_no_part_of_the_graph() -> None:
    host = PureHost.of(service("db"), service("web"))
    heir = host.successor(service("web", provides=(WEB, DB)))
    assert (heir.engine.names(), heir.did()) == (("web",), ["adopt web"])


def test_of_what_is_gone_with_its_definition_the_engine_takes_no_notice() -> None:
    host = PureHost.of(service("db"))
    host.stop("db")
    engine = Engine(ServiceGraph.build([service("web")]), {}, host.kept)
    assert engine.names() == ("web",)

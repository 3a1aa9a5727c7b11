"""What a move means: starting, ending with escalation, and what follows an end."""

from dataclasses import replace

import pytest
from tests.support.pure_host import CLEAN, KILLED, NOTIFY, PureHost, process, service, target

from virtsupd.core.effects import CancelTimer, EndWatches, Release, RunCleanUp, Spawn, Terminate
from virtsupd.core.events import BecameReady, CleanedUp, Reloaded, Timer, Verb
from virtsupd.core.graph import ServiceGraph
from virtsupd.core.names import Name
from virtsupd.core.spec import (
    CleanUp,
    ExecProbe,
    Health,
    PathProbe,
    Readiness,
    Respawn,
    SocketSpec,
    Stop,
)

DB = Name("db")


def timers(host: PureHost) -> dict[str, float]:
    """Armed timers and how far away each is."""
    return {str(kind): timer.at - host.now for (_, kind), timer in host.timers.items()}


def test_a_start_spawns_and_arms_its_deadline() -> None:
    host = PureHost.of(service("db", ready=Readiness(NOTIFY.probe, timeout_seconds=7)))
    (spawn,) = host.take(Spawn)
    assert isinstance(spawn, Spawn)
    assert spawn.process == host.engine.service(DB).spec.process
    assert timers(host) == {"start-deadline": 7.0}


def test_a_deadline_of_zero_waits_for_ever() -> None:
    host = PureHost.of(service("db", ready=Readiness(NOTIFY.probe, timeout_seconds=0)))
    assert timers(host) == {}


def test_without_a_probe_it_runs_as_soon_as_the_process_exists() -> None:
    host = PureHost.of(service("db"))
    assert host.states("db") == ["starting", "running"]
    assert timers(host) == {}


def test_becoming_ready_ends_the_deadline_and_the_readiness_probe() -> None:
    host = PureHost.of(service("db", ready=NOTIFY))
    host.take()
    host.ready("db")
    generation = host.engine.service(DB).generation
    assert host.take(CancelTimer, EndWatches) == [
        CancelTimer(DB, Timer.START_DEADLINE),
        EndWatches(DB, generation),
    ]


def test_what_runs_with_a_process_is_watched_for_its_health() -> None:
    health = Health(ExecProbe(("check",)))
    host = PureHost.of(
        service("db", ready=NOTIFY, health=health),
        service("job", one_shot=True, ready=NOTIFY, health=health),
    )
    host.did()
    host.ready("db")
    host.exits("job", CLEAN)
    assert host.did() == ["watch db"]


def test_a_condition_is_awaited_and_has_no_process_to_end() -> None:
    host = PureHost.of(target("net", ready=NOTIFY))
    assert host.did() == ["await net"]
    host.ready("net")
    assert host.running() == ["net"]
    host.stop("net")
    assert host.did() == ["answer net done"]


def test_a_stop_sends_its_signal_and_arms_the_stop_delay() -> None:
    stop = Stop("SIGINT", delay_seconds=3)
    host = PureHost.of(service("db", stop=stop))
    host.stubborn.add("db")
    host.take()
    host.stop("db")
    assert host.take(Terminate) == [Terminate(DB, host.engine.service(DB).generation, stop)]
    assert timers(host) == {"stop-delay": 3.0}


def test_what_is_left_after_the_stop_delay_is_killed() -> None:
    host = PureHost.of(service("db", stop=Stop(delay_seconds=3)))
    host.stubborn.add("db")
    host.did()
    host.stop("db")
    host.pass_time(2.9)
    assert host.did() == ["terminate db"]
    host.pass_time(0.1)
    assert host.did() == ["kill db", "answer db done"]
    assert timers(host) == {}


def test_a_stop_is_answered_only_when_nothing_is_left() -> None:
    host = PureHost.of(service("db"))
    host.stubborn.add("db")
    host.did()
    host.stop("db")
    assert host.did() == ["terminate db"]
    host.lets_go("db")
    assert host.did() == ["answer db done"]


def test_what_cannot_be_killed_is_reported_and_the_command_answered() -> None:
    host = PureHost.of(service("db", stop=Stop(delay_seconds=3)))
    host.unkillable.add("db")
    host.did()
    host.stop("db")
    host.pass_time(3)
    assert host.did() == ["terminate db", "kill db"]
    host.pass_time(10)
    assert host.did() == ["answer db failed"]
    assert host.tells("db")[-1] == "cannot be killed"
    assert host.reason("db") == "degraded: its processes are still there after SIGKILL"
    assert timers(host) == {}
    assert host.result(host.start("db")) == "failed"
    host.lets_go("db")
    assert host.running() == ["db"]


def test_a_respawn_waits_longer_each_time_up_to_its_cap() -> None:
    policy = Respawn(delay_seconds=1, factor=3, max_delay_seconds=5, limit=0)
    host = PureHost.of(service("db", respawn=policy))
    pauses = []
    for _ in range(4):
        host.exits("db")
        pauses.append(timers(host)["backoff"])
        assert host.reason("db") == "backing-off: exited with code 1; starts again by itself"
        host.pass_time(pauses[-1])
    assert pauses == [1.0, 3.0, 5.0, 5.0]
    assert host.engine.snapshot(DB).restarts == 4


def test_a_respawn_without_delay_is_at_once() -> None:
    host = PureHost.of(service("db", respawn=Respawn(delay_seconds=0)))
    host.did()
    host.exits("db")
    assert host.did() == ["terminate db", "spawn db"]


def test_after_the_limit_it_is_failed_until_an_operator_starts_it() -> None:
    host = PureHost.of(service("db", respawn=Respawn(delay_seconds=0, limit=2, window_seconds=30)))
    for _ in range(3):
        host.exits("db")
    assert host.reason("db") == ("failed: exited with code 1; the limit is 2 respawns within 30 s")
    assert host.tells("db")[-1] == "failed"
    host.pass_time(1000)
    assert host.running() == []
    host.start("db")
    for _ in range(2):
        host.exits("db")
    assert host.running() == ["db"], "a start empties the record"


def test_a_run_as_long_as_the_window_empties_the_record() -> None:
    host = PureHost.of(service("db", respawn=Respawn(delay_seconds=1, limit=1, window_seconds=30)))
    for _ in range(3):
        host.exits("db")
        assert timers(host) == {"backoff": 1.0}
        host.pass_time(1)
        host.pass_time(30)


def test_without_a_respawn_policy_a_crash_is_a_failure() -> None:
    host = PureHost.of(service("db", respawn=None))
    host.exits("db")
    assert host.reason("db") == "failed: exited with code 1"


def test_a_condition_that_cannot_hold_is_tried_again_as_its_policy_says() -> None:
    host = PureHost.of(target("net", ready=NOTIFY, respawn=Respawn(delay_seconds=2)))
    host.did()
    host.never_ready("net", "no route")
    assert host.reason("net") == (
        "backing-off: did not become ready: no route; starts again by itself"
    )
    host.pass_time(2)
    assert host.did() == ["await net"]


def test_a_crash_of_what_is_being_stopped_is_no_reason_to_respawn() -> None:
    host = PureHost.of(service("db"))
    host.stop("db")
    found = host.engine.snapshot(DB)
    assert (found.restarts, str(found.state), str(found.last_exit and found.last_exit.status)) == (
        0,
        "stopped",
        "ended by SIGTERM",
    )


def test_a_transient_service_vanishes_when_it_ends_and_is_not_respawned() -> None:
    host = PureHost.of(service("db"), service("job", transient=True), service("x", wants=["job"]))
    host.did()
    host.exits("job")
    assert host.did() == ["terminate job", "forget job"]
    assert host.engine.names() == ("db", "x")
    assert "job" not in host.engine.graph.spec_by_name
    assert not host.timers
    assert host.result(host.restart("x")) == "done"


def test_a_command_about_a_transient_service_ends_with_it() -> None:
    host = PureHost.of(service("a", transient=True), service("b", transient=True, ready=NOTIFY))
    stop, start = host.stop("a"), host.start("b")
    host.exits("b")
    assert host.result(stop) == "done"
    assert [r.message for r in host.reports(start)] == [
        "b is gone: exited with code 1 before it was ready"
    ]


def test_events_of_an_earlier_start_change_nothing() -> None:
    host = PureHost.of(service("db", ready=NOTIFY))
    old = host.processes[DB].generation
    host.restart("db")
    host.post(BecameReady(DB, old))
    assert host.state("db") == "starting"


def test_no_generation_is_used_twice_even_for_a_name_that_returns() -> None:
    host = PureHost.of(service("job", transient=True, ready=NOTIFY))
    old = host.processes[Name("job")].generation
    host.exits("job")
    host.reload(service("job", ready=NOTIFY))
    host.post(BecameReady(Name("job"), old))
    assert host.state("job") == "starting"


def test_no_timer_outlives_a_stop() -> None:
    host = PureHost.of(service("db", ready=NOTIFY))
    assert host.timers
    host.stop("db")
    assert not host.timers


def test_a_service_that_never_becomes_ready_fails_in_the_end() -> None:
    host = PureHost.of(service("db", ready=NOTIFY, respawn=Respawn(delay_seconds=0, limit=2)))
    ticket = host.start("db")
    host.pass_time(1000.0)
    assert host.result(ticket) == "failed"
    assert len(host.engine.service(DB).start_failures) == 3


def test_a_condition_is_waited_for_as_long_as_it_takes() -> None:
    host = PureHost.of(target("net", ready=Readiness(PathProbe("/x"), timeout_seconds=60.0)))
    host.pass_time(5000.0)
    assert "failed" not in host.reason("net")


@pytest.mark.parametrize(
    ("end", "is_released"),
    [("stop", True), ("restart", False), ("crash", False), ("failure", True), ("displaced", True)],
)
def test_activation_sockets_are_kept_over_restarts_and_go_with_a_stop(
    end: str, *, is_released: bool
) -> None:
    """Clients queue while a service comes back, and are refused when it stays away."""
    listening = replace(process("web"), sockets=(SocketSpec("web", "/run/web"),))
    respawn = None if end == "failure" else Respawn(delay_seconds=1)
    host = PureHost.of(
        service("web", process=listening, respawn=respawn),
        service("rival", autostart=False, conflicts=["web"]),
    )
    match end:
        case "stop":
            host.stop("web")
        case "restart":
            host.restart("web")
        case "displaced":
            host.start("rival")
        case _:
            host.exits("web")
    assert host.take(Release) == ([Release(Name("web"))] if is_released else [])


def test_a_stop_of_what_waits_gives_back_the_sockets_kept_for_it() -> None:
    listening = replace(process("web"), sockets=(SocketSpec("web", "/run/web"),))
    host = PureHost.of(service("db"), service("web", process=listening, requires=["db"]))
    host.stop("db")
    assert host.take(Release) == [], "it comes back with db"
    host.stop("web")
    assert host.take(Release) == [Release(Name("web"))]


AWAY = CleanUp(("away",), 7)


def test_what_outlives_a_service_is_taken_away_when_its_processes_are_gone() -> None:
    host = PureHost.of(service("db", clean_up=AWAY))
    host.take()
    host.held_clean_ups = True
    host.stop("db")
    assert host.did() == ["terminate db", "clean up db"]
    assert host.engine.snapshot(DB).state == "stopping"
    assert timers(host) == {}  # the command has a deadline of its own
    host.post(CleanedUp(DB, host.engine.service(DB).generation))
    assert host.did() == ["answer db done"]
    assert host.engine.snapshot(DB).state == "stopped"


def test_the_stop_says_that_the_clean_up_failed_and_so_does_status_until_the_next_start() -> None:
    host = PureHost.of(service("db", clean_up=AWAY))
    host.clean_up_fails = "exited with code 3: so not"
    reports = host.reports(host.stop("db"))
    assert [(one.result, one.message) for one in reports] == [
        ("failed", "db is down, and its clean-up failed: exited with code 3: so not")
    ]
    warning = "its clean-up failed: exited with code 3: so not"
    assert host.engine.snapshot(DB).warnings == (warning,)
    host.start("db")
    assert host.engine.snapshot(DB).warnings == ()


def test_another_stop_runs_a_clean_up_that_failed_again_as_it_is_defined_now() -> None:
    host = PureHost.of(service("db", clean_up=AWAY))
    host.clean_up_fails = "exited with code 3: so not"
    host.stop("db")
    again = host.reports(host.stop("db"))
    assert [one.result for one in again] == ["failed"], "it failed again"
    host.clean_up_fails = None
    mended = CleanUp(("really", "away"), 7)
    host.post(Reloaded(ServiceGraph.build([service("db", clean_up=mended)])))
    host.take()
    reports = host.reports(host.stop("db"))
    assert [(one.result, one.message) for one in reports] == [("done", "db has been stopped")]
    generation = host.engine.service(DB).generation - 1  # another one since it has ended
    assert host.take(RunCleanUp) == [RunCleanUp(DB, generation, mended)]
    assert host.engine.snapshot(DB).warnings == ()
    assert [one.result for one in host.reports(host.stop("db"))] == ["already"]
    assert host.take(RunCleanUp) == [], "it is done"


@pytest.mark.parametrize("what", ["restart", "crash"])
def test_nothing_is_taken_away_from_what_is_started_again(what: str) -> None:
    host = PureHost.of(service("db", clean_up=AWAY))
    host.did()
    if what == "restart":
        host.restart("db")
    else:
        host.exits("db", KILLED)
        host.pass_time(1)
    assert "clean up db" not in host.did()
    assert host.engine.snapshot(DB).state == "running"


def test_what_failed_for_good_is_cleaned_up_and_says_why_it_failed() -> None:
    host = PureHost.of(service("db", clean_up=AWAY, respawn=None))
    host.did()
    host.exits("db", KILLED)
    assert host.did() == ["terminate db", "clean up db"]
    found = host.engine.snapshot(DB)
    assert found.state == "stopped"
    assert host.reason("db") == "failed: ended by SIGKILL"


def test_a_stop_while_it_backs_off_cleans_up_too() -> None:
    slow = Respawn(delay_seconds=5)
    host = PureHost.of(service("db", clean_up=AWAY, respawn=slow))
    host.exits("db", KILLED)
    host.did()
    host.stop("db")
    assert host.did() == ["clean up db", "answer db already"]
    assert timers(host) == {}
    host.stop("db")
    assert host.did() == ["answer db already"], "once is enough"


def test_a_start_waits_for_the_clean_up_and_so_does_a_rival() -> None:
    host = PureHost.of(
        service("db", clean_up=AWAY), service("other", conflicts=["db"], autostart=False)
    )
    host.held_clean_ups = True
    host.did()
    host.start("other")
    assert host.did() == ["terminate db", "clean up db"]
    host.post(CleanedUp(DB, host.engine.service(DB).generation))
    assert host.did() == ["spawn other", "answer other done"]


@pytest.mark.parametrize("backs_off", [False, True])
def test_what_leaves_the_configuration_is_cleaned_up_before_it_is_forgotten(
    *, backs_off: bool
) -> None:
    host = PureHost.of(service("db", clean_up=AWAY, respawn=Respawn(delay_seconds=5)))
    if backs_off:
        host.exits("db", KILLED)
    host.did()
    host.reload()
    assert host.did()[-2:] == ["clean up db", "forget db"]


def test_a_shutdown_waits_for_the_clean_up() -> None:
    host = PureHost.of(service("db", clean_up=AWAY))
    host.held_clean_ups = True
    host.did()
    host.ask(Verb.SHUTDOWN)
    assert "finish" not in host.did()
    host.post(CleanedUp(DB, host.engine.service(DB).generation))
    assert host.did() == ["answer", "finish"]


def test_a_successor_runs_a_clean_up_again_that_was_cut_short() -> None:
    host = PureHost.of(service("db", clean_up=AWAY))
    host.held_clean_ups = True
    host.stop("db")
    heir = host.successor()
    assert "clean up db" in heir.did()
    assert heir.engine.snapshot(DB).state == "stopped"


def test_a_successor_that_wants_it_starts_it_only_after_the_clean_up_that_was_cut_short() -> None:
    host = PureHost.of(service("db", clean_up=AWAY))
    host.held_clean_ups = True
    host.stop("db")
    host.start("db")
    heir = host.successor()
    done = heir.did()
    assert done.index("clean up db") < done.index("spawn db")
    assert heir.engine.snapshot(DB).state == "running"


@pytest.mark.parametrize("before", [None, CleanUp(("older",), 7)])
def test_a_reload_puts_a_clean_up_in_force_for_what_runs_already(before: CleanUp | None) -> None:
    host = PureHost.of(service("db", clean_up=before))
    host.reload(service("db", clean_up=AWAY))
    host.take()
    host.stop("db")
    (effect,) = host.take(RunCleanUp)
    assert isinstance(effect, RunCleanUp)
    assert effect.clean_up == AWAY


def test_what_runs_by_another_definition_keeps_the_clean_up_of_its_start() -> None:
    host = PureHost.of(service("db", clean_up=CleanUp(("older",), 7)))
    host.reload(service("db", process=process("other"), clean_up=AWAY))
    assert host.engine.service(DB).has_replacement
    host.take()
    host.stop("db")
    (effect,) = host.take(RunCleanUp)
    assert isinstance(effect, RunCleanUp)
    assert effect.clean_up.command == ("older",)


def test_what_an_older_definition_left_is_taken_away_though_the_new_one_leaves_nothing() -> None:
    host = PureHost.of(service("db", clean_up=AWAY))
    host.reload(service("db"))
    host.restart("db")
    host.take()
    host.stop("db")
    (effect,) = host.take(RunCleanUp)
    assert isinstance(effect, RunCleanUp)
    assert effect.clean_up == AWAY


def test_a_condition_or_a_service_that_never_started_leaves_nothing() -> None:
    host = PureHost.of(service("db", clean_up=AWAY, autostart=False))
    host.stop("db")
    assert host.did() == ["answer db already"]


def test_in_a_shutdown_a_requirement_waits_for_the_clean_up_of_one_that_backs_off() -> None:
    slow = Respawn(delay_seconds=5)
    host = PureHost.of(service("net"), service("db", requires=["net"], clean_up=AWAY, respawn=slow))
    host.held_clean_ups = True
    host.exits("db", KILLED)
    host.did()
    host.ask(Verb.SHUTDOWN)
    assert host.did() == ["clean up db"]
    host.post(CleanedUp(DB, host.engine.service(DB).generation))
    assert host.did() == ["terminate net", "answer", "finish"]


def test_a_clean_up_is_not_stuck_because_an_earlier_stop_was() -> None:
    host = PureHost.of(service("db", clean_up=AWAY, respawn=None))
    host.held_clean_ups = True
    host.engine.service(DB).kills = 2
    host.exits("db", KILLED)
    assert host.engine.snapshot(DB).state == "stopping"
    assert not host.engine.service(DB).is_stuck

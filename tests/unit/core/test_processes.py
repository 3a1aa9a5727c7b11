"""What happens to a process is judged by what the service was doing and by its definition."""

from typing import Any

import pytest
from tests.support.pure_host import (
    CLEAN,
    FAILED,
    KILLED,
    NOTIFY,
    Process,
    PureHost,
    service,
    target,
)

from virtsupd.core.events import (
    BecameReady,
    Exited,
    Gone,
    HealthChanged,
    NeverMade,
    Spawned,
    SpawnFailed,
    Told,
)
from virtsupd.core.exits import ExitStatus
from virtsupd.core.names import Name
from virtsupd.core.spec import (
    ExecProbe,
    ExitProbe,
    Health,
    NotifyProbe,
    PidFileProbe,
    Readiness,
    Respawn,
)

DB = Name("db")
EXIT = Readiness(ExitProbe())
PID_FILE = Readiness(PidFileProbe("/run/db.pid"))
CHECK = ExecProbe(("check",))
SLOW = Respawn(delay_seconds=10)


# Spawning


def test_a_process_is_shown_with_its_pid_and_what_the_kernel_denied() -> None:
    host = PureHost.of(service("db", autostart=False))
    host.held.add("db")
    host.start("db")
    generation = host.engine.service(DB).generation
    host.post(Spawned(DB, generation, 7, ("limit memlock: not permitted",)))
    shown = host.engine.snapshot(DB)
    assert (shown.pid, shown.warnings) == (7, ("limit memlock: not permitted",))


def test_a_spawn_that_can_never_work_fails_at_once() -> None:
    host = PureHost.of(service("db", autostart=False))
    host.fails_to_spawn("db", permanent=True)
    host.start("db")
    assert host.did() == ["spawn db", "answer db failed"]
    assert host.reason("db") == "failed: exec: no such file"
    assert len(host.engine.snapshot(DB).start_failures) == 1


def test_a_spawn_that_may_work_later_is_tried_again_as_its_policy_says() -> None:
    host = PureHost.of(service("db", autostart=False, respawn=Respawn(delay_seconds=2, limit=1)))
    host.fails_to_spawn("db", permanent=False)
    ticket = host.start("db")
    assert host.reason("db") == "backing-off: exec: no such file; starts again by itself"
    host.unspawnable.clear()
    host.pass_time(2)
    assert host.result(ticket) == "done"


@pytest.mark.parametrize("is_made", [True, False])
def test_a_spawn_that_ends_during_the_stop_is_stopped_too(*, is_made: bool) -> None:
    host = PureHost.of(service("db", autostart=False))
    host.held.add("db")
    host.unkillable.add("db")
    ticket = host.start("db")
    generation = host.engine.service(DB).generation
    host.processes[DB] = Process(7, generation)
    host.stop("db")
    if is_made:
        host.post(Spawned(DB, generation, 7))
        host.lets_go("db")
    else:
        host.post(SpawnFailed(DB, generation, "exec", "no such file", is_permanent=True))
    assert host.states("db") == ["starting", "stopping", "stopped"]
    assert host.result(ticket) == "superseded"
    assert host.reason("db") == "stopped-by-operator: stopped by tester"


# Readiness


def test_a_death_before_it_is_ready_ends_the_wait_at_once() -> None:
    host = PureHost.of(service("db", autostart=False, ready=NOTIFY, respawn=None))
    host.start("db")
    host.exits("db")
    assert host.did() == ["spawn db", "terminate db", "answer db failed"]
    assert host.reason("db") == "failed: exited with code 1 before it was ready"


def test_a_probe_that_can_never_hold_fails_the_start() -> None:
    host = PureHost.of(service("db", ready=NOTIFY, respawn=None))
    host.did()
    host.never_ready("db", "the port belongs to somebody else")
    assert host.did() == ["terminate db"]
    assert host.reason("db") == "failed: did not become ready: the port belongs to somebody else"


def test_a_start_that_takes_too_long_fails_with_what_was_seen_last() -> None:
    host = PureHost.of(
        service("db", ready=Readiness(NOTIFY.probe, timeout_seconds=7), respawn=None)
    )
    generation = host.processes[DB].generation
    host.post(Told(DB, generation, "waiting", "connection refused"))
    assert host.reason("db") == "waiting: waits until ready (notify): connection refused"
    host.pass_time(7)
    assert host.reason("db") == "failed: not ready within 7 s: connection refused"


def test_a_probe_that_answers_after_the_stop_began_changes_nothing() -> None:
    host = PureHost.of(service("db", ready=NOTIFY))
    host.stubborn.add("db")
    host.stop("db")
    host.ready("db")
    host.never_ready("db")
    assert host.state("db") == "stopping"


def test_saying_ready_twice_changes_nothing() -> None:
    host = PureHost.of(service("db", ready=NOTIFY))
    host.ready("db")
    host.did()
    host.ready("db")
    host.never_ready("db")
    assert (host.did(), host.state("db")) == ([], "running")


def test_what_a_service_says_of_itself_is_shown_for_this_run_only() -> None:
    host = PureHost.of(service("db"))
    generation = host.processes[DB].generation
    host.post(Told(DB, generation, "status", "12 tables"))
    host.post(Told(DB, generation, "reloading"), Told(DB, generation, "stopping"))
    assert host.engine.snapshot(DB).status_text == "12 tables"
    host.restart("db")
    assert host.engine.snapshot(DB).status_text == ""


# Forking services


def test_a_forking_service_hands_over_to_the_process_of_its_pid_file() -> None:
    host = PureHost.of(service("db", ready=PID_FILE))
    first = host.processes[DB]
    host.post(Exited(DB, first.generation, CLEAN))
    assert (host.state("db"), host.engine.snapshot(DB).pid) == ("starting", None)
    host.post(BecameReady(DB, first.generation, pid=777))
    assert (host.state("db"), host.engine.snapshot(DB).pid) == ("running", 777)
    assert host.engine.snapshot(DB).exits == ()


def test_a_forking_service_whose_first_process_fails_has_failed() -> None:
    host = PureHost.of(service("db", ready=PID_FILE, respawn=None))
    host.exits("db")
    assert host.reason("db") == "failed: exited with code 1 before it was ready"


# One-shots


def test_a_one_shot_that_is_done_counts_as_running_without_a_process() -> None:
    host = PureHost.of(service("job", one_shot=True, ready=EXIT), service("web", requires=["job"]))
    assert host.did() == ["spawn job"]
    host.processes.pop(Name("job"))
    host.post(Exited(Name("job"), host.engine.service(Name("job")).generation, CLEAN))
    assert host.did() == ["spawn web"]
    found = host.engine.snapshot(Name("job"))
    assert (found.is_done, found.pid, str(found.state)) == (True, None, "running")
    assert host.result(host.start("job")) == "already"


def test_a_one_shot_that_failed_satisfies_nobody() -> None:
    host = PureHost.of(
        service("job", one_shot=True, ready=EXIT, respawn=None),
        service("web", requires=["job"]),
        service("x", binds_to=["job"]),
    )
    host.exits("job")
    assert host.running() == []
    assert host.reason("web") == "waiting: waits for job (failed)"


def test_a_one_shot_runs_again_when_what_it_needs_restarts() -> None:
    host = PureHost.of(service("db"), service("job", one_shot=True, ready=EXIT, requires=["db"]))
    host.exits("job", CLEAN)
    host.did()
    host.restart("db")
    assert host.did() == [
        "terminate job",
        "terminate db",
        "spawn db",
        "spawn job",
        "answer db done",
    ]


# Ends


@pytest.mark.parametrize("edge", ["requires", "binds_to", "wants", "after"])
def test_not_needed_here_satisfies_every_edge(edge: str) -> None:
    host = PureHost.of(
        service("kvm", not_needed_exit=frozenset({77}), ready=NOTIFY),
        service("web", **{edge: ["kvm"]}),
    )
    host.exits("kvm", ExitStatus(77))
    assert host.running() == ["web"]
    assert host.reason("kvm") == "not-needed: not needed here: exited with code 77"
    assert host.reason("web") == ""
    host.pass_time(1000)
    assert host.state("kvm") == "stopped"


def test_not_needed_is_an_answer_and_a_start_asks_again() -> None:
    host = PureHost.of(service("kvm", not_needed_exit=frozenset({77}), ready=NOTIFY))
    host.exits("kvm", ExitStatus(77))
    host.did()
    ticket = host.start("kvm")
    assert host.did() == ["spawn kvm"]
    host.exits("kvm", ExitStatus(77))
    assert host.result(ticket) == "not-needed"


def test_not_needed_is_asked_again_at_reload() -> None:
    spec = service("kvm", not_needed_exit=frozenset({77}), ready=NOTIFY)
    host = PureHost.of(spec)
    host.exits("kvm", ExitStatus(77))
    host.did()
    host.reload(spec)
    assert host.did() == ["spawn kvm"]


def test_not_needed_is_asked_again_when_a_requirement_restarts() -> None:
    host = PureHost.of(
        service("db"),
        service("kvm", requires=["db"], not_needed_exit=frozenset({77}), ready=NOTIFY),
    )
    host.exits("kvm", ExitStatus(77))
    host.did()
    host.restart("db")
    assert host.did() == ["terminate db", "spawn db", "spawn kvm", "answer db done"]


def test_asking_again_what_was_not_needed_ends_nothing_that_is_bound_to_it() -> None:
    kvm = service("kvm", not_needed_exit=frozenset({77}), ready=NOTIFY, respawn=None)
    specs = (kvm, service("vm", binds_to=["kvm"], is_guest=True))
    host = PureHost.of(*specs)
    host.exits("kvm", ExitStatus(77))
    host.did()
    host.reload(*specs)
    assert host.did() == ["spawn kvm"]
    host.exits("kvm", ExitStatus(77))
    host.start("kvm")
    assert host.did() == ["terminate kvm", "spawn kvm"]
    host.ready("kvm")
    assert host.states("vm") == ["starting", "running"]
    host.exits("kvm")
    assert host.state("vm") == "stopped", "it runs on nothing but what it is bound to"


def test_what_was_not_needed_and_then_fails_takes_what_is_bound_to_it_along() -> None:
    kvm = service("kvm", not_needed_exit=frozenset({77}), ready=NOTIFY, respawn=None)
    host = PureHost.of(kvm, service("web", binds_to=["kvm"]))
    host.exits("kvm", ExitStatus(77))
    host.start("kvm")
    host.did()
    host.exits("kvm")
    assert host.did() == ["terminate kvm", "terminate web", "answer kvm failed"]


BUS: dict[str, Any] = {"ready": NOTIFY, "respawn": None}


@pytest.mark.parametrize("edge", ["wants", "after"])
def test_a_condition_that_is_asked_once_and_not_required_is_not_needed(edge: str) -> None:
    host = PureHost.of(target("bus", **BUS), service("web", **{edge: ["bus"]}))
    host.never_ready("bus", "no socket")
    why = "not-needed: not here, and nothing requires it: did not become ready: no socket"
    assert host.reason("bus") == why
    assert host.running() == ["web"]
    assert host.engine.snapshot(Name("bus")).start_failures == ()
    assert ("bus", "service failed") not in host.announced


@pytest.mark.parametrize("edge", ["requires", "binds_to"])
def test_a_condition_that_something_requires_fails(edge: str) -> None:
    host = PureHost.of(target("bus", **BUS), service("web", **{edge: ["bus"]}))
    host.never_ready("bus", "no socket")
    assert host.reason("bus") == "failed: did not become ready: no socket"
    assert host.state("web") == "stopped"


def test_a_service_that_nothing_requires_fails_all_the_same() -> None:
    host = PureHost.of(service("bus", **BUS))
    host.never_ready("bus", "no socket")
    assert host.reason("bus") == "failed: did not become ready: no socket"


def test_what_comes_to_require_a_condition_that_was_not_needed_waits_for_it() -> None:
    bus = target("bus", **BUS)
    host = PureHost.of(bus)
    host.never_ready("bus", "no socket")
    host.did()
    host.reload(bus, service("web", requires=["bus"]))
    assert host.did() == ["await bus"]
    host.never_ready("bus", "no socket")
    assert host.reason("bus") == "failed: did not become ready: no socket"
    assert host.state("web") == "stopped"


def test_an_expected_end_without_respawn_is_no_failure() -> None:
    host = PureHost.of(service("db", respawn=None, success_exit=frozenset({0, 3})))
    host.exits("db", ExitStatus(3))
    assert host.reason("db") == "finished: exited with code 3"


def test_an_expected_end_of_what_respawns_is_an_end_like_any_other() -> None:
    host = PureHost.of(service("db", respawn=SLOW))
    host.exits("db", CLEAN)
    assert host.reason("db").startswith("backing-off: exited with code 0")


def test_an_end_of_unknown_cause_is_a_failure_to_respawn() -> None:
    host = PureHost.of(service("db", respawn=SLOW))
    host.exits("db", ExitStatus())
    assert host.reason("db") == "backing-off: ended in an unknown way; starts again by itself"


def test_every_end_is_kept_newest_first_at_most_ten() -> None:
    host = PureHost.of(service("db", respawn=Respawn(delay_seconds=0, limit=0)))
    for status in (*(FAILED for _ in range(11)), KILLED):
        host.exits("db", status)
    exits = host.engine.snapshot(DB).exits
    assert len(exits) == 10
    assert exits[0].status == KILLED


def test_what_a_dead_leader_left_behind_is_ended_before_it_starts_again() -> None:
    host = PureHost.of(service("db", respawn=Respawn(delay_seconds=0)))
    host.unkillable.add("db")
    host.did()
    host.exits("db")
    assert host.did() == ["terminate db"]
    assert host.reason("db") == "waiting: exited with code 1; ends what it left behind"
    host.lets_go("db")
    assert host.did() == ["spawn db"]


def test_gone_without_a_stop_changes_nothing() -> None:
    host = PureHost.of(service("db"))
    host.post(Gone(DB, host.processes[DB].generation))
    assert host.state("db") == "running"


# Health


def test_a_failed_health_check_counts_as_a_crash() -> None:
    host = PureHost.of(service("db", health=Health(CHECK), respawn=SLOW))
    host.did()
    host.health("db", "exited with code 2")
    assert host.did() == ["terminate db"]
    assert host.reason("db") == (
        "backing-off: failed its health check: exited with code 2; starts again by itself"
    )
    assert host.engine.snapshot(DB).restarts == 1


def test_a_failed_health_check_may_only_degrade() -> None:
    host = PureHost.of(service("db", health=Health(CHECK, on_failure="degrade")))
    host.did()
    host.health("db", "slow")
    assert (host.did(), host.reason("db")) == ([], "degraded: health check: slow")
    host.health("db", None)
    assert host.reason("db") == ""
    assert host.tells("db")[-2:] == ["degraded", "recovered"]


def test_a_health_check_that_fails_during_the_stop_changes_nothing() -> None:
    host = PureHost.of(service("db", health=Health(CHECK)))
    host.stubborn.add("db")
    host.stop("db")
    host.health("db", "gone")
    assert host.state("db") == "stopping"


def test_a_health_check_that_is_no_longer_asked_for_is_not_heard() -> None:
    host = PureHost.of(service("db", health=Health(CHECK)))
    host.reload(service("db"))
    host.health("db", "gone")
    assert host.state("db") == "running"


def test_a_service_that_calls_itself_stuck_before_it_is_ready_is_started_again() -> None:
    health = Health(NotifyProbe(), interval_seconds=1.0)
    host = PureHost.of(service("db", ready=NOTIFY, health=health, respawn=None))
    name = Name("db")
    host.post(HealthChanged(name, host.processes[name].generation, "it said WATCHDOG=trigger"))
    assert host.reason("db") == "failed: failed its health check: it said WATCHDOG=trigger"


def test_a_process_that_ran_and_of_which_a_successor_finds_nothing_has_ended() -> None:
    host = PureHost.of(service("db", respawn=SLOW))
    process = host.processes.pop(DB)
    host.post(NeverMade(DB, process.generation))
    assert host.engine.snapshot(DB).exits[0].status == ExitStatus()
    assert host.reason("db").startswith("backing-off: ")


def test_a_stop_that_may_not_signal_says_so_as_its_reason() -> None:
    host = PureHost.of(service("db"))
    host.stubborn.add("db")
    host.stop("db")
    host.post(Told(DB, host.engine.service(DB).generation, "denied", "not permitted"))
    assert host.reason("db") == "degraded: cannot be ended: not permitted"


def test_what_a_service_says_while_it_starts_is_told_but_not_each_word_of_a_chatterer() -> None:
    host = PureHost.of(service("db", ready=NOTIFY))
    host.held.add("db")
    host.start("db")
    for words in ("one", "two", "three"):
        host.post(Told(DB, 1, "status", words))
    assert host.tells("db").count("progress") == 1
    host.pass_time(1.0)
    for words in ("four", "four"):
        host.post(Told(DB, 1, "status", words))
    assert host.tells("db").count("progress") == 2
    host.post(BecameReady(DB, 1), Told(DB, 1, "status", "five"))
    assert host.tells("db").count("progress") == 2

"""Timers: which firings run a job, and what becomes of the job.

The wall clock begins at 1000; "100" fires at its multiples, so next at 1100.
"""

import math

import pytest
from tests.support.pure_host import (
    CLEAN,
    FAILED,
    UNKNOWN,
    Process,
    PureHost,
    service,
    target,
    timer,
)

from virtsupd.core.effects import RememberFirings, Spawn
from virtsupd.core.engine import Engine
from virtsupd.core.events import Asked, Booted, Fired, Instant, Timer, Told, Verb
from virtsupd.core.graph import ServiceGraph
from virtsupd.core.jobs import Firings, times_of
from virtsupd.core.names import Name
from virtsupd.core.service import Service
from virtsupd.core.snapshot import State, TimerView
from virtsupd.core.spec import ServiceSpec
from virtsupd.core.state import Remembered

T = Name("t")


def found(host: PureHost) -> Service:
    return host.engine.service(T)


def spawns(host: PureHost) -> int:
    """Count the jobs begun since the last call."""
    return len(host.take(Spawn))


def seen(host: PureHost) -> float | None:
    return found(host).firings.seen


def view(host: PureHost) -> TimerView:
    shown = host.engine.snapshot(T).timer
    assert shown is not None
    return shown


def booted_with(
    spec: ServiceSpec, now: float, *, seen: float, held_until: float | None = None
) -> PureHost:
    """A timer of which an earlier boot knew something."""
    assert spec.timer is not None
    past = Firings(seen, times_of(spec.timer), held_until)
    kept = {"t": Remembered(None, enabled=True, firings=past)}
    host = PureHost.of(spec, remembered=kept, boot=False)
    host.now = now
    host.post(Booted())
    return host


def hold(host: PureHost, until: float | None = None) -> str:
    host.tickets += 1
    host.post(Asked(host.tickets, Verb.HOLD, (T,), "tester", until=until))
    return host.result(host.tickets)


# Firing


def test_a_timer_runs_while_it_is_armed_and_its_job_when_it_fires() -> None:
    host = PureHost.of(timer("t"))
    assert host.state("t") is State.RUNNING
    assert host.did() == [], "no job runs because it was armed"
    host.pass_time(99)
    assert host.did() == []
    host.pass_time(1)
    assert host.did() == ["spawn t"]
    assert found(host).pid is not None
    host.exits("t", CLEAN)
    assert host.state("t") is State.RUNNING
    assert found(host).pid is None
    host.pass_time(300)
    assert host.states("t") == ["starting", "running"], "jobs are no change of state"


def test_each_firing_runs_one_job() -> None:
    host = PureHost.of(timer("t"))
    for _ in range(12):
        host.pass_time(100)
        assert spawns(host) == 1
        host.exits("t", CLEAN)
    ended = [run.ended for run in found(host).runs]
    assert ended == [1000.0 + 100 * n for n in range(12, 2, -1)], "the last ten"


def test_a_firing_is_remembered_before_its_job_is_made() -> None:
    host = PureHost.of(timer("t"))
    host.effects.clear()
    host.pass_time(100)
    kinds = [type(e) for e in host.effects if isinstance(e, RememberFirings | Spawn)]
    assert kinds == [RememberFirings, Spawn]


def test_a_timer_that_wakes_too_early_waits_on() -> None:
    host = PureHost.of(timer("t"))
    host.now = 1099.9
    host.post(Fired(T, found(host).generation, Timer.FIRING))
    assert spawns(host) == 0
    host.pass_time(0.1)
    assert spawns(host) == 1


def test_a_timer_without_another_time_stays_armed() -> None:
    host = PureHost.of(timer("t", "0"))
    host.pass_time(10_000)
    assert host.did() == []
    assert host.running() == ["t"]
    assert view(host).fires_at is None


def test_those_that_need_a_timer_run_while_it_is_armed() -> None:
    host = PureHost.of(timer("t"), service("web", requires=["t"]))
    assert host.running() == ["t", "web"]


# Jobs


def test_a_firing_during_a_job_is_dropped_and_counted() -> None:
    host = PureHost.of(timer("t"))
    host.pass_time(350)
    assert spawns(host) == 1
    assert view(host).skipped == 2
    assert host.tells("t").count("firing skipped") == 2
    host.exits("t", CLEAN)
    assert spawns(host) == 0, "nothing is queued"
    host.pass_time(50)
    assert spawns(host) == 1


def test_a_failed_job_leaves_the_timer_armed_and_degraded_until_one_ends_well() -> None:
    host = PureHost.of(timer("t"))
    host.pass_time(100)
    host.exits("t", FAILED)
    assert host.running() == ["t"]
    assert host.reason("t") == "degraded: its last job exited with code 1"
    assert spawns(host) == 1, "a failed job is not tried again by itself"
    host.pass_time(100)
    host.exits("t", FAILED)
    host.pass_time(100)
    host.exits("t", CLEAN)
    assert host.reason("t") == ""
    assert host.tells("t").count("recovered") == 1


def test_what_counts_as_success_is_said_by_the_definition() -> None:
    host = PureHost.of(timer("t", success_exit=frozenset({0, 1})))
    host.pass_time(100)
    host.exits("t", FAILED)
    assert host.reason("t") == ""


def test_a_job_that_cannot_be_made_has_failed_and_the_next_is_tried() -> None:
    host = PureHost.of(timer("t"))
    host.fails_to_spawn("t", permanent=True)
    host.pass_time(100)
    assert host.reason("t") == "degraded: its last job could not be started: exec: no such file"
    assert host.running() == ["t"]
    host.unspawnable.clear()
    host.pass_time(100)
    assert spawns(host) == 2
    assert found(host).pid is not None


def test_a_job_that_runs_too_long_is_ended_and_has_failed() -> None:
    host = PureHost.of(timer("t", timeout=30.0))
    host.pass_time(131)
    assert host.did() == ["spawn t", "terminate t"]
    assert host.reason("t") == "degraded: its last job ran longer than 30 s"
    assert not host.processes
    host.pass_time(69)
    assert host.did() == ["spawn t"]


def test_a_job_in_time_is_not_ended() -> None:
    host = PureHost.of(timer("t", timeout=30.0))
    host.pass_time(120)
    generation = found(host).generation
    host.exits("t", CLEAN)
    host.did()
    host.pass_time(79)
    host.post(Fired(T, generation, Timer.JOB_DEADLINE))
    assert host.did() == []


def test_what_a_job_leaves_behind_is_ended_before_the_next() -> None:
    host = PureHost.of(timer("t"))
    host.unkillable.add("t")
    host.pass_time(100)
    host.exits("t", CLEAN)
    assert host.did() == ["spawn t", "terminate t"]
    host.pass_time(5)
    assert host.did() == ["kill t"]
    host.pass_time(10)
    assert host.reason("t").startswith("degraded: the processes of its job are still there")
    assert "cannot be killed" in host.tells("t")
    host.pass_time(200)
    assert host.did() == [], "no job beside what is left of the last"
    host.lets_go("t")
    host.pass_time(100)
    assert host.did() == ["spawn t"]


def test_a_stop_ends_the_job_and_disarms_the_timer() -> None:
    host = PureHost.of(timer("t"))
    host.pass_time(100)
    ticket = host.stop("t")
    assert host.did() == ["spawn t", "terminate t", "answer t done"]
    assert host.result(ticket) == "done"
    assert found(host).job is None
    host.pass_time(1000)
    assert host.did() == []


def test_a_stop_of_a_timer_without_a_job_is_done_at_once() -> None:
    host = PureHost.of(timer("t"))
    host.stop("t")
    assert host.did() == ["answer t done"]
    assert not host.timers


def test_a_stop_waits_for_what_a_job_left_behind() -> None:
    host = PureHost.of(timer("t"))
    host.unkillable.add("t")
    host.pass_time(100)
    host.exits("t", CLEAN)
    host.did()
    host.stop("t")
    assert host.did() == [], "its leftovers were told already"
    assert host.state("t") is State.STOPPING
    host.pass_time(5)
    assert host.did() == ["kill t"]
    host.lets_go("t")
    assert host.did() == ["answer t done"]


def test_a_job_that_cannot_be_made_while_its_timer_stops_ends_the_stop() -> None:
    host = PureHost.of(timer("t"))
    host.held.add("t")
    host.pass_time(100)
    host.fails_to_spawn("t", permanent=False)
    generation = found(host).generation
    host.post(Asked(1, Verb.STOP, (T,), "tester"))
    host.tickets = 1
    assert host.did()[-1] == "answer t done"
    assert found(host).generation != generation


def test_a_shutdown_ends_jobs_and_starts_none() -> None:
    host = PureHost.of(timer("t"), service("vm", is_guest=True, requires=["t"]))
    host.stubborn.add("vm")
    host.pass_time(99)
    host.did()
    host.ask(Verb.SHUTDOWN)
    host.pass_time(4)
    assert host.state("t") is State.RUNNING, "the guest needs it"
    assert "spawn t" not in host.did()


def test_a_job_that_was_ended_because_what_it_needs_went_down_is_no_success() -> None:
    host = PureHost.of(service("db"), timer("t", requires=["db"]))
    host.pass_time(100)
    host.restart("db")
    assert host.running() == ["db", "t"]
    assert host.reason("t").startswith("degraded: its last job was ended by a restart, or because")
    assert "job failed" in host.tells("t")
    host.pass_time(100)
    host.exits("t", CLEAN)
    assert host.reason("t") == ""


def test_a_job_that_the_operator_stopped_is_no_failure() -> None:
    host = PureHost.of(timer("t"))
    host.pass_time(100)
    host.stop("t")
    host.start("t")
    assert host.reason("t") == ""


def test_a_new_definition_of_the_process_holds_for_the_next_job() -> None:
    host = PureHost.of(timer("t"))
    host.reload(timer("t", process=service("other").process))
    assert not host.engine.snapshot(T).is_replacement_pending
    host.pass_time(100)
    (spawn,) = host.take(Spawn)
    assert isinstance(spawn, Spawn)
    assert spawn.process.command == ("other",)
    host.reload(timer("t"))
    assert host.engine.snapshot(T).is_replacement_pending, "its job is an old one"
    host.exits("t", CLEAN)
    assert not host.engine.snapshot(T).is_replacement_pending


def test_new_times_hold_at_once_and_nothing_of_them_was_missed() -> None:
    host = PureHost.of(timer("t", "1000"))
    host.pass_time(900)
    host.reload(timer("t", "100"))
    assert spawns(host) == 0, "what the old times let pass is no firing of the new"
    assert view(host).fires_at == 2000
    host.reload(timer("t", "50"))
    host.pass_time(50)
    assert spawns(host) == 1


def test_a_service_that_becomes_a_timer_is_one_after_its_restart() -> None:
    host = PureHost.of(service("t"))
    host.reload(timer("t"))
    assert host.engine.snapshot(T).is_replacement_pending
    host.pass_time(500)
    assert spawns(host) == 1, "only the service that it was"
    host.restart("t")
    assert host.did() == ["terminate t", "answer t done"]
    host.pass_time(100)
    assert spawns(host) == 1


def test_a_timer_that_becomes_a_service_is_one_after_its_restart() -> None:
    host = PureHost.of(timer("t"))
    host.reload(service("t"))
    assert host.engine.snapshot(T).is_replacement_pending
    host.pass_time(500)
    assert spawns(host) == 0
    assert host.result(host.ask(Verb.TRIGGER, "t")) == "failed"
    host.restart("t")
    assert host.did()[:2] == ["answer t failed", "spawn t"]


def test_a_job_of_a_timer_that_left_the_configuration_is_ended() -> None:
    host = PureHost.of(timer("t"))
    host.pass_time(100)
    host.reload(target("x"))
    assert host.did() == ["spawn t", "terminate t", "forget t"]
    assert host.remembered[T].firings == Firings(), "one of that name would begin anew"


def test_a_transient_timer_vanishes_after_its_first_job() -> None:
    host = PureHost.of(timer("t", transient=True))
    host.pass_time(100)
    host.exits("t", CLEAN)
    assert host.did() == ["spawn t", "terminate t", "forget t"]


def test_a_transient_timer_without_another_time_vanishes() -> None:
    host = PureHost.of(timer("t", "0", transient=True))
    assert host.did() == ["forget t"]


def test_a_transient_timer_that_is_held_stays_until_it_is_released() -> None:
    host = PureHost.of(timer("t", transient=True))
    hold(host)
    host.reload(timer("t", "0", transient=True))
    assert host.state("t") is State.RUNNING
    host.ask(Verb.RELEASE, "t")
    assert "forget t" in host.did()


# Missed


def test_a_firing_waits_for_what_the_timer_needs_and_is_caught_up_once() -> None:
    host = PureHost.of(service("db"), timer("t", requires=["db"]))
    host.stop("db")
    assert host.running() == []
    host.pass_time(350)
    host.did()
    host.start("db")
    assert host.did() == ["spawn db", "spawn t", "answer db done"]
    host.exits("t", CLEAN)
    host.pass_time(49)
    assert host.did() == ["terminate t"], "three were missed, one job makes up for them"
    host.pass_time(1)
    assert host.did() == ["spawn t"]


def test_a_firing_while_a_requirement_crashed_waits_for_its_return() -> None:
    host = PureHost.of(service("db"), timer("t", requires=["db"]))
    host.fails_to_spawn("db", permanent=True)
    host.exits("db")
    host.pass_time(150)
    assert host.running() == ["t"]
    assert "spawn t" not in host.did()
    assert (view(host).missed_at, view(host).fires_at) == (1100, None)
    assert host.result(host.ask(Verb.TRIGGER, "t")) == "failed"
    host.unspawnable.clear()
    host.start("db")
    assert host.did() == ["answer t failed", "spawn db", "spawn t", "answer db done"]


@pytest.mark.parametrize(
    ("catch_up", "late", "jobs"),
    [
        (math.inf, 99_999.0, 1),
        (60.0, 59.0, 1),
        (60.0, 61.0, 0),
        (0.0, 31.0, 0),
        (0.0, 29.0, 1),
    ],
)
def test_what_was_missed_is_made_up_for_as_long_as_the_timer_says(
    catch_up: float, late: float, jobs: int
) -> None:
    spec = timer("t", "100000", catch_up=catch_up)
    host = booted_with(spec, 200_000 + late, seen=99_000.0)
    assert spawns(host) == jobs
    assert seen(host) == host.now
    assert ("firing missed" in host.tells("t")) is not jobs


def test_the_time_to_make_up_counts_from_the_last_firing() -> None:
    host = booted_with(timer("t", "100", catch_up=60.0), 100_050, seen=1000.0)
    assert spawns(host) == 1


def test_nothing_is_missed_before_a_timer_is_first_armed() -> None:
    host = PureHost.of(timer("t"))
    assert seen(host) == 1000.0
    assert spawns(host) == 0


def test_nothing_is_missed_while_the_operator_had_it_stopped() -> None:
    host = PureHost.of(timer("t"))
    host.stop("t")
    host.pass_time(500)
    host.start("t")
    assert spawns(host) == 0
    assert view(host).fires_at == 1600


def test_nothing_is_missed_while_it_was_disabled() -> None:
    kept = {"t": Remembered(None, enabled=False, firings=Firings(10.0, "calendar 100 None 0"))}
    host = PureHost.of(timer("t"), remembered=kept)
    host.pass_time(500)
    host.ask(Verb.ENABLE, "t")
    assert host.running() == ["t"]
    assert spawns(host) == 0


def test_nothing_is_missed_by_a_timer_that_an_earlier_boot_armed_by_command() -> None:
    host = booted_with(timer("t", autostart=False), 5000.0, seen=1000.0)
    host.pass_time(500)
    host.start("t")
    assert spawns(host) == 0


def test_what_other_times_let_pass_is_not_missed() -> None:
    kept = {"t": Remembered(None, enabled=True, firings=Firings(10.0, "calendar 7 None 0"))}
    assert spawns(PureHost.of(timer("t"), remembered=kept)) == 0


def test_a_firing_while_a_restart_is_under_way_is_made_up_for() -> None:
    host = PureHost.of(timer("t"), service("web", requires=["t"]))
    host.stubborn.add("web")
    host.pass_time(97)
    host.restart("t")
    host.did()
    host.pass_time(5)
    assert host.did() == ["kill web", "spawn t", "spawn web", "answer t done"]


def test_what_is_known_of_a_timer_that_is_gone_is_forgotten() -> None:
    past = Firings(10.0, "calendar 100 None 0")
    kept = {"gone": Remembered(None, enabled=False, firings=past)}
    host = PureHost.of(timer("t"), remembered=kept)
    assert host.remembered[Name("gone")] == Remembered(None, enabled=False)


# The clock is set


def test_a_clock_set_forward_over_a_firing_makes_up_for_it() -> None:
    host = PureHost.of(timer("t"))
    host.set_clock(150)
    assert spawns(host) == 1
    host.exits("t", CLEAN)
    host.pass_time(50)
    assert spawns(host) == 1


def test_a_clock_set_back_repeats_nothing() -> None:
    host = PureHost.of(timer("t"))
    host.pass_time(100)
    host.exits("t", CLEAN)
    host.did()
    host.set_clock(-50)
    host.pass_time(149)
    assert host.did() == []
    host.pass_time(1)
    assert host.did() == ["spawn t"], "the next that is not settled"


def test_a_timer_that_is_started_anew_after_its_clock_was_set_back_repeats_nothing() -> None:
    host = PureHost.of(timer("t"))
    host.pass_time(100)
    host.exits("t", CLEAN)
    host.set_clock(-50)
    host.stop("t")
    host.start("t")
    host.did()
    host.pass_time(149)
    assert host.did() == []


def test_a_clock_set_back_over_no_firing_silences_nothing() -> None:
    host = PureHost.of(timer("t"))
    host.now += 50
    host.set_clock(-500)
    assert view(host).fires_at == 600
    host.pass_time(50)
    assert spawns(host) == 1


def test_a_timer_that_was_stopped_before_its_clock_was_set_back_is_not_silenced() -> None:
    host = PureHost.of(timer("t"))
    host.stop("t")
    host.set_clock(-500)
    host.start("t")
    host.pass_time(100)
    assert spawns(host) == 1


DAY = 86_400.0


def test_a_firing_is_not_repeated_because_the_clock_was_wrong_for_a_while() -> None:
    week = 7 * DAY
    host = booted_with(timer("t", str(week)), 1000.0, seen=100 * week + 100)
    assert seen(host) == 1000, "a clock without a battery begins anew"
    host.set_clock(100 * week + 2 * DAY - host.instant().wall)
    assert spawns(host) == 0
    assert seen(host) == 100 * week + 100
    assert view(host).fires_at == 101 * week
    host.set_clock(week)
    assert spawns(host) == 1


def test_a_firing_is_not_repeated_though_the_clock_comes_back_a_little_early() -> None:
    host = booted_with(timer("t"), 1000.0, seen=10 * DAY)
    host.pass_time(100)
    host.exits("t", CLEAN)
    host.set_clock(10 * DAY - 250 - host.instant().wall)
    assert spawns(host) == 1, "the one of the wrong time"
    host.pass_time(250)
    assert spawns(host) == 0
    host.pass_time(100)
    assert spawns(host) == 1


def test_a_clock_that_gets_there_by_itself_lets_the_timer_fire_on_the_way() -> None:
    host = booted_with(timer("t", "10000"), 1000.0, seen=2 * DAY)
    for _ in range(20):
        host.pass_time(10_000)
        assert spawns(host) == 1
        host.exits("t", CLEAN)


def test_a_clock_that_is_wrong_twice_forgets_neither() -> None:
    host = booted_with(timer("t"), 10 * DAY, seen=20 * DAY)
    host.set_clock(-5 * DAY)
    assert found(host).firings.ahead == 20 * DAY


def test_what_was_given_up_far_ahead_does_not_silence_what_was_settled_near() -> None:
    host = PureHost.of(timer("t"))
    host.pass_time(100)
    host.exits("t", CLEAN)
    hold(host)
    host.set_clock(2 * DAY)
    host.ask(Verb.RELEASE, "t")
    host.set_clock(-2 * DAY - 50)
    host.did()
    assert seen(host) == 1100
    host.pass_time(149)
    assert host.did() == []
    host.pass_time(1)
    assert host.did() == ["spawn t"]


def test_a_clock_that_was_wrong_by_days_counts_for_nothing() -> None:
    host = PureHost.of(timer("t"))
    host.set_clock(1_000_000)
    host.exits("t", CLEAN)
    host.did()
    host.set_clock(-1_000_000)
    assert seen(host) == 1000.0
    host.pass_time(100)
    assert host.did() == ["spawn t"]


def test_services_without_a_timer_do_not_mind_the_clock() -> None:
    host = PureHost.of(service("web"), timer("t", autostart=False))
    host.did()
    host.set_clock(100)
    assert host.did() == []


# By hand


def test_a_trigger_runs_the_job_now_and_leaves_the_next_firing() -> None:
    host = PureHost.of(timer("t"))
    ticket = host.ask(Verb.TRIGGER, "t")
    assert host.did() == ["spawn t", "answer t done"]
    assert host.result(ticket) == "done"
    assert found(host).job is not None
    host.exits("t", CLEAN)
    assert view(host).fires_at == 1100
    host.pass_time(100)
    assert spawns(host) == 1


def test_a_trigger_beside_a_job_fails() -> None:
    host = PureHost.of(timer("t"))
    host.ask(Verb.TRIGGER, "t")
    (report,) = host.reports(host.ask(Verb.TRIGGER, "t"))
    assert (str(report.result), report.message) == ("failed", "t: a job of it is under way")
    assert spawns(host) == 1


def test_a_trigger_of_what_is_not_armed_fails() -> None:
    host = PureHost.of(timer("t", autostart=False), service("web"))
    (timed, untimed) = host.reports(host.ask(Verb.TRIGGER, "t", "web"))
    assert timed.message == "t: its timer is not armed; virtsupctl start arms it"
    assert untimed.message == "web: it has no timer"
    assert str(timed.result) == str(untimed.result) == "failed"


def test_a_trigger_whose_job_cannot_be_made_fails_and_says_why() -> None:
    host = PureHost.of(timer("t"))
    host.fails_to_spawn("t", permanent=False)
    (report,) = host.reports(host.ask(Verb.TRIGGER, "t"))
    assert report.message == "t: its job could not be started: exec: no such file"
    assert str(report.result) == "failed"


def test_a_trigger_whose_timer_is_stopped_meanwhile_fails() -> None:
    host = PureHost.of(timer("t"))
    host.held.add("t")
    first = host.ask(Verb.TRIGGER, "t")
    assert first not in host.answers, "there is no process yet"
    host.stop("t")
    assert [r.message for r in host.reports(first)] == ["t: its job was stopped"]


def test_a_trigger_that_is_cut_off_does_not_report_the_job_before() -> None:
    host = PureHost.of(timer("t"))
    host.pass_time(100)
    host.exits("t", FAILED)
    host.held.add("t")
    first = host.ask(Verb.TRIGGER, "t")
    host.stop("t")
    assert [r.message for r in host.reports(first)] == ["t: its job was stopped"]


def test_nothing_fires_while_a_timer_is_held_and_none_is_made_up_for() -> None:
    host = PureHost.of(timer("t"))
    assert hold(host) == "done"
    assert view(host).fires_at is None
    assert view(host).held_until == math.inf
    assert host.reason("t").startswith("held")
    host.pass_time(550)
    assert host.did() == ["answer t done"]
    host.ask(Verb.RELEASE, "t")
    assert host.did() == ["answer t done"]
    assert view(host).fires_at == 1600
    assert host.reason("t") == ""


def test_a_timer_that_is_held_can_be_triggered() -> None:
    host = PureHost.of(timer("t"))
    hold(host)
    assert host.result(host.ask(Verb.TRIGGER, "t")) == "done"


def test_a_hold_ends_by_itself() -> None:
    host = PureHost.of(timer("t"))
    hold(host, 1250.0)
    assert (view(host).fires_at, view(host).held_until) == (1300, 1250)
    host.pass_time(250)
    assert host.tells("t")[-1] == "timer released"
    assert (view(host).fires_at, view(host).held_until) == (1300, None)
    assert spawns(host) == 0
    host.pass_time(50)
    assert spawns(host) == 1


def test_a_hold_outlives_a_boot() -> None:
    host = booted_with(timer("t"), 1500.0, seen=1000.0, held_until=1750.0)
    host.pass_time(299)
    assert spawns(host) == 0
    host.pass_time(1)
    assert spawns(host) == 1


def test_a_hold_that_ended_while_the_host_was_off_covers_its_time_alone() -> None:
    host = booted_with(timer("t"), 1750.0, seen=1000.0, held_until=1550.0)
    assert spawns(host) == 1, "1600 and 1700 were missed"


def test_a_release_of_what_is_not_held_settles_nothing() -> None:
    host = PureHost.of(service("db"), timer("t", requires=["db"]))
    host.fails_to_spawn("db", permanent=True)
    host.exits("db")
    host.pass_time(150)
    assert host.result(host.ask(Verb.RELEASE, "t")) == "done"
    assert view(host).missed_at == 1100


def test_what_has_no_timer_cannot_be_held() -> None:
    host = PureHost.of(service("web"))
    for verb in (Verb.HOLD, Verb.RELEASE):
        (report,) = host.reports(host.ask(verb, "web"))
        assert report.message == "web: it has no timer"


# virtsupd dies


@pytest.mark.parametrize("effects", range(12))
def test_a_firing_runs_one_job_at_most_wherever_virtsupd_dies(effects: int) -> None:
    host = PureHost.of(timer("t"))
    made = host.pids
    host.effects_left = effects
    host.pass_time(100)
    heir = host.successor(away=20.0)
    heir.pass_time(79)
    assert heir.pids - made <= 1
    if heir.processes:
        heir.exits("t", CLEAN)
    heir.pass_time(1)
    assert heir.processes, "the next one runs whatever became of this"


def test_a_job_under_way_goes_on_and_its_end_counts() -> None:
    host = PureHost.of(timer("t", timeout=100.0))
    host.pass_time(110)
    pid = found(host).pid
    heir = host.successor(away=10.0)
    assert heir.did() == ["adopt t"]
    assert found(heir).pid == pid
    heir.exits("t", FAILED)
    assert heir.reason("t") == "degraded: its last job exited with code 1"
    (run,) = found(heir).runs
    assert (run.began, run.ended) == (1100, 1120)


def test_a_job_may_not_run_longer_because_virtsupd_was_away() -> None:
    host = PureHost.of(timer("t", timeout=50.0))
    host.pass_time(110)
    heir = host.successor(away=10.0)
    heir.pass_time(29)
    assert heir.did() == ["adopt t"]
    heir.pass_time(1)
    assert heir.did() == ["terminate t"]


@pytest.mark.parametrize("effects", range(12))
def test_a_job_may_not_run_longer_because_virtsupd_died_when_it_began(effects: int) -> None:
    host = PureHost.of(timer("t", timeout=30.0))
    host.effects_left = effects
    host.pass_time(100)
    heir = host.successor(away=1.0)
    heir.pass_time(31)
    assert found(heir).job is None


def test_a_job_without_a_deadline_gets_none_from_a_successor() -> None:
    host = PureHost.of(timer("t"))
    host.held.add("t")
    host.pass_time(100)
    host.held.clear()
    made = host.pids + 1
    host.records[T] = host.processes[T] = Process(made, found(host).generation)
    heir = host.successor(away=1.0)
    assert found(heir).pid == made
    reloaded = heir.successor(timer("t", timeout=30.0))
    reloaded.pass_time(50)
    assert found(reloaded).pid == made


def test_a_job_that_ended_meanwhile_is_judged_by_its_status() -> None:
    host = PureHost.of(timer("t"))
    host.pass_time(100)
    heir = host.successor(died={"t": CLEAN}, away=10.0)
    assert heir.running() == ["t"]
    assert heir.reason("t") == ""
    other = PureHost.of(timer("t"))
    other.pass_time(100)
    lost = other.successor(died={"t": UNKNOWN}, away=10.0)
    assert lost.reason("t") == "degraded: its last job ended in an unknown way"


def test_a_job_that_was_never_made_is_lost_and_said_to_be() -> None:
    host = PureHost.of(timer("t"))
    host.held.add("t")
    host.pass_time(100)
    host.held.clear()
    heir = host.successor(lost=["t"], away=10.0)
    assert spawns(heir) == 0
    assert heir.reason("t").startswith("degraded: its last job was lost")
    heir.pass_time(90)
    assert spawns(heir) == 1


def test_a_job_that_was_being_ended_is_ended_further() -> None:
    host = PureHost.of(timer("t", timeout=10.0))
    host.stubborn.add("t")
    host.pass_time(112)
    heir = host.successor(away=1.0)
    assert heir.did() == ["adopt t", "terminate t"]
    heir.pass_time(5)
    assert heir.did() == ["kill t"]
    assert heir.reason("t") == "degraded: its last job ran longer than 10 s"


def test_a_timer_that_was_stopping_with_its_job_goes_on_stopping() -> None:
    host = PureHost.of(timer("t"))
    host.stubborn.add("t")
    host.pass_time(100)
    host.stop("t")
    heir = host.successor()
    assert heir.did() == ["adopt t", "terminate t"]
    heir.pass_time(5)
    assert heir.did() == ["kill t"]
    assert heir.state("t") is State.STOPPED


def test_what_was_missed_while_virtsupd_was_away_is_made_up_for_once() -> None:
    host = PureHost.of(timer("t"))
    heir = host.successor(away=350.0)
    assert spawns(heir) == 1
    heir.exits("t", CLEAN)
    heir.pass_time(49)
    assert spawns(heir) == 0


def test_a_timer_without_a_job_needs_no_adoption() -> None:
    host = PureHost.of(timer("t"))
    since = found(host).since
    heir = host.successor(away=50.0)
    assert heir.did() == []
    assert found(heir).since == since
    heir.pass_time(50)
    assert spawns(heir) == 1


def test_a_host_without_a_calendar_fires_nothing() -> None:
    engine = Engine(ServiceGraph.build([timer("t")]), {})
    engine.advance(Booted(), Instant(0.0, 0.0))
    shown = engine.snapshot(T).timer
    assert shown is not None
    assert shown.fires_at is None


def test_a_job_that_may_not_be_ended_says_so() -> None:
    host = PureHost.of(timer("t"))
    host.unkillable.add("t")
    host.pass_time(100)
    host.exits("t", CLEAN)
    host.post(Told(T, found(host).generation, "denied", "not permitted"))
    assert host.reason("t") == "degraded: its job cannot be ended: not permitted"

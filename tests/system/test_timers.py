"""Timers on a real host: jobs run once for each firing, whatever becomes of virtsupd meanwhile.

A time is a moment of its own, a few seconds ahead, wherever a test is about one firing.
"""

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from tests.support.checks import eventually
from tests.support.daemon import Daemon, Host, Json, host, shell, virtsupd

from virtsupd.process.pidfile import is_alive

pytestmark = pytest.mark.process

SLEEP = shell("exec sleep 1000")
NEVER = "2099-01-01 UTC"
ways = pytest.mark.parametrize("way", ["quit", "kill"])


def soon(seconds: float = 2.0) -> tuple[float, str]:
    """Return a moment in a few seconds, and the expression that means it alone."""
    at = int(time.time() + seconds) + 1
    return at, time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(at))


def await_moment(at: float) -> None:
    eventually(lambda: time.time() >= at, "the moment")


def service(name: str, line: str, when: str, more: str = "") -> str:
    return f"[service.{name}]\ncommand = {shell(line)}\ntimer = {when!r}\n{more}\n"


def timer(daemon: Daemon, name: str) -> Json:
    return dict(daemon.status(name)["timer"])


def runs(daemon: Daemon, name: str, count: int) -> list[Json]:
    """Return a timer's runs, newest first, once there are so many."""
    found = daemon.await_status(name, lambda s: len(s["timer"]["runs"]) >= count, f"{count} runs")
    return list(found["timer"]["runs"])


def leave(daemon: Daemon, way: str) -> None:
    daemon.quit() if way == "quit" else daemon.kill()


@contextmanager
def waiting_job(when: str = NEVER, more: str = "") -> Iterator[Host]:
    """Yield a host with a timer `job` whose jobs wait for a file `go`, which says how they end."""
    with host() as made:
        go = made.root / "go"
        line = f"echo began; until [ -s {go} ]; do sleep 0.02; done; echo ends; exit $(cat {go})"
        made.write(service("job", line, when, more))
        yield made


def test_every_second_runs_one_job_and_never_two_at_a_time() -> None:
    with host() as made:
        lock = made.root / "lock"
        made.write(service("tick", f"mkdir {lock} || echo overlap; rmdir {lock}", "*:*:*"))
        with made.started() as daemon:
            seconds = [int(run["began"]) for run in runs(daemon, "tick", 4)]
            assert sorted(set(seconds), reverse=True) == seconds, "one a second"
            assert daemon.state("tick") == "running"
            assert made.log("tick") == ""


def test_a_firing_that_cannot_be_written_down_runs_no_job_and_says_so() -> None:
    with host() as made:
        made.write(service("tick", "echo ran", "*:*:*"))
        with made.started() as daemon:
            runs(daemon, "tick", 1)
            state, away = made.root / "state", made.root / "away"
            state.rename(away)
            text = "could not be started: record: its firing cannot be written down"
            found = daemon.await_status(
                "tick", lambda s: text in (s["reason"] or {}).get("text", ""), "said so"
            )
            assert found["reason"]["kind"] == "degraded"
            ran = len(timer(daemon, "tick")["runs"])
            away.rename(state)
            runs(daemon, "tick", ran + 1)
            daemon.await_status("tick", lambda s: s["reason"] is None, "recovered")


def test_a_firing_during_a_job_is_dropped() -> None:
    with waiting_job("*:*:*") as made, made.started() as daemon:
        made.await_log("job", "began")
        daemon.await_status("job", lambda s: s["timer"]["skipped"] >= 2, "skipped firings")
        assert made.log("job") == "began\n"
        assert daemon.events("firing skipped", service="job")
        (made.root / "go").write_text("0")
        assert runs(daemon, "job", 1)[-1]["text"] == "exited with code 0"


def test_a_job_is_triggered_held_back_and_let_go() -> None:
    with waiting_job() as made, made.started() as daemon:
        assert "its job has been started" in daemon.ctl("trigger", "job").stdout
        assert "a job of it is under way" in daemon.ctl("trigger", "job", expect=1).stderr
        pid = daemon.pid("job")
        assert timer(daemon, "job")["job"]["cause"].endswith("via virtsupctl")
        daemon.ctl("hold", "job")
        assert daemon.reason("job").startswith("held")
        assert is_alive(pid), "a job under way goes on"
        (made.root / "go").write_text("3")
        assert runs(daemon, "job", 1)[0]["text"] == "exited with code 3"
        assert daemon.ask("Trigger", "job")[0] == "done"
        runs(daemon, "job", 2)
        daemon.ctl("release", "job")
        assert daemon.reason("job") == "its last job exited with code 3"
        assert "fires in" in daemon.ctl("status").stdout
        assert "virtsupctl" not in daemon.ctl("status", "job").stdout
        daemon.ctl("hold", "job", "--for", "1ms")
        daemon.await_status("job", lambda s: not s["timer"]["held"], "the end of the hold")


def test_a_stop_ends_the_job_and_nothing_fires_then() -> None:
    with waiting_job() as made, made.started() as daemon:
        daemon.ask("Trigger", "job")
        pid = daemon.pid("job")
        assert daemon.ask("Stop", "job")[0] == "done"
        assert not is_alive(pid)
        assert daemon.ask("Trigger", "job") == (
            "failed",
            "job: its timer is not armed; virtsupctl start arms it",
        )


def test_a_job_that_runs_too_long_is_ended_with_all_it_started() -> None:
    line = "sleep 1000 & echo $!; wait"
    when = f"{{ calendar = '{NEVER}', timeout = '300ms' }}"
    text = f"[service.job]\ncommand = {shell(line)}\ntimer = {when}\n"
    with virtsupd(text) as daemon:
        daemon.ask("Trigger", "job")
        child = int(daemon.host.await_log("job", "\n"))
        runs(daemon, "job", 1)
        daemon.await_status("job", lambda s: s["timer"]["job"] is None, "the end of the job")
        assert daemon.reason("job") == "its last job ran longer than 0.3 s"
        assert not is_alive(child)


def test_a_job_without_its_program_has_failed_and_says_so() -> None:
    text = f"[service.job]\ncommand = ['/nowhere/job']\ntimer = '{NEVER}'\n"
    with virtsupd(text) as daemon:
        result, message = daemon.ask("Trigger", "job")
        assert result == "failed"
        assert "/nowhere/job" in message
        assert daemon.state("job") == "running"
        assert daemon.events("job failed", service="job")


@ways
def test_a_job_under_way_goes_on_without_virtsupd_and_is_taken_over(way: str) -> None:
    with waiting_job() as made:
        with made.started() as daemon:
            daemon.ask("Trigger", "job")
            made.await_log("job", "began")
            pid, before = daemon.pid("job"), timer(daemon, "job")["job"]
            leave(daemon, way)
        assert is_alive(pid)
        with made.started() as daemon:
            assert daemon.pid("job") == pid
            assert timer(daemon, "job")["job"] == before
            assert daemon.ask("Trigger", "job")[0] == "failed", "no second one beside it"
            (made.root / "go").write_text("4")
            (run,) = runs(daemon, "job", 1)
            assert (run["text"], run["began"]) == ("exited with code 4", before["began"])
            assert made.await_log("job", "ends\n") == "began\nends\n"


@ways
@pytest.mark.parametrize("code", [0, 5])
def test_a_job_that_ended_meanwhile_is_judged_by_how_it_did(way: str, code: int) -> None:
    with waiting_job() as made:
        with made.started() as daemon:
            daemon.ask("Trigger", "job")
            made.await_log("job", "began")
            pid = daemon.pid("job")
            leave(daemon, way)
        (made.root / "go").write_text(str(code))
        made.await_log("job", "ends")
        eventually(lambda: not is_alive(pid), "its end")
        with made.started() as daemon:
            (run,) = runs(daemon, "job", 1)
            assert run["text"] == f"exited with code {code}"
            expected = f"its last job exited with code {code}" if code else ""
            assert daemon.reason("job") == expected
            assert made.log("job") == "began\nends\n", "it did not run twice"


@ways
def test_a_firing_that_virtsupd_missed_is_made_up_for_once(way: str) -> None:
    at, when = soon()
    with host(service("job", "echo ran", when)) as made:
        with made.started() as daemon:
            assert timer(daemon, "job")["fires_at"] == at
            leave(daemon, way)
        await_moment(at)
        assert made.log("job") == ""
        for _ in range(2):
            with made.started() as daemon:
                runs(daemon, "job", 1)
                leave(daemon, way)
        assert made.await_log("job", "ran\n") == "ran\n"
        with made.started():
            pass


@pytest.mark.parametrize(("catch_up", "ran"), [("false", ""), ("'1h'", "ran\n")])
def test_a_firing_is_made_up_for_as_long_as_its_timer_says(catch_up: str, ran: str) -> None:
    past = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(time.time() - 60))
    when = f"{{ calendar = '{past}', catch_up = {catch_up} }}"
    text = f"[service.job]\ncommand = {shell('echo ran')}\ntimer = {when}\n"
    with host(text) as made:
        with made.started() as daemon:
            assert timer(daemon, "job")["fires_at"] is None, "it was armed too late"
            daemon.shutdown()
        state = made.root / "state/timers.json"
        content = json.loads(state.read_text())
        content["services"]["job"]["seen"] -= 3600
        state.write_text(json.dumps(content))
        with made.started() as daemon:
            if ran:
                runs(daemon, "job", 1)
            else:
                daemon.await_event("firing missed", service="job")
            assert len(timer(daemon, "job")["runs"]) == bool(ran)
            daemon.shutdown()
        assert made.log("job") == ran


def test_a_firing_waits_for_what_the_timer_requires() -> None:
    at, when = soon()
    text = service("job", "echo ran", when, "requires = ['db']")
    with virtsupd(f"[service.db]\ncommand = {SLEEP}\n{text}") as daemon:
        daemon.ask("Stop", "db")
        await_moment(at)
        assert daemon.host.log("job") == ""
        daemon.ask("Start", "db")
        runs(daemon, "job", 1)
        daemon.ask("Restart", "db")
        daemon.await_state("job", "running")
        assert daemon.host.await_log("job", "ran\n") == "ran\n"


def test_however_often_virtsupd_dies_no_firing_runs_two_jobs() -> None:
    # Seconds, in which a successor has begun: a firing that it repeats is none of a later time.
    period = 3
    began: set[float] = set()

    def note(daemon: Daemon) -> None:
        began.update(run["began"] for run in timer(daemon, "tick")["runs"])

    with host(service("tick", "date +%s.%N", f"*:*:0/{period}")) as made:
        for _ in range(4):
            with made.started() as daemon:
                before = len(made.log("tick"))
                eventually(lambda: len(made.log("tick")) > before, "another job")  # noqa: B023 - called at once
                note(daemon)
                daemon.kill()
        with made.started() as daemon:
            assert daemon.state("tick") == "running"
            daemon.ask("Stop", "tick")
            note(daemon)
        jobs = made.log("tick").splitlines()
        # The stop may have ended a job before it printed anything.
        assert 4 <= len(jobs) <= len(began), f"each job is one run: {jobs}, {sorted(began)}"
        assert len({at // period for at in began}) == len(began), f"more than firings: {began}"


def test_a_timer_is_explained() -> None:
    text = service("job", "exit 3", NEVER)
    with virtsupd(text) as daemon:
        assert "fires next at 2099-01-01" in daemon.ctl("why", "job").stdout
        daemon.ask("Trigger", "job")
        runs(daemon, "job", 1)
        said = daemon.ctl("why", "job").stdout
        assert "its last job exited with code 3" in said
        page = daemon.ctl("status", "job").stdout
        assert "Last runs" in page
        assert os.linesep in page


def test_a_changed_process_is_the_next_job_s_and_changed_times_hold_at_once() -> None:
    with host(service("job", "echo one", NEVER)) as made, made.started() as daemon:
        daemon.ask("Trigger", "job")
        runs(daemon, "job", 1)
        made.write(service("job", "echo two", "*:*:*"))
        daemon.ctl("reload")
        assert not daemon.status("job")["replacement_pending"]
        made.await_log("job", "one\ntwo\n")

"""Timers as the user of GNU Shepherd 1.0's own `herd` sees them."""

import time
from pathlib import Path

import pytest
from tests.support.checks import eventually
from tests.support.daemon import Daemon, host, shell, virtsupd
from tests.support.real_herd import Outcome, herd_installed

pytestmark = [pytest.mark.component, pytest.mark.timeout(330)]

NIGHT = f"[service.night]\ncommand = {shell('echo ran; exit 3')}\ntimer = '2099-01-01 UTC'\n"


def soon(seconds: int = 3) -> str:
    """Return what the host's clock shows in a few seconds."""
    return time.strftime("%H:%M:%S", time.localtime(int(time.time()) + seconds))


def run(daemon: Daemon, *words: str) -> Outcome:
    return herd_installed(daemon.host.socket, *words)


def good(daemon: Daemon, *words: str) -> str:
    outcome = run(daemon, *words)
    assert (outcome.code, outcome.errors) == (0, ""), outcome
    return outcome.output


def await_gone(daemon: Daemon, name: str) -> None:
    def is_gone() -> bool:
        return name not in [found["name"] for found in daemon.call("Status", names=[])["services"]]

    eventually(is_gone, f"the end of {name}")


def test_a_timer_is_triggered_and_shows_its_runs() -> None:
    with virtsupd(NIGHT) as daemon:
        assert "Running timers:\n + night\n" in good(daemon, "status")
        assert "its job has been started" in good(daemon, "trigger", "night")
        daemon.await_status("night", lambda s: s["timer"]["runs"], "a run")
        shown = good(daemon, "status", "night")
        assert "Timed service." in shown
        assert "Periodically running: " in shown
        assert "Process exited with code 3" in shown
        assert "trigger" in good(daemon, "doc", "night", "list-actions")


def test_a_trigger_that_comes_to_nothing_lets_herd_fail() -> None:
    with virtsupd(NIGHT) as daemon:
        good(daemon, "stop", "night")
        outcome = run(daemon, "trigger", "night")
        assert outcome.code == 1
        assert "its timer is not armed" in outcome.errors


def test_a_command_is_scheduled_runs_at_its_time_and_vanishes() -> None:
    with virtsupd(NIGHT) as daemon:
        out = daemon.host.root / "out"
        said = good(
            daemon, "schedule", "timer", "at", soon(), "--", "sh", "-c", f"echo $0 >> {out}", "a b"
        )
        assert said == "Service timer-1 has been started.\n"
        status = daemon.status("timer-1")
        assert (status["kind"], status["transient"]) == ("timer", True)
        assert not out.exists()
        await_gone(daemon, "timer-1")
        assert out.read_text() == "a b\n"
        assert daemon.state("night") == "running", "nothing else has changed"


def test_what_is_scheduled_outlives_virtsupd_and_its_reload() -> None:
    with host(NIGHT) as made:
        out = made.root / "out"
        with made.started() as daemon:
            good(daemon, "schedule", "timer", "at", soon(6), "--", "sh", "-c", f"echo x >> {out}")
            daemon.ctl("reload")
            at = daemon.status("timer-1")["timer"]["fires_at"]
            daemon.kill()
        with made.started() as daemon:
            assert daemon.status("timer-1")["timer"]["fires_at"] == at
            await_gone(daemon, "timer-1")
            assert out.read_text() == "x\n"
            daemon.kill()
        with made.started() as daemon:
            await_gone(daemon, "timer-1")
            assert out.read_text() == "x\n"


def test_herds_own_options_are_taken(tmp_path: Path) -> None:
    with virtsupd() as daemon:
        log = daemon.host.root / "own.log"
        options = ("-N", "alarm", "-d", "/usr", "-E", "WORD=up", f"--log-file={log}")
        good(
            daemon, *options, "schedule", "timer", "at", soon(), "--", "sh", "-c", "pwd; echo $WORD"
        )
        await_gone(daemon, "alarm")
        eventually(lambda: log.read_text() == "/usr\nup\n", "what the job printed")


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("at", "25:00", "--", "true"), "must be a time of the clock"),
        (("at", "10:00"), "needs a time and a command"),
        (("true",), "needs a time and a command"),
    ],
)
def test_what_cannot_be_scheduled_says_why(words: tuple[str, ...], complaint: str) -> None:
    with virtsupd(NIGHT) as daemon:
        outcome = run(daemon, "schedule", "timer", *words)
        assert outcome.code == 1
        assert complaint in outcome.errors
        taken = run(daemon, "-N", "night", "schedule", "timer", "at", "10:00", "--", "true")
        assert "there is a service of that name" in taken.errors

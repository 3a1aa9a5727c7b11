"""Guests that do not behave: late, silent, babbling, hanging up, deaf."""

import pytest
from tests.support.checks import eventually
from tests.support.daemon import Daemon, Json
from tests.support.stand_in import (
    BOOT_SECONDS,
    await_console,
    await_ready,
    await_rung,
    last_exit,
    rungs,
    stand_in,
    unit,
    words,
)

pytestmark = [pytest.mark.component, pytest.mark.timeout(300)]

BOOT_TIMEOUT = 25
"""Seconds within which the stand-in comes to ask for its secrets, and some more."""
QUIT = 'stop = { steps = [{ how = "quit", time = "5s" }] }'


ONCE = unit("respawn = false", QUIT)
ONCE_MORE = unit('respawn = { delay = "0.1s", limit = 1, window = "10min" }', QUIT)


def await_failure(daemon: Daemon) -> Json:
    return daemon.await_status(
        "hurd-vm", lambda s: s["failed"], "its failure", seconds=2 * BOOT_SECONDS
    )


def test_one_that_asks_late_is_waited_for() -> None:
    with stand_in(words("late")) as guest, guest.host.started() as daemon:
        pid = await_ready(daemon)
        assert daemon.status("hurd-vm")["restarts"] == 0
        guest.ssh("test -e /run/secrets-taken")
        assert await_rung(daemon, "agent")["pid"] == pid
        daemon.ctl("stop", "childhurd")


def test_one_that_never_asks_is_started_so_often_and_then_fails_at_its_rung() -> None:
    with (
        stand_in(words("never"), f"boot_timeout = {BOOT_TIMEOUT}", more=ONCE_MORE) as guest,
        guest.host.started() as daemon,
    ):
        found = await_failure(daemon)
        text = f"did not become ready: secrets: not within {BOOT_TIMEOUT} s"
        assert found["reason"]["text"].startswith(text)
        assert "limit is 1 respawn" in found["reason"]["text"]
        assert found["restarts"] == 1
        assert len(found["exits"]) == 2
        assert guest.host.log("hurd-vm").count("STAND-IN-NEVER-ASKS") == 2, "it was just slow"
        assert text in daemon.ctl("why", "childhurd").stdout
        assert rungs(guest.host) == set()


def test_one_that_greets_with_something_else_fails_at_once_and_gets_no_secrets() -> None:
    with (
        stand_in(words("garbage"), more=ONCE) as guest,
        guest.host.started() as daemon,
    ):
        reason = await_failure(daemon)["reason"]["text"]
        assert "secrets: it says b'SSH-2.0-nothing-secret" in reason
        assert "in place of a secret service's greeting" in reason
        assert "STAND-IN-HAS-SECRETS" not in guest.host.log("hurd-vm")


def test_one_that_hangs_up_is_asked_again_until_its_time_is_over() -> None:
    with (
        stand_in(words("hangs-up"), f"boot_timeout = {BOOT_TIMEOUT}", more=ONCE) as guest,
        guest.host.started() as daemon,
    ):
        await_console(guest.host, "STAND-IN-ASKS-FOR-SECRETS")
        said = "waits until ready (machine): secrets: the guest does not listen for its secrets yet"
        eventually(lambda: said in daemon.reason("hurd-vm"), said)
        reason = await_failure(daemon)["reason"]["text"]
        assert reason.startswith(f"did not become ready: secrets: not within {BOOT_TIMEOUT} s: ")


def test_one_without_an_agent_that_is_deaf_to_its_power_button_is_quit() -> None:
    steps = "".join(
        f'{{ how = "{how}", time = "{seconds}s" }}, '
        for how, seconds in (("agent", 60), ("powerdown", 2), ("quit", 10), ("signal", 10))
    )
    stop = unit(f"stop = {{ steps = [{steps}] }}")
    with stand_in(words("deaf", "no-agent"), more=stop) as guest, guest.host.started() as daemon:
        await_ready(daemon)
        assert "rung-agent" not in rungs(guest.host)
        daemon.ctl("--timeout", "0.5", "stop", "childhurd", expect=None)
        daemon.await_status(
            "hurd-vm",
            lambda s: s["status_text"] == "pressed its power button; 2 s for that",
            "its power button",
        )
        daemon.await_state("hurd-vm", "stopped")
        assert last_exit(daemon).startswith("quit through its monitor, 2.")

"""Arguments for one run, with real processes: who has them on its command line, and who has not."""

import os
import signal
from pathlib import Path

import pytest
from tests.support.checks import eventually
from tests.support.daemon import Daemon, end_all, host, virtsupd

pytestmark = pytest.mark.process

LUXID = """
[service.luxid]
command = ["/bin/sh", "-c", "sleep 1000; :", "luxid"]
autostart = false
"""
ONCE = ("--no-voting", "a b")
GIVEN = ("--once", "--no-voting", "--once", "a b")
CONFIGURED = ["/bin/sh", "-c", "sleep 1000; :", "luxid"]


def command_line(daemon: Daemon) -> list[str]:
    """Return what the process of luxid was started with, as the kernel has it."""
    text = Path(f"/proc/{daemon.pid('luxid')}/cmdline").read_text()
    return text.removesuffix("\0").split("\0")


def await_command_line(daemon: Daemon, expected: list[str]) -> None:
    eventually(lambda: command_line(daemon) == expected, f"a process {expected}")


def end_process(daemon: Daemon) -> None:
    """Kill it, and wait for the one that comes after it."""
    os.kill(daemon.pid("luxid"), signal.SIGKILL)
    daemon.await_status("luxid", lambda s: s["restarts"] and s["pid"], "its respawn")


def test_the_process_has_them_and_the_one_that_replaces_it_has_not() -> None:
    with virtsupd(LUXID) as daemon:
        assert daemon.ctl("start", "luxid", *GIVEN).stdout == "luxid is running\n"
        await_command_line(daemon, [*CONFIGURED, *ONCE])
        shown = "was started with --once --no-voting 'a b'"
        assert shown in daemon.ctl("status", "luxid").stdout
        assert shown in daemon.ctl("why", "luxid").stdout
        assert (
            '--once, for that run alone: ["--no-voting", "a b"]'
            in daemon.ctl("cat", "luxid").stdout
        )
        end_process(daemon)
        await_command_line(daemon, CONFIGURED)
        assert "--once" not in daemon.ctl("status", "luxid").stdout


@pytest.mark.parametrize("words", [("restart", "luxid"), ("stop", "luxid")])
def test_a_restart_or_stop_ends_their_time(words: tuple[str, str]) -> None:
    with virtsupd(LUXID) as daemon:
        daemon.ctl("start", "luxid", *GIVEN)
        daemon.ctl(*words)
        daemon.ctl("start", "luxid")
        await_command_line(daemon, CONFIGURED)


def test_one_that_runs_goes_on_as_it_is_and_the_answer_says_so() -> None:
    with virtsupd(LUXID) as daemon:
        daemon.ctl("start", "luxid")
        before = daemon.pid("luxid")
        done = daemon.ctl("start", "luxid", *GIVEN)
        assert done.stdout == "luxid is already running; --once has no effect\n"
        assert (daemon.pid("luxid"), daemon.status("luxid")["once"]) == (before, [])


def test_a_reload_finds_the_definition_unchanged() -> None:
    with virtsupd(LUXID) as daemon:
        daemon.ctl("start", "luxid", *GIVEN)
        before = daemon.pid("luxid")
        daemon.ctl("reload")
        found = daemon.status("luxid")
        assert (found["pid"], found["replacement_pending"]) == (before, False)


def test_one_that_is_disabled_is_enabled_and_started_with_them() -> None:
    with virtsupd(LUXID) as daemon:
        daemon.ctl("disable", "luxid")
        daemon.ctl("start", "luxid", *GIVEN)
        await_command_line(daemon, [*CONFIGURED, *ONCE])
        assert daemon.status("luxid")["enabled"]


def test_the_next_virtsupd_knows_them_of_the_process_and_gives_them_to_no_other() -> None:
    with host(LUXID) as made:
        with made.started() as first:
            first.ctl("start", "luxid", *GIVEN)
            pid = first.pid("luxid")
            first.kill()
        with made.started() as second:
            found = second.await_status("luxid", lambda s: s["pid"] == pid, "its adoption")
            assert (found["once"], found["replacement_pending"]) == ([*ONCE], False)
            second.ctl("reexec")
            assert (second.pid("luxid"), second.status("luxid")["once"]) == (pid, [*ONCE])
            end_process(second)
            await_command_line(second, CONFIGURED)
        end_all(made)


def test_a_target_takes_none() -> None:
    with virtsupd(LUXID + '[service.all]\nrequires = ["luxid"]\n') as daemon:
        done = daemon.ctl("start", "all", "--once", "x", expect=1)
        assert "cannot be given to all: it is a target" in done.stderr

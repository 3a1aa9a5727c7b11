"""What `virtsupctl why` says of real processes: the culprit, its last words, and what comes next."""

import json
import os
import signal
from typing import Any

import pytest
from tests.support.daemon import Daemon, shell, virtsupd

pytestmark = pytest.mark.process

SERVICES = f"""
[service.a]
command = ["/bin/sleep", "1000"]
requires = ["b"]
[service.b]
command = ["/bin/sleep", "1000"]
requires = ["c"]
[service.c]
command = {shell("echo no database >&2; kill -SEGV $$")}
ready = "notify"
respawn = {{ delay = "10ms", limit = 1 }}
[service.front]
command = ["/bin/sleep", "1000"]
requires = ["middle"]
[service.middle]
command = ["/bin/sleep", "1000"]
requires = ["bottom"]
[service.bottom]
command = ["/bin/sleep", "1000"]
[service.stubborn]
command = {shell("trap '' TERM; echo set; exec sleep 1000")}
ready = {{ kind = "log-line", pattern = "set" }}
stop = {{ delay = "1min" }}
autostart = false
"""


def why(daemon: Daemon, name: str) -> tuple[list[str], list[str]]:
    """Return who is shown below whom, and the page's other rows without what depends on the time."""
    lines = daemon.ctl("why", name).stdout.splitlines()
    heads = [line.partition(" since ")[0] for line in lines if " since " in line]
    rows = [line.strip().partition(" ago")[0] for line in lines if " since " not in line]
    return heads, rows


def explained(daemon: Daemon, name: str) -> Any:
    """Return the one explanation that --json prints."""
    (found,) = json.loads(daemon.ctl("--json", "why", name).stdout)["explanations"]
    return found


def test_a_crash_at_the_bottom_of_a_chain_is_named_with_its_last_words() -> None:
    with virtsupd(SERVICES) as daemon:
        failed = daemon.await_status("c", lambda found: found["failed"], "its failure")
        heads, rows = why(daemon, "a")
        assert heads == ["~ a: stopped", "  ~ b: stopped", "    ! c: failed"]
        reason = "ended by SIGSEGV before it was ready; the limit is 1 respawns within 30 s"
        assert f"Why           {reason}" in rows
        assert "Next          starts when c runs" in rows
        text = "stays down until somebody starts it, or what needs it: virtsupctl start c"
        assert f"Next          {text}" in rows
        assert "| no database" in rows
        assert any(row.startswith("Last exit     ended by SIGSEGV, ") for row in rows)

        found = explained(daemon, "a")
        assert (found["name"], found["culprits"]) == ("a", ["c"])
        culprit = found["links"][-1]
        assert culprit["service"]["last_exit"]["signal"] == "SIGSEGV"
        assert (culprit["since"], culprit["next"]["command"]) == (failed["since"], ["start", "c"])
        assert culprit["log"][-1] == "no database"

        assert "no service" in daemon.ctl("why", "nobody", expect=4).stderr


def test_a_stop_by_an_operator_is_named_and_undone_as_it_says() -> None:
    with virtsupd(SERVICES) as daemon:
        daemon.await_state("front", "running")
        heads, rows = why(daemon, "front")
        assert heads == ["+ front: running"]
        assert "Why           as wanted" in rows

        daemon.ctl("stop", "bottom")
        heads, rows = why(daemon, "front")
        assert heads == ["~ front: stopped", "  ~ middle: stopped", "    - bottom: stopped"]
        assert any(row.startswith("Why           stopped by root via virtsupctl, ") for row in rows)
        assert "Next          starts when bottom runs" in rows
        found = explained(daemon, "front")
        assert found["culprits"] == ["bottom"]
        bottom = found["links"][-1]
        assert bottom["since"] == daemon.status("bottom")["wanted_since"]
        assert bottom["log"] == []

        daemon.ctl(*bottom["next"]["command"])
        daemon.await_state("front", "running")
        assert explained(daemon, "front")["culprits"] == []


def test_a_stop_under_way_says_when_it_goes_on() -> None:
    with virtsupd(SERVICES) as daemon:
        daemon.ctl("start", "stubborn")
        daemon.ctl("--timeout", "100ms", "stop", "stubborn", expect=7)
        found = explained(daemon, "stubborn")
        (link,) = found["links"]
        assert (link["why"], link["next"]["then"]) == (
            "stopped by root via virtsupctl",
            "stays down",
        )
        assert link["next"]["kind"] == "ends"
        assert link["next"]["at"] == pytest.approx(link["service"]["since"] + 60, abs=1)
        os.kill(daemon.pid("stubborn"), signal.SIGKILL)
        daemon.await_state("stubborn", "stopped")

"""What an operator reads of a crash, of a start that fails behind another, and of many services."""

import pytest
from tests.support.daemon import Daemon, shell, virtsupd

pytestmark = pytest.mark.process

SERVICES = f"""
[service.crash]
command = {shell("read line < /dev/null; exit 3")}
respawn = {{ delay = "10ms", limit = 1 }}
autostart = false
[service.broken]
command = {shell("echo cannot >&2; exit 7")}
ready = "notify"
respawn = false
autostart = false
[service.needs-broken]
command = ["/bin/sleep", "1000"]
requires = ["broken"]
autostart = false
[service.child1]
command = ["/bin/sleep", "1000"]
user = "nobody"
log = false
limits = {{ nofile = 64 }}
sockets = [{{ name = "web", listen = "@what-is-told" }}]
health = {{ kind = "exec", command = ["/bin/true"], interval = "1min" }}
[service.child2]
command = ["/bin/sleep", "1000"]
"""


def lines(daemon: Daemon, *words: str) -> list[str]:
    """Return what virtsupctl says, without the times at the begin of its lines."""
    return [line.rpartition("  ")[2] for line in daemon.ctl(*words).stdout.splitlines()]


def test_an_operator_is_told_what_happened() -> None:
    with virtsupd(SERVICES) as daemon:
        daemon.ctl("start", "crash", expect=None)
        daemon.await_status("crash", lambda found: found["failed"], "its failure")
        told = [line for line in lines(daemon, "log", "-n", "50") if line.startswith("crash ")]
        assert told.count("crash exited with code 3") == 2
        assert told[-1].startswith("crash failed: exited with code 3; the limit is 1 respawns")
        assert "crash stopping" not in told

        failed = daemon.ctl("start", "needs-broken", expect=1).stderr
        assert failed.endswith("  | cannot\n  more: virtsupctl status broken\n")

        silent = daemon.ctl("log", "child1")
        assert silent.stdout == ""
        assert silent.stderr == "child1 has no log: its output is not kept (log = false)\n"

        page = daemon.ctl("status", "child1").stdout
        for label, text in (
            ("User", "nobody"),
            ("Limits", "nofile 64"),
            ("Sockets", "@what-is-told (web)"),
            ("Ready", "as soon as it is started"),
            ("Health", "exec, command /bin/true, within 10 s, every 1 min;"),
        ):
            assert f"  {label:<12}  {text}" in page

        assert daemon.ctl("stop", "child*").stdout.count("has been stopped") == 2
        assert daemon.state("child1") == daemon.state("child2") == "stopped"
        assert daemon.state("crash") == "stopped"
        assert "no service fits 'x*'" in daemon.ctl("status", "x*", expect=4).stderr

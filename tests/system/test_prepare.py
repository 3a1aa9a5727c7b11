"""What has to be done before each start of a service is done, or it does not start."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.support.checks import eventually, text_of
from tests.support.daemon import Daemon, Host, host, shell

pytestmark = pytest.mark.process


def web(made: Host, prepare: str, *keys: str) -> str:
    """A service that starts only after its preparation, which sees the directory as its first argument."""
    command = shell(f"rm {made.root}/prepared && exec sleep 1000")
    before = f'["/bin/sh", "-c", "{prepare}", "sh", "{made.root}"]'
    return "\n".join(("[service.web]", f"command = {command}", f"prepare = {before}", *keys, ""))


@contextmanager
def running(prepare: str, *keys: str) -> Iterator[Daemon]:
    with host() as made:
        made.write(web(made, prepare, *keys))
        with made.started() as daemon:
            yield daemon


GOOD = "echo x >> $1/times; touch $1/prepared"


def times(daemon: Daemon) -> int:
    return text_of(daemon.host.root / "times").count("x")


def test_it_comes_before_each_process_also_of_a_respawn_and_a_restart() -> None:
    with running(GOOD) as daemon:
        daemon.await_status("web", lambda s: s["state"] == "running", "its start")
        first = daemon.pid("web")
        os.kill(first, signal.SIGKILL)
        daemon.await_status("web", lambda s: s["pid"] not in (None, first), "its respawn")
        assert daemon.ask("Restart", "web")[0] == "done"
        assert times(daemon) == 3
        assert daemon.status("web")["state"] == "running"


def test_a_start_whose_preparation_fails_is_tried_again_and_says_why() -> None:
    keys = "respawn = { delay = 0.05, factor = 1, limit = 3, window = 60 }"
    with running("echo no room >&2; echo x >> $1/times; exit 3", keys) as daemon:
        daemon.await_status("web", lambda s: s["failed"], "that it is given up")
        said = daemon.status("web")["reason"]["text"]
        assert "prepare: exited with code 3: no room" in said
        assert times(daemon) == 4


def test_one_that_takes_too_long_is_ended() -> None:
    with host() as made:
        before = f'{{ command = ["/bin/sh", "-c", "echo $$ > {made.root}/pid; exec sleep 1000"], timeout = 0.2 }}'
        made.write(
            f'[service.web]\ncommand = ["/bin/sleep", "1"]\nprepare = {before}\nrespawn = false\n'
        )
        with made.started() as daemon:
            daemon.await_status("web", lambda s: s["failed"], "its failure")
            assert "prepare: no end within 0.2 s" in daemon.status("web")["reason"]["text"]
            eventually(lambda: is_gone(int(text_of(made.root / "pid"))), "its end")


SLOW = "touch $1/prepared; echo $$ > $1/pid.new; mv $1/pid.new $1/pid; exec sleep 1000"


def preparing(daemon: Daemon) -> int:
    """Return the pid of what prepares, once it does."""
    file = daemon.host.root / "pid"
    eventually(file.exists, "its preparation")
    pid = int(file.read_text())
    file.unlink()
    return pid


def is_gone(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists()


def test_a_stop_meanwhile_ends_it_and_nothing_is_started() -> None:
    with running(SLOW) as daemon:
        pid = preparing(daemon)
        found = daemon.status("web")
        assert (found["state"], found["pid"]) == ("starting", None)
        assert "prepares it" in daemon.ctl("why", "web").stdout
        assert daemon.ask("Stop", "web") == ("done", "web has been stopped")
        eventually(lambda: is_gone(pid), "its end")
        assert (daemon.host.root / "prepared").exists(), "the service itself was never run"


def test_it_ends_with_virtsupd_and_the_next_one_begins_anew() -> None:
    with host() as made:
        made.write(web(made, SLOW))
        with made.started() as daemon:
            pid = preparing(daemon)
            daemon.kill()
            eventually(lambda: is_gone(pid), "that it ends, too")
        with made.started() as daemon:
            assert preparing(daemon) != pid
            assert daemon.ask("Stop", "web")[0] == "done"

"""What a service leaves behind on the host is taken away once it is down and stays so."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.support.checks import eventually, text_of
from tests.support.daemon import Daemon, Host, host, shell

pytestmark = pytest.mark.process


def web(made: Host, *keys: str, clean_up: str = "rm $0", timeout: str = "30s") -> str:
    """A service that leaves a file, and its clean-up, which fails if there is none."""
    left = made.root / "left"
    command = shell(f"touch {left}; exec sleep 1000")
    away = f'command = ["/bin/sh", "-c", "{clean_up}", "{left}"], timeout = "{timeout}"'
    return "\n".join(
        ("[service.web]", f"command = {command}", f"clean_up = {{ {away} }}", *keys, "")
    )


@contextmanager
def running(*keys: str, clean_up: str = "rm $0") -> Iterator[Daemon]:
    with host() as made:
        made.write(web(made, *keys, clean_up=clean_up))
        with made.started() as daemon:
            eventually(lambda: is_left(daemon), "it has left something")
            yield daemon


def is_left(daemon: Daemon) -> bool:
    return (daemon.host.root / "left").exists()


def test_it_goes_with_a_stop_and_stays_over_a_restart() -> None:
    with running() as daemon:
        assert daemon.ask("Restart", "web")[0] == "done"
        eventually(lambda: is_left(daemon), "it is there again, or still")
        assert daemon.ask("Stop", "web") == ("done", "web has been stopped")
        assert not is_left(daemon)


def test_it_goes_with_a_stop_while_the_service_backs_off() -> None:
    with running("respawn = { delay = 1000, max_delay = 1000 }") as daemon:
        os.kill(daemon.pid("web"), signal.SIGKILL)
        daemon.await_status("web", lambda s: s["state"] == "stopped", "its backing off")
        assert is_left(daemon)
        daemon.ask("Stop", "web")
        assert not is_left(daemon)


def test_it_goes_with_a_service_that_fails_for_good_or_leaves_the_configuration() -> None:
    with running("respawn = false") as daemon:
        os.kill(daemon.pid("web"), signal.SIGKILL)
        daemon.await_status("web", lambda s: s["failed"] and s["state"] == "stopped", "its failure")
        assert not is_left(daemon)
        assert daemon.ask("Start", "web")[0] == "done"
        eventually(lambda: is_left(daemon), "it has left something")
        daemon.host.write("")
        daemon.ctl("reload")
        eventually(lambda: not is_left(daemon), "it is taken away")


def test_it_goes_with_the_end_of_virtsupd() -> None:
    with running() as daemon:
        daemon.shutdown()
        assert not is_left(daemon)


def test_a_clean_up_that_fails_or_hangs_is_told_and_holds_nothing_up() -> None:
    with running(clean_up="echo so not; exit 3") as daemon:
        failed = "web is down, and its clean-up failed: exited with code 3: so not"
        assert daemon.ask("Stop", "web") == ("failed", failed)
        assert failed.partition(", and ")[2] in daemon.ctl("status", "web", expect=None).stdout
        assert daemon.ask("Start", "web")[0] == "done"
        assert daemon.ctl("status", "web").stdout.count("clean-up") == 0
        daemon.host.write(web(daemon.host, clean_up="sleep 1000", timeout="50ms"))
        daemon.ctl("reload")
        daemon.ask("Restart", "web")
        failed = "web is down, and its clean-up failed: no end within 0.05 s"
        assert daemon.ask("Stop", "web") == ("failed", failed)


def test_a_clean_up_that_failed_is_run_again_by_another_stop() -> None:
    with running(clean_up="[ -e $0.ready ] && rm $0") as daemon:
        assert daemon.ask("Stop", "web")[0] == "failed"
        assert daemon.ask("Stop", "web")[0] == "failed"
        (daemon.host.root / "left.ready").touch()
        assert "web" in daemon.ctl("stop", "web").stdout
        assert not is_left(daemon)
        assert "clean-up" not in daemon.ctl("status", "web", expect=None).stdout


def test_a_successor_takes_away_what_was_not_taken_away_in_time() -> None:
    """Killed in the middle of a clean-up, virtsupd leaves that to the next one."""
    waits = "mkdir $0.begun && until [ -e $0.go ]; do sleep 0.02; done; rm -f $0"
    with running("respawn = false", clean_up=waits) as daemon:
        os.kill(daemon.pid("web"), signal.SIGKILL)
        eventually((daemon.host.root / "left.begun").exists, "the clean-up has begun")
        daemon.kill()
        with daemon.host.started() as heir:
            eventually(lambda: not is_left(heir), "it is taken away")
            heir.await_status("web", lambda s: s["state"] == "stopped" and s["failed"], "its end")
            (daemon.host.root / "left.go").touch()


def test_one_that_is_at_work_ends_with_virtsupd_and_not_after_the_next_start() -> None:
    with running(clean_up="[ -e $0.pid ] || { echo $$ > $0.pid; sleep 1000; }; rm $0") as daemon:
        stopping = threading.Thread(
            target=daemon.ctl, args=("stop", "web"), kwargs={"expect": None}
        )
        stopping.start()
        made = daemon.host
        pid = eventually(lambda: text_of(made.root / "left.pid").strip(), "its clean-up at work")
        daemon.kill()
        stopping.join()
        eventually(lambda: not Path(f"/proc/{pid}").exists(), "that nobody cleans up any more")
        with made.started() as heir:
            heir.ask("Start", "web")
            eventually(lambda: is_left(heir), "what it leaves")
            heir.ask("Stop", "web")
            assert not is_left(heir)


def test_a_start_after_the_death_of_virtsupd_waits_for_the_clean_up_that_was_cut_short() -> None:
    waits = "[ -e $0.begun ] || { touch $0.begun; sleep 1000; }; rm -f $0; touch $0.done"
    with running(clean_up=waits) as daemon:
        made = daemon.host
        daemon.ctl("stop", "--timeout", "50ms", "web", expect=None)
        eventually((made.root / "left.begun").exists, "its clean-up at work")
        daemon.ctl("start", "--timeout", "50ms", "web", expect=None)
        daemon.await_status("web", lambda s: s["wanted"], "that it is to start")
        daemon.kill()
        with made.started() as heir:
            heir.await_status("web", lambda s: s["state"] == "running", "its start")
            assert (made.root / "left.done").exists()
            eventually(lambda: is_left(heir), "what it leaves stays")

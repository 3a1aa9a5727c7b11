"""What a daemon of root must not do: be led astray in its directories, remove what it did not make."""

import json
import os
import shutil

import pytest
from tests.support.daemon import end_all, host, shell, virtsupd

pytestmark = pytest.mark.process

SLEEP = shell("exec sleep 1000")
WEB = f"[service.web]\ncommand = {SLEEP}\n"
NO_KILL = ("setpriv", "--bounding-set=-kill", "--inh-caps=-kill", "--ambient-caps=-kill")


@pytest.mark.parametrize("place", ["run", "state"])
def test_a_directory_that_anybody_can_write_to_is_refused(place: str) -> None:
    with host(WEB) as made:
        (made.root / place).mkdir()
        (made.root / place).chmod(0o1777)
        refused = made.run()
        assert refused.returncode == 1
        assert f"cannot use the directory {made.root}/{place}: others can" in refused.stderr
        assert f"chmod go-w {made.root}/{place}" in refused.stderr


def test_a_shutdown_leaves_what_was_there_before() -> None:
    with host(WEB) as made:
        made.run_dir.mkdir()
        with made.started() as daemon:
            daemon.await_state("web", "running")
            foreign = [made.run_dir / name for name in ("fifo/dir", "notify/dir", "generated/file")]
            for path in foreign:
                path.mkdir()
        assert sorted(made.run_dir.rglob("*/*")) == sorted(foreign)
        for path in foreign:
            shutil.rmtree(path.parent)
        assert list(made.run_dir.iterdir()) == []


@pytest.mark.parametrize("way", ["shutdown", "quit"])
def test_a_run_directory_that_was_taken_away_keeps_nobody_from_ending(way: str) -> None:
    with host(WEB, settings=f'on_term = "{way}"\n') as made:
        with made.started() as daemon:
            daemon.await_state("web", "running")
            shutil.rmtree(made.run_dir)
            daemon.signal("TERM")
            assert daemon.wait() == 0
            assert "Traceback" not in daemon.output
        if way == "quit":
            end_all(made)


def test_two_of_them_cannot_share_what_they_remember() -> None:
    with virtsupd(WEB) as daemon:
        made = daemon.host
        other = made.root / "other.toml"
        text = made.config.read_text().replace(f"{made.root}/run", f"{made.root}/run2")
        other.write_text(text.replace('cgroup = "', 'cgroup = "other-'))
        made.config.rename(made.root / "first.toml")
        other.rename(made.config)
        refused = made.run()
        assert refused.returncode == 1
        assert f"another virtsupd keeps its state in {made.root}/state" in refused.stderr
        assert daemon.state("web") == "running"
        shutil.rmtree(made.root / "run2")


def test_who_may_not_be_signalled_is_told_and_ends_nothing_else() -> None:
    stop = 'user = "nobody"\nstop = { delay = "50ms", mode = "process" }\n'
    services = f"{WEB}{stop}[service.app]\ncommand = {SLEEP}\n"
    with host(services, prefix=NO_KILL) as made, made.started() as daemon:
        pid = daemon.await_state("web", "running")["pid"]
        with daemon.client as client:
            client.call("Stop", {"names": ["app"]})
        found = json.loads(daemon.ctl("status", "--json", "web", expect=None).stdout)
        assert found["services"][0]["state"] == "running"
        daemon.ctl("--timeout", "1", "stop", "web", expect=None)
        denied = f"cannot be ended: process {pid} cannot be signalled: Operation not permitted"
        assert (daemon.state("web"), daemon.reason("web")) == ("stopping", denied)
        os.kill(pid, 9)
        daemon.await_state("web", "stopped")


@pytest.mark.parametrize("mode", ["process", "group"])
def test_a_forking_daemon_without_a_pid_file_is_not_doubled(mode: str) -> None:
    line = "setsid sh -c 'echo up; exec sleep 1000' & exit 0"
    text = (
        f"[service.web]\ncommand = {shell(line)}\n"
        'ready = { kind = "pid-file", path = "/nonexistent/pid", timeout = "300ms" }\n'
        f'stop = {{ mode = "{mode}", delay = "100ms" }}\n'
        'respawn = { delay = "10ms", limit = 2, window = "10s" }\n'
    )
    with virtsupd(text) as daemon:
        daemon.await_status("web", lambda s: s["failed"], "its failure")
        assert daemon.host.await_log("web", "up\nup\nup\n") == "up\nup\nup\n"
        cgroup = daemon.host.cgroup()
        assert cgroup is not None
        assert cgroup.pids() == ()

"""virtsupd's own life: start, signals, lock, sockets, its log, and how it ends."""

import json
import os
import signal
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.support.checks import eventually
from tests.support.daemon import Daemon, Host, end_all, host, pids_of, shell, terminal, virtsupd

pytestmark = pytest.mark.process

WEB = f"[service.web]\ncommand = {shell('exec sleep 1000')}\n"


@contextmanager
def left_behind(made: Host) -> Iterator[None]:
    """End what the test left on purpose, and its files, which a next virtsupd would take over."""
    try:
        yield
    finally:
        end_all(made)
        with made.started():
            pass


def test_a_shutdown_leaves_nothing() -> None:
    with virtsupd(WEB) as daemon:
        assert daemon.state("web") == "running"
        assert [message.splitlines()[0] for message in daemon.said] == ["READY=1"]
        assert daemon.host.run_dir.stat().st_mode & 0o777 == 0o755
        assert stat.S_IMODE(daemon.host.socket.stat().st_mode) == 0o600
        done = daemon.ctl("shutdown")
        assert "everything is stopped" in done.stdout
        assert daemon.wait() == 0
        assert not daemon.host.run_dir.exists()


def test_it_says_when_it_stops() -> None:
    with virtsupd(WEB) as daemon:
        daemon.shutdown()
    assert "STOPPING=1" in daemon.said


@pytest.mark.parametrize(
    ("on_term", "runs_on"), [("auto", True), ("quit", True), ("shutdown", False)]
)
def test_term_does_what_on_term_says(on_term: str, *, runs_on: bool) -> None:
    with host(WEB, settings=f'on_term = "{on_term}"\n') as made, made.started() as daemon:
        pid = daemon.pid("web")
        daemon.signal("TERM")
        assert daemon.wait() == 0
        assert (pid in pids_of(made)) == runs_on
        if runs_on:
            with left_behind(made):
                assert not made.socket.exists()


@pytest.mark.parametrize("name", ["INT", "TERM"])
def test_in_the_foreground_of_a_terminal_both_signals_are_a_shutdown(name: str) -> None:
    with host(WEB) as made, terminal() as (ours, programs):
        with made.started(terminal=programs) as daemon:
            if name == "INT":
                os.write(ours, b"\x03")
            else:
                # The program is a child of setsid, which gave it the terminal.
                os.kill(int(daemon.call("Status", names=[])["daemon"]["pid"]), signal.SIGTERM)
            assert daemon.wait() == 0
        shown = os.read(ours, 65536).decode()
        assert "virtsupd ready" in shown
        assert "\x1b[" in shown  # coloured lines for people, no JSON
        assert '{"' not in shown
        assert pids_of(made) == []


def test_a_second_interrupt_disturbs_nothing() -> None:
    slow = shell("trap '' TERM; echo up; while :; do sleep 0.02; done")
    with (
        host(
            f'[service.web]\ncommand = {slow}\nstop = {{ delay = "300ms" }}\n',
            settings='on_term = "shutdown"\n',
        ) as made,
        made.started() as daemon,
    ):
        made.await_log("web", "up")
        daemon.signal("TERM")
        daemon.await_event("virtsupd ends")
        for name in ("TERM", "INT", "HUP", "TERM"):
            daemon.signal(name)
        assert daemon.wait() == 0
        assert len(daemon.events("virtsupd ends")) == 1


def test_int_in_the_background_is_as_term() -> None:
    with host(WEB, settings='on_term = "quit"\n') as made, made.started() as daemon:
        pid = daemon.pid("web")
        daemon.signal("INT")
        assert daemon.wait() == 0
        assert pid in pids_of(made)
        with left_behind(made):
            pass


def test_a_second_virtsupd_is_refused_and_disturbs_nothing() -> None:
    with virtsupd(WEB) as daemon:
        pid = daemon.pid("web")
        refused = daemon.host.run()
        assert refused.returncode == 1
        assert "another virtsupd runs in" in refused.stderr
        assert f"(pid {daemon.process.pid})" in refused.stderr
        assert daemon.pid("web") == pid


def test_a_stale_socket_is_replaced() -> None:
    with host(WEB) as made:
        with made.started() as daemon:
            daemon.kill()
        assert made.socket.exists()
        end_all(made)
        with made.started() as daemon:
            daemon.await_state("web", "running")


def test_its_log_is_one_object_of_json_a_line() -> None:
    with virtsupd(WEB) as daemon:
        daemon.shutdown()
        lines = [json.loads(line) for line in daemon.output.splitlines()]
        assert {"virtsupd ready", "service running", "virtsupd ends"} <= {x["event"] for x in lines}
        assert all({"level", "timestamp"} <= set(line) for line in lines)


def test_its_log_may_be_for_people() -> None:
    with host(WEB, settings='log_format = "console"\n') as made:
        with made.started() as daemon:
            daemon.await_state("web", "running")
        assert "service running" in daemon.output
        assert "service=web" in daemon.output
        assert "\x1b[" not in daemon.output


def test_a_herd_socket_may_be_had() -> None:
    with host() as made:
        made.settings += f'herd_socket = "{made.root}/herd/socket"\n'
        made.write(WEB)
        with made.started(), socket.socket(socket.AF_UNIX) as client:
            client.connect(f"{made.root}/herd/socket")
        assert not (made.root / "herd/socket").exists()


def test_the_log_keeper_comes_back() -> None:
    line = "trap 'echo heard' USR1; echo up; while :; do sleep 0.02; done"
    with virtsupd(f"[service.web]\ncommand = {shell(line)}\n") as daemon:
        daemon.host.await_log("web", "up")
        os.kill(keeper_of(daemon), signal.SIGKILL)
        daemon.await_event("log keeper ended")
        os.kill(daemon.pid("web"), signal.SIGUSR1)
        daemon.host.await_log("web", "heard")


def keeper_of(daemon: Daemon) -> int:
    def find() -> int:
        proc = Path("/proc")
        task = proc / f"{daemon.process.pid}/task/{daemon.process.pid}/children"
        pids = [int(word) for word in task.read_text().split()]
        found = [pid for pid in pids if "logkeeper" in (proc / f"{pid}/cmdline").read_text()]
        return found[0] if found else 0

    return eventually(find, "a log keeper")


def test_strangers_are_reaped() -> None:
    line = "(setsid sh -c 'echo orphan $$; kill -9 $$' &) ; exec sleep 1000"
    with virtsupd(
        f'[service.web]\ncommand = {shell(line)}\nstop = {{ mode = "process" }}\n'
    ) as daemon:
        pid = int(daemon.host.await_log("web", "\n").split()[1])
        eventually(lambda: not Path(f"/proc/{pid}").exists(), "the orphan's burial")


def test_virtsupctl_shows_the_whole_host() -> None:
    with virtsupd(WEB) as daemon:
        shown = daemon.ctl("status").stdout
        assert "1 running" in shown
        assert "+ web" in shown
        daemon.ctl("stop", "web")
        daemon.ctl("status", "web", expect=3)
        assert "stopped by root via virtsupctl" in daemon.ctl("status", "web", expect=3).stdout
        assert "command = [" in daemon.ctl("cat", "web").stdout
        assert daemon.ctl("restart", "web").returncode == 0
        daemon.ctl("wait", "web")
        daemon.ctl("quit")
        with left_behind(daemon.host):
            assert daemon.wait() == 0


def test_as_the_first_process_of_a_container_term_is_a_shutdown_and_orphans_are_reaped() -> None:
    line = "(setsid sh -c 'echo orphan; kill -9 $$' &) ; exec sleep 1000"
    prefix = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child")
    with host(f"[service.web]\ncommand = {shell(line)}\n", prefix=prefix) as made:
        with made.started() as daemon:
            made.await_log("web", "orphan")
            assert daemon.call("Status", names=[])["daemon"]["pid"] == 1
            outer = Path(f"/proc/{daemon.process.pid}/task/{daemon.process.pid}/children")
            [first] = outer.read_text().split()
            inside = Path(f"/proc/{first}/task/{first}/children")
            # The keeper and the service; the orphan was buried.
            eventually(lambda: len(inside.read_text().split()) == 2, "its burial")
            os.kill(int(first), signal.SIGTERM)
            assert daemon.wait() == 0
        assert not made.run_dir.exists()

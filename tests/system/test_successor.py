"""virtsupd after virtsupd: what was asked stays, what runs on is never started twice."""

import os
import signal
from pathlib import Path

import pytest
from tests.support.checks import eventually, text_of
from tests.support.daemon import Daemon, Host, host, pids_of, python, shell

from virtsupd.process.pidfile import is_alive

pytestmark = pytest.mark.process

SLEEP = shell("exec sleep 1000")
NO_CGROUP = ("unshare", "--mount", "--cgroup", "sh", "-c", 'umount -a -t cgroup2; exec "$@"', "sh")
"""Runs virtsupd where no cgroup v2 is mounted."""


def end(pid: int) -> None:
    """Kill a process that an earlier virtsupd left, and wait for its end."""
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    finally:
        os.close(pidfd)
    eventually(lambda: not is_alive(pid), "its end")


def test_disabled_stays_disabled_and_stopped_stays_stopped() -> None:
    with host(f"[service.web]\ncommand = {SLEEP}\n[service.app]\ncommand = {SLEEP}\n") as made:
        with made.started() as daemon:
            daemon.ctl("disable", "web")
            daemon.ctl("stop", "web", "app")
            daemon.quit()
        end_keeper(made)
        with made.started() as daemon:
            assert daemon.state("web") == daemon.state("app") == "stopped"
            assert daemon.ask("Start", "web")[0] == "disabled"
            assert daemon.ask("Start", "app")[0] == "done"
            daemon.shutdown()
        # A shutdown forgets what was wanted; disabled is kept.
        with made.started() as daemon:
            daemon.await_state("app", "running")
            assert daemon.reason("web").startswith("disabled")
            daemon.ctl("enable", "web")
            daemon.await_state("web", "running")


def end_keeper(made: Host) -> None:
    for pid in pids_of(made):
        end(pid)


@pytest.mark.parametrize("way", ["quit", "kill"])
def test_everything_runs_on_without_virtsupd(way: str) -> None:
    line = "trap 'echo heard' USR1; echo up; while :; do sleep 0.02; done"
    with host(f"[service.web]\ncommand = {shell(line)}\n") as made:
        with made.started() as daemon:
            made.await_log("web", "up")
            pid = daemon.pid("web")
            keeper = [p for p in pids_of(made) if "logkeeper" in command_of(p)]
            daemon.quit() if way == "quit" else daemon.kill()
        assert is_alive(pid)
        assert [is_alive(p) for p in keeper] == [True]
        os.kill(pid, signal.SIGUSR1)
        made.await_log("web", "heard")
        assert made.socket.exists() == (way == "kill")
        end_all_of(made)


def command_of(pid: int) -> str:
    return text_of(Path(f"/proc/{pid}/cmdline")).replace("\0", " ")


def end_all_of(made: Host) -> None:
    """End what was left deliberately, and remove the traces of a killed virtsupd."""
    for pid in pids_of(made):
        end(pid)
    with made.started():
        pass


@pytest.mark.parametrize("way", ["quit", "kill"])
@pytest.mark.parametrize("prefix", [(), NO_CGROUP], ids=["cgroups", "groups"])
def test_a_service_that_runs_on_is_not_started_again(way: str, prefix: tuple[str, ...]) -> None:
    services = f"[service.web]\ncommand = {SLEEP}\n[service.app]\ncommand = {SLEEP}\n"
    with host(services, prefix=prefix) as made:
        with made.started() as daemon:
            has_cgroups = not any(
                "cgroup" in w for w in daemon.call("Status", names=[])["daemon"]["warnings"]
            )
            assert has_cgroups == (not prefix)
            pid, app = daemon.pid("web"), daemon.pid("app")
            daemon.quit() if way == "quit" else daemon.kill()
        end(app)
        with made.started() as daemon:
            found = daemon.await_status("web", lambda s: s["failed"], "its failure")
            expected = f"leftovers: process {pid} of an earlier virtsupd still runs"
            assert found["reason"]["text"].startswith(expected)
            daemon.await_state("app", "running")
            assert daemon.ask("Start", "web")[0] == "failed"
            end(pid)
            assert daemon.ask("Start", "web")[0] == "done"
            assert daemon.pid("web") != pid


def test_the_message_says_what_helps() -> None:
    with host(f"[service.web]\ncommand = {shell('sleep 1000 & exec sleep 1000')}\n") as made:
        with made.started() as daemon:
            daemon.await_state("web", "running")
            daemon.quit()
        with made.started() as daemon:
            failed = daemon.ctl("start", "web", expect=1)
            assert "processes" in failed.stdout + failed.stderr
            command = daemon.reason("web").rpartition("end what is left: ")[2]
            assert os.WEXITSTATUS(os.system(command)) == 0
            eventually(lambda: daemon.ask("Start", "web")[0] == "done", "a start")


@pytest.mark.parametrize("prefix", [(), NO_CGROUP], ids=["cgroups", "groups"])
def test_guests_of_an_earlier_leader_are_no_obstacle_but_the_leader_is(
    prefix: tuple[str, ...],
) -> None:
    with host(prefix=prefix) as made:
        made.write(
            f"[service.web]\ncommand = {python('svc_many.py', 'grandchild')}\n"
            'stop = { mode = "process" }\n'
        )
        with made.started() as daemon:
            guest = int(made.await_log("web", "\n").split()[1])
            leader = daemon.pid("web")
            daemon.quit()
        with made.started() as daemon:
            found = daemon.await_status("web", lambda s: s["failed"], "its failure")
            assert f"process {leader} of" in found["reason"]["text"]
            assert str(guest) not in found["reason"]["text"]
            end(leader)
            assert daemon.ask("Start", "web")[0] == "done"
            daemon.ask("Stop", "web")
            assert is_alive(guest)
        for left in guests(made):
            end(left)
        cgroup = made.cgroup()
        assert cgroup is not None
        eventually(cgroup.remove, "an empty cgroup")


def guests(made: Host) -> list[int]:
    """Return the grandchildren that live."""
    words = made.log("web").split()
    return [int(word) for word in words if word.isdigit() and is_alive(int(word))]


def test_a_stale_record_is_nobody() -> None:
    with host(f"[service.web]\ncommand = {SLEEP}\n", prefix=NO_CGROUP) as made:
        records = made.run_dir / "records"
        records.mkdir(parents=True)
        (records / "web").write_text(
            '{"version": 1, "pid": 1, "started": 0, "epoch": "x", "group": 1}'
        )
        with made.started() as daemon:
            assert daemon.state("web") == "running"


def test_the_state_file_must_be_what_virtsupd_wrote() -> None:
    with host(f"[service.web]\ncommand = {SLEEP}\n") as made:
        made.state_file.parent.mkdir()
        made.state_file.write_text("{ no json")
        refused = made.run()
        assert refused.returncode == 1
        assert f"cannot use {made.state_file}: " in refused.stderr
        assert "move it away" in refused.stderr
        made.state_file.unlink()
        with made.started() as daemon:
            assert isinstance(daemon, Daemon)

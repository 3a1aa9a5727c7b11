"""virtsupd after virtsupd: what was asked stays, what runs is taken over and never started twice."""

import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.checks import eventually, text_of
from tests.support.daemon import Daemon, Host, Json, host, pids_of, python, shell

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


def kept(status: Json) -> Json:
    """Return what of a service's status is the same for the next virtsupd."""
    names = {"state", "pid", "restarts", "wanted", "wanted_by", "wanted_since", "enabled", "failed"}
    names |= {"replacement_pending", "exits", "changes"}
    if status["changes"]:  # one that never ran has been down since virtsupd looked
        names.add("since")
    return {name: status[name] for name in sorted(names)}


def leave(daemon: Daemon, way: str) -> None:
    """End virtsupd and nothing else."""
    daemon.quit() if way == "quit" else daemon.kill()


ways = pytest.mark.parametrize("way", ["quit", "kill"])
places = pytest.mark.parametrize("prefix", [(), NO_CGROUP], ids=["cgroups", "groups"])


@ways
def test_everything_runs_on_without_virtsupd(way: str) -> None:
    line = "trap 'echo heard' USR1; echo up; while :; do sleep 0.02; done"
    with host(f"[service.web]\ncommand = {shell(line)}\n") as made:
        with made.started() as daemon:
            made.await_log("web", "up")
            pid = daemon.pid("web")
            keeper = [p for p in pids_of(made) if "logkeeper" in command_of(p)]
            leave(daemon, way)
        assert is_alive(pid)
        assert [is_alive(p) for p in keeper] == [True]
        os.kill(pid, signal.SIGUSR1)
        made.await_log("web", "heard")
        assert made.socket.exists() == (way == "kill")
        with made.started() as daemon:
            assert daemon.pid("web") == pid
            daemon.ask("Stop", "web")
            assert not is_alive(pid)


def command_of(pid: int) -> str:
    return text_of(Path(f"/proc/{pid}/cmdline")).replace("\0", " ")


@ways
@places
def test_everything_is_taken_over_as_it_was(way: str, prefix: tuple[str, ...]) -> None:
    services = (
        f"[service.web]\ncommand = {SLEEP}\nrespawn = {{ delay = 0 }}\n"
        f"[service.app]\ncommand = {SLEEP}\nrequires = ['web']\n"
        f"[service.down]\ncommand = {SLEEP}\n"
        f"[service.off]\ncommand = {SLEEP}\nautostart = false\n"
        f"[service.bad]\ncommand = {shell('exit 3')}\nrespawn = false\n"
        f"[service.once]\ncommand = {shell('echo ran')}\none_shot = true\n"
    )
    names = ("web", "app", "down", "off", "bad", "once")
    with host(services, prefix=prefix) as made:
        with made.started() as daemon:
            pid = daemon.pid("web")
            end(pid)
            daemon.await_status("web", lambda s: s["pid"] not in (None, pid), "its respawn")
            daemon.ask("Stop", "down")
            daemon.await_status("bad", lambda s: s["failed"], "its failure")
            daemon.await_state("once", "running")
            before = {name: kept(daemon.status(name)) for name in names}
            assert before["web"]["restarts"] == 1
            leave(daemon, way)
        for _ in range(2):
            with made.started() as daemon:
                assert {name: kept(daemon.status(name)) for name in names} == before
                assert "exited with code 3" in daemon.reason("bad")
                assert made.log("once") == "ran\n"
                leave(daemon, way)
        with made.started():
            pass


@ways
@places
def test_what_died_meanwhile_is_respawned_and_nothing_else(
    way: str, prefix: tuple[str, ...]
) -> None:
    services = "".join(
        f"[service.{name}]\ncommand = {SLEEP}\nrespawn = {policy}\n"
        for name, policy in (("web", "{ delay = 0 }"), ("app", "true"), ("once", "false"))
    )
    with host(services, prefix=prefix) as made:
        with made.started() as daemon:
            pids = {name: daemon.pid(name) for name in ("web", "app", "once")}
            leave(daemon, way)
        end(pids["web"])
        end(pids["once"])
        with made.started() as daemon:
            found = daemon.await_state("web", "running")
            assert found["pid"] != pids["web"]
            assert found["restarts"] == 1
            assert len(found["exits"]) == 1
            assert daemon.status("once")["failed"]
            assert kept(daemon.status("app"))["pid"] == pids["app"]
            assert daemon.status("app")["restarts"] == 0


@places
def test_the_stop_of_an_adopted_service_leaves_nothing_and_tells_its_end(
    prefix: tuple[str, ...],
) -> None:
    line = "sleep 1000 & trap 'kill $!; exit 7' TERM; echo up; wait"
    with host(f"[service.web]\ncommand = {shell(line)}\n", prefix=prefix) as made:
        with made.started() as daemon:
            made.await_log("web", "up")
            pids = [pid for pid in pids_of(made) if pid != daemon.process.pid]
            pid = daemon.pid("web")
            daemon.kill()
        with made.started() as daemon:
            assert daemon.pid("web") == pid
            daemon.ctl("stop", "web")
            assert not is_alive(pid)
            assert daemon.status("web")["exits"][0]["text"] == "exited with code 7"
            left = set(pids_of(made)) - {daemon.process.pid}
            assert all("logkeeper" in command_of(pid) for pid in left), (left, pids)


def test_an_adopted_service_that_ends_tells_how_and_is_respawned() -> None:
    services = f"[service.web]\ncommand = {SLEEP}\nrespawn = {{ delay = 0 }}\n"
    with host(services) as made:
        with made.started() as daemon:
            pid = daemon.pid("web")
            daemon.kill()
        with made.started() as daemon:
            os.kill(pid, signal.SIGUSR1)
            found = daemon.await_status("web", lambda s: s["pid"] not in (None, pid), "a respawn")
            assert "USR1" in found["exits"][0]["text"]
            assert found["restarts"] == 1


def test_a_virtsupd_that_dies_again_and_again_doubles_nothing() -> None:
    services = "".join(f"[service.s{number}]\ncommand = {SLEEP}\n" for number in range(10))
    names = [f"s{number}" for number in range(10)]
    with host(services) as made:
        with made.started() as daemon:
            pids = [daemon.pid(name) for name in names]
            daemon.kill()
        for _ in range(3):
            with made.started() as daemon:
                assert [daemon.pid(name) for name in names] == pids
                sleepers = [pid for pid in pids_of(made) if "sleep" in command_of(pid)]
                assert sleepers == sorted(pids)
                daemon.kill()
        with made.started() as daemon:
            daemon.shutdown()
        assert not any(is_alive(pid) for pid in pids)


# Records, edited


def edit(made: Host, change: Callable[[Json], object], name: str = "web") -> None:
    """Change a record while no virtsupd is there."""
    path = made.run_dir / "records" / name
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


@places
def test_a_crash_between_spawn_and_record_loses_nothing(prefix: tuple[str, ...]) -> None:
    def unrecorded(content: Json) -> None:
        content["start"] |= {"leader": None, "group": 0}
        content["service"] |= {"state": "starting"}
        del content["service"]["pid"]

    with host(f"[service.web]\ncommand = {SLEEP}\n", prefix=prefix) as made:
        with made.started() as daemon:
            pid = daemon.pid("web")
            daemon.kill()
        edit(made, unrecorded)
        with made.started() as daemon:
            daemon.await_state("web", "running")
            assert daemon.pid("web") == pid
            daemon.ask("Stop", "web")
            assert not is_alive(pid)


@pytest.mark.parametrize("mode", ["cgroup", "group", "process"])
def test_a_reused_pid_is_never_touched(mode: str) -> None:
    services = f'[service.web]\ncommand = {SLEEP}\nstop = {{ mode = "{mode}" }}\n'
    with host(services) as made:
        with made.started() as daemon:
            pid = daemon.pid("web")
            daemon.kill()
        end(pid)
        with subprocess.Popen(["/bin/sleep", "1000"], start_new_session=True) as stranger:

            def reused(content: Json) -> None:
                _, started = content["start"]["leader"]
                content["start"] |= {"leader": [stranger.pid, started], "group": stranger.pid}
                content["service"]["pid"] = stranger.pid

            edit(made, reused)
            with made.started() as daemon:
                found = daemon.await_status("web", lambda s: s["restarts"] == 1, "a respawn")
                assert found["pid"] != stranger.pid
                daemon.ask("Stop", "web")
            assert stranger.poll() is None
            stranger.kill()


def test_records_of_another_boot_are_void() -> None:
    services = f"[service.web]\ncommand = {SLEEP}\n"
    with host(services) as made:
        with made.started() as daemon:
            pid = daemon.pid("web")
            daemon.kill()
        end(pid)
        edit(made, lambda content: content.update(epoch="another boot"))
        with made.started() as daemon:
            found = daemon.await_state("web", "running")
            assert (found["restarts"], found["exits"]) == (0, [])


def test_a_record_of_another_version_is_left_alone_and_its_service_not_doubled() -> None:
    with host(f"[service.web]\ncommand = {SLEEP}\n") as made:
        with made.started() as daemon:
            pid = daemon.pid("web")
            daemon.kill()
        edit(made, lambda content: content.update(version=99))
        with made.started() as daemon:
            found = daemon.await_status("web", lambda s: s["failed"], "its failure")
            assert f"process {pid} of an earlier virtsupd still runs" in found["reason"]["text"]
            assert '"version": 99' in (made.run_dir / "records/web").read_text()
            command = daemon.reason("web").rpartition("end what is left: ")[2]
            assert os.WEXITSTATUS(os.system(command)) == 0
            eventually(lambda: daemon.ask("Start", "web")[0] == "done", "a start")
            assert daemon.pid("web") != pid


# Definitions that changed


def test_a_changed_definition_waits_for_the_next_start() -> None:
    with host(f"[service.web]\ncommand = {SLEEP}\n") as made:
        with made.started() as daemon:
            pid = daemon.pid("web")
            daemon.kill()
        made.write(f"[service.web]\ncommand = {shell('exec sleep 2000')}\n")
        with made.started() as daemon:
            found = daemon.status("web")
            assert (found["pid"], found["replacement_pending"]) == (pid, True)
            assert "its definition has changed" in daemon.ctl("status", "web").stdout
            daemon.ask("Restart", "web")
            assert "2000" in command_of(daemon.pid("web"))
            assert not daemon.status("web")["replacement_pending"]


def test_what_left_the_configuration_is_ended_and_forgotten() -> None:
    both = f"[service.web]\ncommand = {SLEEP}\n[service.app]\ncommand = {SLEEP}\n"
    with host(both) as made:
        with made.started() as daemon:
            web, app = daemon.pid("web"), daemon.pid("app")
            daemon.kill()
        made.write(f"[service.app]\ncommand = {SLEEP}\n")
        with made.started() as daemon:
            eventually(lambda: not is_alive(web), "its end")
            assert daemon.pid("app") == app
            eventually(lambda: not (made.run_dir / "records/web").exists(), "no record")


@places
def test_guests_of_an_adopted_service_outlive_its_stop(prefix: tuple[str, ...]) -> None:
    with host(prefix=prefix) as made:
        made.write(
            f"[service.web]\ncommand = {python('svc_many.py', 'grandchild')}\n"
            'stop = { mode = "process" }\n'
        )
        with made.started() as daemon:
            guest = int(made.await_log("web", "\n").split()[1])
            leader = daemon.pid("web")
            daemon.kill()
        with made.started() as daemon:
            assert daemon.pid("web") == leader
            assert daemon.ask("Stop", "web")[0] == "done"
            assert not is_alive(leader)
            assert is_alive(guest)
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

"""How services end: modes, escalation, leftovers; and what becomes of them then."""

import os
import re
import signal
from pathlib import Path

import pytest
from tests.support.checks import eventually
from tests.support.daemon import Daemon, host, pids_of, python, shell, virtsupd

from virtsupd.process.pidfile import is_alive

pytestmark = pytest.mark.process


def many(*words: str) -> str:
    return python("svc_many.py", *words)


def grandchild_of(daemon: Daemon) -> int:
    found = re.search(r"grandchild (\d+)\n", daemon.host.await_log("web", "grandchild "))
    assert found is not None
    return int(found[1])


@pytest.mark.parametrize(("mode", "stays"), [("cgroup", False), ("group", True), ("process", True)])
def test_a_daemonised_grandchild_goes_or_stays_as_the_mode_says(mode: str, *, stays: bool) -> None:
    with virtsupd(
        f'[service.web]\ncommand = {many("grandchild")}\nstop = {{ mode = "{mode}", delay = "50ms" }}\n'
    ) as daemon:
        pid = grandchild_of(daemon)
        leader = daemon.pid("web")
        assert daemon.ask("Stop", "web") == ("done", "web has been stopped")
        assert not is_alive(leader)
        assert is_alive(pid) == stays
        if stays:
            # What stays is no obstacle to the next start.
            assert daemon.ask("Start", "web")[0] == "done"
            daemon.ask("Stop", "web")
            for left in pids_of_service(daemon):
                os.kill(left, signal.SIGKILL)
            eventually(lambda: not pids_of_service(daemon), "the end of what stayed")


def pids_of_service(daemon: Daemon) -> tuple[int, ...]:
    cgroup = daemon.host.cgroup()
    assert cgroup is not None
    return cgroup.pids()


def test_what_had_to_be_killed_can_be_started_again() -> None:
    with virtsupd(
        f'[service.web]\ncommand = {many("deaf", "say", "deaf")}\nstop = {{ delay = "50ms" }}\n'
    ) as daemon:
        for _ in range(3):
            daemon.host.await_log("web", "deaf")
            assert daemon.ask("Restart", "web") == ("done", "web is running")
        assert daemon.status("web")["restarts"] == 0, "no start was killed at birth"
        assert Path(f"/proc/{daemon.pid('web')}").exists()


def test_what_ignores_term_is_killed_after_the_delay() -> None:
    with virtsupd(
        f'[service.web]\ncommand = {many("deaf", "say", "deaf")}\nstop = {{ delay = "100ms" }}\n'
        f'[service.polite]\ncommand = {many("say", "here")}\nstop = {{ signal = "USR2", delay = "1h" }}\n'
    ) as daemon:
        daemon.host.await_log("web", "deaf")
        daemon.host.await_log("polite", "here")
        daemon.ask("Stop", "web")
        daemon.ask("Stop", "polite")
        assert daemon.status("web")["last_exit"]["text"] == "ended by SIGKILL"
        assert daemon.status("polite")["last_exit"]["text"] == "ended by SIGUSR2"


def test_a_crash_ends_what_the_service_leaves_before_it_starts_again() -> None:
    with virtsupd(
        f'[service.web]\ncommand = {many("grandchild")}\nstop = {{ delay = "20ms" }}\n'
        "respawn = { delay = 0 }\n"
    ) as daemon:
        pid, leader = grandchild_of(daemon), daemon.pid("web")
        os.kill(leader, signal.SIGKILL)
        daemon.await_status("web", lambda s: s["restarts"] == 1 and s["pid"], "its successor")
        assert not is_alive(pid)
        assert daemon.pid("web") != leader


def test_respawns_follow_their_policy_and_end_with_its_limit() -> None:
    with virtsupd(
        f"[service.web]\ncommand = {shell('exit 7')}\n"
        'respawn = { delay = "10ms", factor = 2.0, limit = 3, window = "30s" }\n'
        f"[service.once]\ncommand = {shell('exit 7')}\nrespawn = false\n"
        f"[service.done]\ncommand = {shell('exit 0')}\nrespawn = false\n"
        f"[service.odd]\ncommand = {shell('exit 4')}\nrespawn = false\nsuccess_exit = [0, 4]\n"
        f"[service.idle]\ncommand = {shell('exit 9')}\nnot_needed_exit = [9]\n"
        f'[service.user]\ncommand = {shell("exec sleep 1000")}\nrequires = ["idle"]\n'
    ) as daemon:
        found = daemon.await_status("web", lambda s: s["failed"], "its failure")
        assert found["restarts"] == 3
        assert "the limit is 3 respawns within 30 s" in found["reason"]["text"]
        assert daemon.await_status("once", lambda s: s["failed"], "failure")["restarts"] == 0
        for name in ("done", "odd"):
            kind = daemon.await_status(name, lambda s: s["reason"], "an end")["reason"]["kind"]
            assert kind == "finished"
        idle = daemon.await_status("idle", lambda s: s["reason"], "an end")
        assert idle["reason"]["kind"] == "not-needed"
        daemon.await_state("user", "running")
        # A command empties the record: it is running again, if only for a moment.
        assert daemon.ask("Start", "web")[0] == "done"


def test_a_one_shot_is_done_when_its_process_has_ended_well() -> None:
    with host() as made:
        made.write(
            f"""
[service.prepare]
command = {shell(f"echo x >> {made.root}/runs")}
one_shot = true
[service.broken]
command = {shell("exit 1")}
one_shot = true
respawn = false
[service.after]
command = {shell("exec sleep 1000")}
requires = ["prepare"]
[service.never]
command = {shell("exec sleep 1000")}
requires = ["broken"]
"""
        )
        with made.started() as daemon:
            daemon.await_state("after", "running")
            assert daemon.status("prepare")["done"]
            daemon.await_status("broken", lambda s: s["failed"], "its failure")
            assert daemon.reason("never") == "waits for broken (failed)"
            assert (made.root / "runs").read_text() == "x\n"


def test_a_transient_vanishes_with_its_end() -> None:
    with virtsupd(
        f"[service.job]\ncommand = {shell('exec sleep 1000')}\ntransient = true\n"
    ) as daemon:
        os.kill(daemon.pid("job"), signal.SIGTERM)

        def is_gone() -> bool:
            return daemon.ctl("status", "job", expect=None).returncode == 4

        eventually(is_gone, "its disappearance")


def test_reload_is_a_signal_or_a_command() -> None:
    with host() as made:
        made.write(
            f"""
[service.web]
command = {many("on-hup", "say", "up")}
reload = "HUP"
[service.app]
command = {shell("exec sleep 1000")}
environment = {{ WHERE = "{made.root}" }}
reload = {{ command = ["/bin/sh", "-c", "touch $WHERE/reloaded"] }}
[service.bad]
command = {shell("exec sleep 1000")}
reload = {{ command = ["/bin/sh", "-c", "echo so not; exit 3"] }}
[service.slow]
command = {shell("exec sleep 1000")}
reload = {{ command = ["/bin/sleep", "1000"], timeout = "50ms" }}
[service.lost]
command = {shell("exec sleep 1000")}
reload = {{ command = ["/nonexistent/program"] }}
"""
        )
        with made.started() as daemon:
            made.await_log("web", "up")
            assert daemon.ask("ReloadService", "web")[0] == "done"
            made.await_log("web", "HUP")
            assert daemon.ask("ReloadService", "app")[0] == "done"
            assert (made.root / "reloaded").exists()
            assert daemon.ask("ReloadService", "bad") == ("failed", "exited with code 3: so not")
            assert daemon.ask("ReloadService", "slow") == ("failed", "no end within 0.05 s")
            message = daemon.ask("ReloadService", "lost")[1]
            assert message == "cannot run /nonexistent/program: no such program"
            assert daemon.state("lost") == "running"


def test_actions_run_for_a_service_that_is_stopped_too() -> None:
    with virtsupd(
        f"""
[service.web]
command = {shell("exec sleep 1000")}
autostart = false
environment = {{ COLOUR = "blue" }}
[service.web.actions.paint]
description = "paint it"
command = ["/bin/sh", "-c", "echo $COLOUR $1", "sh"]
[service.web.actions.fail]
description = "fail"
command = ["/bin/sh", "-c", "echo because; exit 2"]
[service.web.actions.hang]
description = "hang"
command = ["/bin/sleep", "1000"]
timeout = "50ms"
[service.web.actions.list]
description = "say much"
command = ["/bin/sh", "-c", "seq 100000"]
[service.web.actions.lack]
description = "lack"
command = ["/nonexistent/program"]
"""
    ) as daemon:
        assert daemon.ctl("paint", "web", "door").stdout == "blue door\n"
        failed = daemon.ctl("fail", "web", expect=1)
        assert "fail of web exited with code 2: because" in failed.stderr
        assert "no end within 0.05 s" in daemon.ctl("hang", "web", expect=1).stderr
        assert daemon.ctl("list", "web").stdout.splitlines() == [*map(str, range(1, 100001))]
        assert "no such program" in daemon.ctl("lack", "web", expect=1).stderr
        daemon.ctl("unknown", "web", expect=4)


def test_stop_all_at_once_leaves_nobody() -> None:
    services = "".join(
        f"[service.s{number}]\ncommand = {shell('sleep 1000 & exec sleep 1000')}\n"
        for number in range(20)
    )
    with host(services) as made, made.started() as daemon:
        for number in range(20):
            daemon.await_state(f"s{number}", "running")
        daemon.shutdown()
        assert pids_of(made) == []


def test_a_stopped_service_refuses_whom_it_would_not_answer(tmp_path: Path) -> None:
    path = tmp_path / "front"
    with virtsupd(
        f'[service.web]\ncommand = {many("say", "here")}\nsockets = ["{path}"]\n'
    ) as daemon:
        daemon.host.await_log("web", "here")
        daemon.ask("Restart", "web")
        assert path.is_socket()
        daemon.ask("Stop", "web")
        assert not path.exists(), "nothing outlives its stop"
        daemon.ask("Start", "web")
        assert path.is_socket()

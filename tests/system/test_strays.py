"""What is left of services, and what lives beside them: each has one defined outcome.

What a stop covers is gone when it is answered, frozen or not; what it does not cover is counted and
never signalled, whoever died meanwhile.
"""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from tests.support.checks import eventually, text_of
from tests.support.daemon import Daemon, Host, Json, host, python, shell, virtsupd

from virtsupd.control.client import Client
from virtsupd.process.cgroup import Cgroup
from virtsupd.process.lives import stat_fields
from virtsupd.process.pidfile import is_alive

pytestmark = pytest.mark.process

STUCK_SECONDS = 30.0
"""More than the ten for which KILL may take before a stop is called stuck."""
ALONE = 'stop = { mode = "process", delay = "50ms" }\n'


def many(*words: str) -> str:
    return python("svc_many.py", *words)


def cgroup_of(made: Host, name: str) -> Cgroup:
    tree = made.cgroup()
    assert tree is not None
    return Cgroup(tree.path / f"{name}.service")


def set_frozen(group: Cgroup, *, frozen: bool) -> None:
    (group.path / "cgroup.freeze").write_text(str(int(frozen)))
    eventually(lambda: is_frozen(group) == frozen, f"frozen: {frozen}")


def is_frozen(group: Cgroup) -> bool:
    return "frozen 1" in text_of(group.path / "cgroup.events")


def is_zombie(pid: int) -> bool:
    fields = stat_fields(pid)
    return fields is not None and fields[0] == "Z"


def kill_unwatched(pid: int) -> None:
    """Kill a service's process, and return when it has ended, whether or not anybody has reaped it."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    eventually(lambda: not is_alive(pid), "its end")


@contextmanager
def guests(made: Host) -> Iterator[Path]:
    """Yield a directory for guests to tell in what they hear; they are ended in the end."""
    told = made.root / "guests"
    told.mkdir()
    yield told
    for pid in pids_in(told):
        kill_unwatched(pid)


def pids_in(told: Path) -> list[int]:
    return [int(file.name) for file in told.iterdir()]


def assert_unharmed(told: Path, count: int) -> None:
    """Assert that all these guests live, and that nobody has signalled one."""
    eventually(lambda: len(pids_in(told)) == count, f"{count} guests")
    assert [is_alive(pid) for pid in pids_in(told)] == [True] * count
    assert [file.read_text() for file in told.iterdir()] == [""] * count


# Leftovers of a service that died while nobody watched


@pytest.mark.parametrize("mode", ["cgroup", "group"])
@pytest.mark.parametrize("way", ["quit", "kill"])
def test_what_a_death_that_nobody_saw_left_is_ended_before_the_next_start(
    mode: str, way: str
) -> None:
    left = "grandchild" if mode == "cgroup" else "child"
    with host(
        f"[service.web]\ncommand = {many(left, 'say', 'up')}\n"
        f'stop = {{ mode = "{mode}", delay = "50ms" }}\nrespawn = {{ delay = 0 }}\n'
    ) as made:
        with made.started() as daemon:
            made.await_log("web", "up")
            leader = daemon.pid("web")
            family = set(cgroup_of(made, "web").pids())
            assert len(family) == 2
            daemon.quit() if way == "quit" else daemon.kill()
        kill_unwatched(leader)
        assert [is_alive(pid) for pid in family - {leader}] == [True]
        with made.started() as daemon:
            found = daemon.await_status("web", lambda s: s["restarts"] == 1 and s["pid"], "another")
            assert found["last_exit"]["text"] in {"ended by SIGKILL", "ended in an unknown way"}
            assert not any(is_alive(pid) for pid in family)
            eventually(lambda: made.log("web").count("up\n") == 2, "its start")
            assert len(set(running_in(made, "web"))) == 2, "nothing is doubled"


def running_in(made: Host, name: str) -> list[int]:
    tree = made.cgroup()
    assert tree is not None
    groups = [Cgroup(path) for path in tree.path.glob(f"{name}.service*")]
    return [pid for group in groups for pid in group.pids() if is_alive(pid)]


@pytest.mark.parametrize("way", ["quit", "kill"])
def test_guests_of_a_service_that_died_unseen_live_on_beside_the_next(way: str) -> None:
    with host() as made, guests(made) as told:
        made.write(
            f"[service.virt]\ncommand = {many('guest', str(told), 'ready')}\n"
            f'ready = "notify"\nrespawn = {{ delay = 0 }}\n{ALONE}'
        )
        with made.started() as daemon:
            leader = daemon.await_state("virt", "running")["pid"]
            assert_unharmed(told, 1)
            daemon.quit() if way == "quit" else daemon.kill()
        kill_unwatched(leader)
        with made.started() as daemon:
            daemon.await_status("virt", lambda s: s["restarts"] == 1 and s["pid"], "another")
            daemon.await_state("virt", "running")
            assert_unharmed(told, 2)
            assert daemon.ask("Stop", "virt")[0] == "done"
            assert_unharmed(told, 2)
            daemon.quit()
        with made.started():
            assert_unharmed(told, 2)
            for pid in pids_in(told):
                kill_unwatched(pid)


# Guests and jobs under stop mode process


def beside(daemon: Daemon) -> dict[str, int]:
    """Return how many processes `status` counts beside which services."""
    return {other["name"]: other["count"] for other in daemon.call("Status", names=[])["others"]}


def test_what_lives_beside_a_service_is_counted_and_never_signalled() -> None:
    with host() as made, guests(made) as told:
        made.write(
            f"[service.virt]\ncommand = {many('guest', str(told), 'deaf', 'ready')}\n"
            f'ready = "notify"\n{ALONE}'
            f'[service.web]\ncommand = {many("grandchild", "ready")}\nready = "notify"\n'
            f'[service.crew]\ncommand = {many("child", "ready")}\nready = "notify"\n'
            'stop = { mode = "group" }\n'
        )
        with made.started() as daemon:
            daemon.await_state("virt", "running")
            daemon.await_state("web", "running")
            daemon.await_state("crew", "running")
            assert_unharmed(told, 1)
            assert beside(daemon) == {"virt": 1}, "a stop ends all of the others"
            shown = daemon.ctl("status", "virt").stdout
            assert "1 process in its cgroup that its stop leaves alone" in shown
            for ending in ("Restart", "Stop"):
                assert daemon.ask(ending, "virt")[0] == "done"
            assert_unharmed(told, 2)
            assert daemon.state("virt") == "stopped"
            assert beside(daemon) == {"virt": 2}
            assert "2 processes in its cgroup" in daemon.ctl("status", "virt", expect=3).stdout
            listed = {p["pid"] for p in daemon.call("Processes", name="virt")["processes"]}
            assert listed == set(pids_in(told))
            for pid in pids_in(told):
                kill_unwatched(pid)
            eventually(lambda: "virt" not in beside(daemon), "nobody")


# A frozen cgroup


def test_a_frozen_service_is_thawed_to_hear_its_stop_signal() -> None:
    with virtsupd(
        f'[service.web]\ncommand = {many("on-term", "ready")}\nready = "notify"\n'
    ) as daemon:
        daemon.await_state("web", "running")
        set_frozen(cgroup_of(daemon.host, "web"), frozen=True)
        assert daemon.ask("Stop", "web") == ("done", "web has been stopped")
        assert daemon.status("web")["last_exit"]["text"] == "exited with code 0"
        daemon.host.await_log("web", "TERM")
        assert daemon.ask("Start", "web")[0] == "done"


def test_a_frozen_service_that_is_deaf_is_killed_all_the_same() -> None:
    with virtsupd(
        f"[service.web]\ncommand = {many('deaf', 'grandchild', 'ready')}\n"
        'ready = "notify"\nstop = { delay = "50ms" }\n'
    ) as daemon:
        daemon.await_state("web", "running")
        group = cgroup_of(daemon.host, "web")
        set_frozen(group, frozen=True)
        assert daemon.ask("Stop", "web") == ("done", "web has been stopped")
        assert group.pids() == ()


def test_guests_that_somebody_froze_stay_frozen_while_their_service_stops() -> None:
    with host() as made, guests(made) as told:
        made.write(
            f"[service.virt]\ncommand = {many('guest', str(told), 'on-term', 'ready')}\n"
            f'ready = "notify"\n{ALONE}'
        )
        with made.started() as daemon:
            daemon.await_state("virt", "running")
            assert_unharmed(told, 1)
            group = cgroup_of(made, "virt")
            set_frozen(group, frozen=True)
            assert daemon.ask("Stop", "virt") == ("done", "virt has been stopped")
            assert daemon.status("virt")["last_exit"]["text"] == "ended by SIGKILL"
            assert is_frozen(group)
            assert_unharmed(told, 1)
            # Nothing could begin in a frozen cgroup: a start thaws it.
            assert daemon.ask("Start", "virt")[0] == "done"
            assert not is_frozen(group)
            assert_unharmed(told, 2)
            daemon.ask("Stop", "virt")
            for pid in pids_in(told):
                kill_unwatched(pid)


# A zombie leader


@pytest.mark.parametrize("mode", ["cgroup", "process"])
def test_a_leader_that_its_parent_does_not_reap_has_ended(mode: str) -> None:
    with host() as made:
        made.write(
            f"[service.web]\ncommand = {many('keep', f'{made.root}/pid')}\n"
            f'ready = {{ kind = "pid-file", path = "{made.root}/pid" }}\n'
            f'stop = {{ mode = "{mode}", delay = "50ms" }}\nrespawn = {{ delay = 0 }}\n'
        )
        with made.started() as daemon:
            first = daemon.await_state("web", "running")["pid"]
            os.kill(first, signal.SIGKILL)
            found = daemon.await_status(
                "web", lambda s: s["restarts"] == 1 and s["state"] == "running", "another"
            )
            assert found["last_exit"]["text"] == "ended by SIGKILL"
            # It is reaped once its parent has ended, which lives on as the mode says.
            eventually(lambda: is_zombie(first) == (mode == "process"), "a zombie, or none")
            second = found["pid"]
            assert daemon.ask("Stop", "web")[0] == "done"
            eventually(lambda: is_zombie(second) == (mode == "process"), "a zombie, or none")
            end_others(daemon, "web")


def end_others(daemon: Daemon, name: str) -> None:
    for pid in running_in(daemon.host, name):
        kill_unwatched(pid)


def test_the_zombie_of_a_leader_that_died_unseen_tells_its_end() -> None:
    with host() as made:
        made.write(
            f"[service.web]\ncommand = {many('keep', f'{made.root}/pid')}\n"
            f'ready = {{ kind = "pid-file", path = "{made.root}/pid" }}\n'
            f"{ALONE}respawn = {{ delay = 0 }}\n"
        )
        with made.started() as daemon:
            leader = daemon.await_state("web", "running")["pid"]
            daemon.kill()
        kill_unwatched(leader)
        assert is_zombie(leader)
        with made.started() as daemon:
            found = daemon.await_status(
                "web", lambda s: s["restarts"] == 1 and s["state"] == "running", "another"
            )
            assert found["last_exit"]["text"] == "ended by SIGKILL"
            assert found["pid"] != leader
            daemon.ask("Stop", "web")
            end_others(daemon, "web")


# A leader that cannot be killed at once


@contextmanager
def freezer(mountpoint: Path) -> Iterator[Path]:
    """Mount the freezer of cgroups version 1 where nobody else sees it; in CI it has to be possible."""
    mountpoint.mkdir()
    line = 'mount -t cgroup -o freezer none "$1" && echo mounted && exec cat'
    words = ["unshare", "--mount", "--propagation", "private", "sh", "-c", line, "sh"]
    with subprocess.Popen(
        [*words, str(mountpoint)],
        stdin=subprocess.PIPE,  # its end ends the process, and that the mount
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        said = process.stdout.readline()
        if said != "mounted\n" and os.environ.get("CI") != "true":
            pytest.skip(f"no freezer of cgroups version 1: {said}")
        assert said == "mounted\n"
        yield Path(f"/proc/{process.pid}/root") / mountpoint.relative_to("/")


@contextmanager
def unkillable(made: Host, pid: int) -> Iterator[Path]:
    """Freeze a process as only a freezer of version 1 can: not even KILL ends it before its thaw."""
    with freezer(made.root / "freezer") as mounted:
        place = mounted / made.root.name
        place.mkdir()
        try:
            (place / "cgroup.procs").write_text(str(pid))
            (place / "freezer.state").write_text("FROZEN")
            eventually(lambda: "FROZEN" in text_of(place / "freezer.state"), "a frozen process")
            yield place
        finally:
            (place / "freezer.state").write_text("THAWED")
            eventually(lambda: not text_of(place / "cgroup.procs"), "its end")
            place.rmdir()


def asked(daemon: Daemon, method: str, name: str) -> tuple[str, str]:
    """Give a command that takes longer than others."""
    with Client(str(daemon.host.socket), STUCK_SECONDS) as client:
        answer: Json = client.call(method, {"names": [name]})
    report = answer["reports"][0]
    return report["result"], report["message"]


@pytest.mark.timeout(90)
def test_what_kill_does_not_end_is_shown_and_nothing_else_waits_for_it() -> None:
    with virtsupd(
        f'[service.web]\ncommand = {shell("exec sleep 1000")}\nstop = {{ delay = "50ms" }}\n'
        f"[service.app]\ncommand = {shell('exec sleep 1000')}\n"
        f'[service.user]\ncommand = {shell("exec sleep 1000")}\nrequires = ["web"]\n'
    ) as daemon:
        leader = daemon.await_state("web", "running")["pid"]
        daemon.await_state("user", "running")
        with unkillable(daemon.host, leader) as place:
            stuck = "web: its processes are still there after SIGKILL"
            assert asked(daemon, "Stop", "web") == ("failed", stuck)
            found = daemon.status("web")
            assert found["state"] == "stopping"
            assert found["reason"]["text"] == "its processes are still there after SIGKILL"
            assert is_alive(leader)
            assert daemon.ask("Restart", "app")[0] == "done"
            assert asked(daemon, "Start", "web") == ("failed", stuck)
            assert daemon.pid("web") == leader, "nothing is started beside it"
            (place / "freezer.state").write_text("THAWED")
            # It was asked for meanwhile.
            after = daemon.await_status("web", lambda s: s["state"] == "running", "another")
            assert after["pid"] != leader
            assert daemon.await_state("user", "running")
        assert daemon.ask("Stop", "web")[0] == "done"


def test_a_successor_goes_on_with_the_stop_of_what_could_not_be_killed() -> None:
    with (
        host(
            f'[service.web]\ncommand = {shell("exec sleep 1000")}\nstop = {{ delay = "50ms" }}\n'
        ) as made,
        made.started() as daemon,
    ):
        leader = daemon.await_state("web", "running")["pid"]
        with unkillable(made, leader) as place, daemon.client as client:
            stop = client.stream("Stop", {"names": ["web"]})
            next(stop)
            daemon.await_state("web", "stopping")
            daemon.kill()
            with made.started() as successor:
                found = successor.status("web")
                assert (found["state"], found["pid"]) == ("stopping", leader)
                (place / "freezer.state").write_text("THAWED")
                successor.await_state("web", "stopped")
                assert not successor.status("web")["wanted"]


# Sockets that were kept for a service that waits


@pytest.mark.parametrize("way", ["stop", "kill", "shutdown", "kill, shutdown"])
def test_a_socket_that_was_kept_for_a_waiting_service_goes_with_it(way: str) -> None:
    with host() as made:
        path = made.root / "front"
        made.write(
            f"[service.base]\ncommand = {shell('exec sleep 1000')}\n"
            f"[service.web]\ncommand = {shell('exec sleep 1000')}\n"
            f'requires = ["base"]\nsockets = ["{path}"]\n'
        )
        with made.started() as daemon:
            daemon.await_state("web", "running")
            assert daemon.ask("Stop", "base")[0] == "done"
            assert path.is_socket(), "clients may wait for its return"
            if way.startswith("kill"):
                daemon.kill()
            elif way == "stop":
                daemon.ask("Stop", "web")
                assert not path.exists()
        if way.startswith("kill"):
            with made.started() as daemon:
                assert daemon.reason("web").startswith("waits for base")
                if way == "kill":
                    daemon.ask("Stop", "web")
                    assert not path.exists()
        assert not path.exists()

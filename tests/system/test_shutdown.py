"""The host scope: guests first, through the service they run through, then services; crashes included."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.support.checks import eventually, text_of
from tests.support.daemon import CHILDREN, CLIENT, PYTHON, SECONDS, Daemon, Host, Json, host, shell

pytestmark = [pytest.mark.process, pytest.mark.timeout(60)]

PROGRAM = (sys.executable, str(CHILDREN / "virtsupd_with_guests.py"))
_WAITING = "while :; do sleep 1000 & wait $!; done"


def _noting(name: str, directory: Path, up: str) -> str:
    """Return the command of a service that holds the file `up` while it runs and notes its end."""
    end = f"echo {name} >>{directory}/order; rm -f {directory}/{up}; exit 0"
    return shell(f"trap '{end}' TERM; touch {directory}/{up}; {_WAITING}")


@dataclass(slots=True)
class Site:
    """A host with the services `virt`, through which guests run, and `front`, which requires it."""

    host: Host
    directory: Path
    guests: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def begin(self, name: str, manner: str = "obeys") -> None:
        """Start a guest, as its host would: virtsupd has nothing to do with it."""
        command = [
            PYTHON,
            "-I",
            "-S",
            str(CHILDREN / "guest.py"),
            str(self.directory),
            name,
            manner,
        ]
        self.guests[name] = subprocess.Popen(command, start_new_session=True, cwd="/")
        eventually((self.directory / f"{name}.pid").exists, f"guest {name}")

    def release(self, name: str) -> None:
        """Let a guest that holds end, once it was told to."""
        self.guests[name].send_signal(signal.SIGUSR1)
        self.guests[name].wait(SECONDS)

    def lines(self, name: str) -> list[str]:
        """Return the lines of `order` (who ended) or `asked` (what was asked of guests)."""
        return text_of(self.directory / name).splitlines()

    def await_asked(self, *asked: str) -> None:
        """Wait until this was asked of guests, in this order."""
        eventually(lambda: self.lines("asked") == list(asked), f"{asked} asked")

    def ends(self) -> None:
        """End what a test left of its guests."""
        for process in self.guests.values():
            process.kill()
            process.wait(SECONDS)


@contextmanager
def site(settings: str = "", pretend: str = "", services: str = "") -> Iterator[Site]:
    with host(settings=settings, program=PROGRAM) as made:
        directory = made.root / "guests"
        directory.mkdir()
        found = Site(made, directory)
        made.write(
            f'[pretend]\nservice = "virt"\ndirectory = "{directory}"\n{pretend}\n'
            f"[service.virt]\ncommand = {_noting('virt', directory, 'up')}\n"
            "respawn = { delay = 0 }\n"
            f"[service.front]\ncommand = {_noting('front', directory, 'front')}\n"
            f'requires = ["virt"]\n{services}'
        )
        try:
            yield found
        finally:
            found.ends()


@contextmanager
def started(found: Site, **options: object) -> Iterator[Daemon]:
    with found.host.started(**options) as daemon:
        for name in ("up", "front"):
            eventually((found.directory / name).exists, f"the service behind {name}")
        yield daemon


def shutdown_of(daemon: Daemon) -> Json:
    """Return what `status` says of the shutdown."""
    found = daemon.call("Status", names=[])["daemon"]
    assert found["phase"] == "shutting-down"
    assert isinstance(found["shutdown"], dict)
    return found["shutdown"]


def waits(daemon: Daemon) -> list[str]:
    return [waiting["name"] for waiting in shutdown_of(daemon)["waits"]]


@contextmanager
def shutting_down(daemon: Daemon, *words: str) -> Iterator["subprocess.Popen[str]"]:
    """Yield a `virtsupctl shutdown` that is under way."""
    client = subprocess.Popen(
        [*CLIENT, "--socket", str(daemon.host.socket), *words, "shutdown"],
        env=os.environ | {"LC_ALL": "C.UTF-8"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield client
    finally:
        client.kill()
        client.communicate()


def test_guests_end_first_and_their_host_after_all_that_needs_it() -> None:
    with site() as found:
        for name in ("a", "b"):
            found.begin(name)
        with started(found) as daemon:
            done = daemon.ctl("-v", "shutdown")
            assert daemon.wait() == 0
        assert sorted(found.lines("order")[:2]) == ["a", "b"]
        assert found.lines("order")[2:] == ["front", "virt"]
        assert found.lines("asked") == ["shutdown a", "shutdown b"]
        assert "waits for guests: " in done.stderr
        assert done.stdout == "everything is stopped, virtsupd ends\n"


def test_so_many_guests_end_at_a_time_as_the_setting_says_and_who_is_told() -> None:
    with site("guest_parallel = 2\n", 'save = ["c"]') as found:
        for name in ("a", "b", "c"):
            found.begin(name, "holds")
        with started(found) as daemon, shutting_down(daemon, "-v") as client:
            found.await_asked("shutdown a", "shutdown b")
            seen = shutdown_of(daemon)
            assert waits(daemon) == ["a", "b"]
            assert (seen["phase"], seen["guests"], seen["guests_ended"]) == ("guests", 3, 0)
            assert seen["by"] == "root"
            assert {daemon.state("virt"), daemon.state("front")} == {"running"}
            status = daemon.ctl("status").stdout
            assert "waits for guests: a, b (0 of 3 ended; the first is killed in " in status
            found.release("b")
            found.await_asked("shutdown a", "shutdown b", "save c")
            found.release("a")
            found.release("c")
            out, err = client.communicate(timeout=SECONDS)
            assert client.returncode == 0, out + err
            said = [line for line in err.splitlines() if line.startswith("waits for guests")]
            assert said[0] in (
                "waits for guests: a (0 of 3 ended)",
                "waits for guests: a, b (0 of 3 ended)",
            )
            assert said[-1].endswith("(2 of 3 ended)")
            assert daemon.wait() == 0


def test_guests_end_though_the_service_they_run_through_was_stopped() -> None:
    with site() as found:
        found.begin("a")
        with started(found) as daemon:
            daemon.ctl("stop", "virt")
            daemon.ctl("shutdown")
            assert daemon.wait() == 0
        assert found.lines("order") == ["front", "virt", "a", "virt"]


def test_a_guest_that_ignores_all_is_killed_after_its_time() -> None:
    with site('guest_timeout = "300ms"\n') as found:
        found.begin("a", "deaf")
        with started(found) as daemon:
            daemon.ctl("shutdown")
            assert daemon.wait() == 0
        assert found.lines("asked") == ["shutdown a", "kill a"]
        assert found.guests["a"].wait(SECONDS) == -signal.SIGKILL


def test_a_guest_may_be_left_and_then_is_named_by_everybody() -> None:
    with site('guest_timeout = "300ms"\nguest_overdue = "leave"\n') as found:
        found.begin("a", "deaf")
        with started(found) as daemon:
            done = daemon.ctl("--json", "shutdown", expect=1)
            text = "guest a of virt: it did not end within 0.3 s"
            assert json.loads(done.stdout) == {"left": [text]}
            assert done.stderr == f"left behind: {text}\n"
            assert daemon.wait() == 3
            assert f"virtsupd: left behind: {text}" in daemon.output
        assert found.guests["a"].poll() is None
        assert not found.host.run_dir.exists()
        found.guests["a"].kill()
        found.guests["a"].wait(SECONDS)


def test_at_the_deadline_of_all_what_is_left_gets_kill() -> None:
    deaf = f"command = {shell('trap : TERM; while :; do sleep 1000 & wait; done')}\n"
    slow = f'[service.slow]\n{deaf}stop = {{ delay = "1h" }}\n'
    with site('shutdown_timeout = "700ms"\n', services=slow) as found:
        found.begin("a", "deaf")
        with started(found) as daemon:
            daemon.ctl("shutdown")
            assert daemon.wait() == 0
        assert found.lines("asked") == ["shutdown a", "kill a"]


def test_a_kind_that_does_not_answer_holds_nothing_up_beyond_the_deadline() -> None:
    with site('shutdown_timeout = "700ms"\n', "hangs = true") as found, started(found) as daemon:
        done = daemon.ctl("shutdown", expect=1)
        assert done.stderr == "left behind: guests of virt: not known which run: no answer\n"
        assert daemon.wait() == 3


def test_the_host_of_guests_comes_back_for_them_if_it_crashes() -> None:
    with site() as found:
        found.begin("a", "holds")
        with started(found) as daemon:
            before = daemon.pid("virt")
            with shutting_down(daemon) as client:
                found.await_asked("shutdown a")
                (found.directory / "up").unlink()
                os.kill(before, signal.SIGKILL)
                eventually((found.directory / "up").exists, "another virt")
                assert daemon.pid("virt") != before
                found.release("a")
                assert client.wait(SECONDS) == 0
            assert daemon.wait() == 0
        assert found.lines("order") == ["a", "front", "virt"]


def test_a_successor_goes_on_with_the_guests_and_finishes() -> None:
    with site("guest_parallel = 1\n") as found:
        for name in ("a", "b"):
            found.begin(name, "holds")
        with started(found) as daemon:
            pids = [daemon.pid(name) for name in ("virt", "front")]
            with shutting_down(daemon) as client:
                found.await_asked("shutdown a")
                before = shutdown_of(daemon)
                daemon.kill()
                assert client.wait(SECONDS) == 6, "nobody may believe that all is stopped"
        with started(found, until="STATUS=shutting down") as heir:
            assert any("READY=1" in message for message in heir.said)
            after = shutdown_of(heir)
            assert [after[k] for k in ("by", "since", "deadline")] == [
                before[k] for k in ("by", "since", "deadline")
            ]
            assert [heir.pid(name) for name in ("virt", "front")] == pids
            found.await_asked("shutdown a", "shutdown a")
            found.release("a")
            found.await_asked("shutdown a", "shutdown a", "shutdown b")
            found.release("b")
            assert heir.wait() == 0
        assert found.lines("order") == ["a", "b", "front", "virt"]


def test_a_successor_goes_on_with_the_services_and_starts_none() -> None:
    holding = f"trap 'echo last >>{{dir}}/order' TERM; {_WAITING}"
    with site() as found:
        directory = found.directory
        command = shell(f"touch {directory}/front; {holding.format(dir=directory)}")
        text = found.host.config.read_text()
        last = (
            f'[service.last]\ncommand = {command}\nstop = {{ delay = "1s" }}\nbefore = ["virt"]\n'
        )
        found.host.config.write_text(text + last)
        with started(found) as daemon, shutting_down(daemon):
            eventually(lambda: "last" in found.lines("order"), "the last stop")
            daemon.kill()
        with found.host.started(until="STATUS=shutting down") as heir:
            assert heir.wait() == 0
            assert heir.events("service running") == []
        assert found.lines("order")[:3] == ["front", "virt", "last"]
        # The next one begins anew.
        with found.host.started() as third:
            third.await_state("front", "running")


def test_nothing_changes_a_shutdown_that_is_under_way() -> None:
    with site() as found:
        found.begin("a", "holds")
        with started(found) as daemon, shutting_down(daemon) as client:
            found.await_asked("shutdown a")
            before = shutdown_of(daemon)
            assert daemon.ctl("quit", expect=1).stderr == "virtsupctl: virtsupd is shutting down\n"
            for name in ("TERM", "INT", "HUP"):
                daemon.signal(name)
            with shutting_down(daemon, "-v") as second:
                assert second.stderr is not None
                assert second.stderr.readline() == "waits for guests: a (0 of 1 ended)\n"
                assert shutdown_of(daemon) == before
                assert found.lines("asked") == ["shutdown a"]
                found.release("a")
                assert (client.wait(SECONDS), second.wait(SECONDS)) == (0, 0)
            assert daemon.wait() == 0

"""The shell scripts of packaging/: what shellcheck says, and what host-shutdown ends and when."""

import os
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.support.init_system import PACKAGING, PATH, programs

pytestmark = [pytest.mark.component, pytest.mark.timeout(60)]

HOST_SHUTDOWN = PACKAGING / "libexec/host-shutdown"
SHELLS = (("dash",), ("busybox", "sh"))
POSIX_SCRIPTS = [
    path
    for path in sorted(PACKAGING.rglob("*"))
    if path.is_file() and path.read_bytes().startswith(b"#!/bin/sh\n")
]


def name(path: Path) -> str:
    """Name a parameter by its path in packaging/."""
    return str(path.relative_to(PACKAGING))


@pytest.mark.parametrize("script", POSIX_SCRIPTS, ids=name)
def test_shellcheck_finds_nothing(script: Path) -> None:
    _shellcheck("--external-sources", str(script))


def test_shellcheck_finds_nothing_in_the_openrc_script() -> None:
    """OpenRC's shells know `local`, and OpenRC itself reads the variables."""
    _shellcheck("--shell=sh", "--exclude=SC3043,SC2034", str(PACKAGING / "openrc/virtsupd"))


def _shellcheck(*arguments: str) -> None:
    program = programs("shellcheck") / "usr/bin/shellcheck"
    done = subprocess.run(
        [program, *arguments], cwd=PACKAGING.parent, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


class Fakes:
    """Programs in a directory of their own, in whose place a script under test runs them."""

    def __init__(self, directory: Path, shell: Sequence[str]) -> None:
        self.directory = directory
        self.log = directory / "calls"
        self.shell = shell

    def add(self, program: str, *, status: int = 0, says: str = "") -> None:
        """Make a program that notes its arguments, prints `says` and ends with `status`."""
        path = self.directory / program
        path.write_text(
            f'#!/bin/sh\necho "{program} $*" >>{self.log}\necho "{says}"\nexit {status}\n'
        )
        path.chmod(0o755)

    def add_client_of(self, daemon: str) -> None:
        """Make a virtsupctl that reaches nobody until a program of that name has been called."""
        self.add("virtsupctl")
        client = self.directory / "virtsupctl"
        found = f"grep -q '^{daemon} ' {self.log} || exit 6\nexit 0"
        client.write_text(client.read_text().replace("exit 0", found))

    def run(self, script: Path, *arguments: str, **environment: str) -> tuple[int, str]:
        """Run a script; return its exit status and what it printed."""
        path = f"{self.directory}:{programs('busybox-static')}/usr/bin:{PATH}"
        done = subprocess.run(
            [*self.shell, str(script), *arguments],
            env={"PATH": path} | environment,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    @property
    def calls(self) -> list[str]:
        """The calls of the programs so far."""
        return self.log.read_text().splitlines() if self.log.exists() else []


@pytest.fixture(params=SHELLS, ids=lambda shell: shell[0])
def fakes(request: pytest.FixtureRequest, tmp_path: Path) -> Fakes:
    shell = list(request.param)
    if shell[0] == "busybox":
        shell[0] = str(programs("busybox-static") / "usr/bin/busybox")
    return Fakes(tmp_path, shell)


def test_the_host_shuts_down_whatever_runs_guests_included(fakes: Fakes) -> None:
    fakes.add("virtsupctl")
    code, _ = fakes.run(HOST_SHUTDOWN, VIRTSUPD_SOCKET="/x/control")
    assert code == 0
    options = "--socket /x/control --verbose --timeout 15min"
    assert fakes.calls == [f"virtsupctl {options} shutdown"]


def test_a_host_without_a_virtsupd_goes_down_without_complaint(fakes: Fakes) -> None:
    fakes.add("virtsupctl", status=6)
    assert fakes.run(HOST_SHUTDOWN)[0] == 0


def test_what_did_not_end_in_time_is_reported(fakes: Fakes) -> None:
    fakes.add("virtsupctl", status=7)
    assert fakes.run(HOST_SHUTDOWN, VIRTSUPD_SHUTDOWN_TIMEOUT="2s")[0] == 7
    assert "--timeout 2s" in fakes.calls[0]


def test_services_that_virtsupd_left_end_in_order_too(fakes: Fakes) -> None:
    run_dir = fakes.directory / "run"
    (run_dir / "records").mkdir(parents=True)
    (run_dir / "records/web").touch()
    fakes.add_client_of("virtsupd")
    fakes.add("virtsupd")
    code, _ = fakes.run(HOST_SHUTDOWN, VIRTSUPD_RUN_DIR=str(run_dir), VIRTSUPD_CONFIG="/x.toml")
    assert code == 0
    called = [" ".join(call.split()[-2:]) for call in fakes.calls]
    assert (called[0], called[-1]) == ("5s status", "15min shutdown")
    assert fakes.calls.count("virtsupd --config /x.toml") == 1


def test_a_virtsupd_that_dies_in_the_middle_has_a_successor(fakes: Fakes) -> None:
    run_dir = fakes.directory / "run"
    (run_dir / "records").mkdir(parents=True)
    fakes.add_client_of("virtsupd")
    client = fakes.directory / "virtsupctl"
    crash = f"case $* in *shutdown*) : >{run_dir}/records/web ;; esac\n"
    client.write_text(client.read_text().replace("grep -q", f"{crash}grep -q"))
    fakes.add("virtsupd")
    code, _ = fakes.run(HOST_SHUTDOWN, VIRTSUPD_RUN_DIR=str(run_dir), VIRTSUPD_CONFIG="/x.toml")
    assert code == 0
    called = [call.split()[-1] for call in fakes.calls]
    assert (called[0], called[-1]) == ("shutdown", "shutdown")
    assert fakes.calls.count("virtsupd --config /x.toml") == 1


def _left(fakes: Fakes, virtsupd: str) -> dict[str, str]:
    """Leave a service behind, and a virtsupd to be started for it which runs this line."""
    run_dir = fakes.directory / "run"
    (run_dir / "records").mkdir(parents=True)
    (run_dir / "records/web").touch()
    fakes.add_client_of("virtsupd")
    client = fakes.directory / "virtsupctl"
    timed_out = "case $* in *shutdown*) exit 7 ;; esac\nexit 0"
    client.write_text(client.read_text().replace("exit 0", timed_out))
    fakes.add("virtsupd")
    daemon = fakes.directory / "virtsupd"
    daemon.write_text(daemon.read_text().replace("exit 0", virtsupd))
    return {"VIRTSUPD_RUN_DIR": str(run_dir), "VIRTSUPD_SHUTDOWN_TIMEOUT": "1s"}


def test_a_virtsupd_that_does_not_end_in_time_is_not_waited_for(fakes: Fakes) -> None:
    where = _left(fakes, f"echo $$ >{fakes.directory}/pid; exec sleep 50 >/dev/null 2>&1")
    began = time.monotonic()
    code, said = fakes.run(HOST_SHUTDOWN, **where)
    os.kill(int((fakes.directory / "pid").read_text()), signal.SIGKILL)
    assert code == 7
    assert "has not ended" in said
    assert time.monotonic() - began < 30


def test_a_virtsupd_that_ends_a_moment_too_late_has_ended(fakes: Fakes) -> None:
    assert fakes.run(HOST_SHUTDOWN, **_left(fakes, "sleep 1"))[0] == 0


def test_no_virtsupd_is_started_on_a_host_that_goes_down_without_services(fakes: Fakes) -> None:
    fakes.add("virtsupctl", status=6)
    fakes.add("virtsupd")
    assert fakes.run(HOST_SHUTDOWN, VIRTSUPD_RUN_DIR=str(fakes.directory))[0] == 0
    assert [call for call in fakes.calls if call.startswith("virtsupd ")] == []


@pytest.mark.parametrize("state", ["running", "degraded", "maintenance", "starting", ""])
def test_nothing_ends_while_systemd_goes_on(fakes: Fakes, state: str) -> None:
    fakes.add("virtsupctl")
    fakes.add("systemctl", says=state)
    assert fakes.run(HOST_SHUTDOWN, "--if-systemd-stops")[0] == 0
    assert fakes.calls == ["systemctl is-system-running"]


def test_all_ends_when_systemd_stops(fakes: Fakes) -> None:
    fakes.add("virtsupctl")
    fakes.add("systemctl", says="stopping", status=1)
    assert fakes.run(HOST_SHUTDOWN, "--if-systemd-stops")[0] == 0
    assert fakes.calls[1].endswith("shutdown")


def test_a_mistyped_option_ends_nothing(fakes: Fakes) -> None:
    fakes.add("virtsupctl")
    assert fakes.run(HOST_SHUTDOWN, "--if-stopping")[0] == 2
    assert fakes.calls == []

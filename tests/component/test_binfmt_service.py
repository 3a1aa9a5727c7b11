"""qemu-binfmt under virtsupd, all of it run by an ordinary user."""

import os
import signal
import tempfile
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from tests.support import foreign
from tests.support.binfmt import DIRECTORY
from tests.support.binfmt_service import MOUNT, SERVICE, BinfmtHost, binfmt_host
from tests.support.binfmt_settings import registration
from tests.support.checks import eventually

from virtsupd.binfmt.platforms import NAMES, host_family, lookup_qemu_platforms

pytestmark = [pytest.mark.component, pytest.mark.timeout(120)]

BOTH = {"qemu-arm", "qemu-aarch64"}
NOT_EXECUTED = 126
FOREIGN = registration("sh4").line.replace(b"qemu-sh4:", b"others:", 1)


@pytest.fixture(scope="module")
def shop() -> Iterator[Path]:
    """Give the tests a directory for what is compiled, which every user can reach."""
    with tempfile.TemporaryDirectory(prefix="vs-", dir="/tmp") as directory:
        Path(directory).chmod(0o755)
        yield Path(directory)


@pytest.fixture(scope="module")
def arm(shop: Path) -> Path:
    """Give the tests a program of arm."""
    return foreign.built(shop, "arm")


@pytest.fixture
def host() -> Iterator[BinfmtHost]:
    """Give a test a host of arm and aarch64, on which nothing runs yet."""
    with binfmt_host("arm", "aarch64") as host:
        yield host


def test_what_a_start_registers_runs_and_a_stop_takes_away(
    host: BinfmtHost, shop: Path, arm: Path
) -> None:
    with host.started():
        assert host.ended_with(arm) == NOT_EXECUTED
        assert "is running" in host.ctl("start", SERVICE).stdout
        assert host.status()["status_text"] == "registered: arm, aarch64"
        assert set(host.entries()) == BOTH
        for platform in ("arm", "aarch64"):
            assert host.ended_with(foreign.built(shop, platform)) == foreign.ENDS_WITH
        host.kernel.register(FOREIGN)
        host.ctl("stop", SERVICE)
        assert set(host.entries()) == {"others"}
        assert host.ended_with(arm) == NOT_EXECUTED


def test_the_table_is_mounted_when_it_is_missing_and_stays(host: BinfmtHost) -> None:
    before = host.mounts()
    with host.started():
        host.ctl("start", SERVICE)
        assert host.status(MOUNT)["state"] == "running"
        assert host.mounts() == before + 1
    assert host.mounts() == before + 1


def test_a_table_that_is_mounted_is_used_as_it_is() -> None:
    with binfmt_host("arm", is_mounted=True) as host:
        host.kernel.register(FOREIGN)
        before = host.mounts()
        with host.started():
            host.ctl("start", SERVICE)
            assert host.mounts() == before
            assert set(host.entries()) == {"qemu-arm", "others"}
        assert set(host.entries()) == {"others"}


def test_a_flush_is_repaired_and_counted(host: BinfmtHost, arm: Path) -> None:
    with host.started():
        host.ctl("start", SERVICE)
        for times in (2, 4):
            host.flush()
            assert host.says(f"put back {times} times, last at ").startswith(
                "registered: arm, aarch64"
            )
            assert set(host.entries()) == BOTH
            assert host.ended_with(arm) == foreign.ENDS_WITH
        assert "aarch64: somebody took it away" in host.host.log(SERVICE)


def test_a_successor_of_a_killed_virtsupd_takes_the_process_over(
    host: BinfmtHost, arm: Path
) -> None:
    with host.started() as first:
        host.ctl("start", SERVICE)
        pid, entries = host.pid(), host.entries()
        first.kill()
        with host.started():
            assert (host.pid(), host.entries()) == (pid, entries)
            assert host.ended_with(arm) == foreign.ENDS_WITH
            host.flush()
            assert host.says("registered: arm, aarch64; put back 2 times")
    assert host.entries() == {}


def test_a_killed_process_leaves_its_entries_which_the_next_one_knows(
    host: BinfmtHost, arm: Path
) -> None:
    with host.started():
        host.ctl("start", SERVICE)
        pid, entries = host.pid(), host.entries()
        with host.executing(arm, foreign.ENDS_WITH):
            os.kill(pid, signal.SIGKILL)
            eventually(lambda: host.status()["pid"] not in (None, pid), "another process")
            eventually(lambda: host.status()["state"] == "running", "it is running")
        assert host.entries() == entries
        assert host.says("registered: arm, aarch64")
        host.ctl("stop", SERVICE)
        assert host.entries() == {}


def test_a_process_that_dies_again_and_again_leaves_no_entries_once_it_has_failed(
    host: BinfmtHost, arm: Path
) -> None:
    with host.started():
        host.ctl("start", SERVICE)
        host.kernel.register(FOREIGN)
        while host.status()["state"] != "stopped" or not host.status()["failed"]:
            with suppress(ProcessLookupError, KeyError, TypeError):
                os.kill(host.pid(), signal.SIGKILL)
        assert set(host.entries()) == {"others"}
        assert host.ended_with(arm) == NOT_EXECUTED


def test_a_process_that_hangs_is_killed_by_a_stop_and_leaves_no_entries(host: BinfmtHost) -> None:
    with host.started():
        host.ctl("start", SERVICE)
        pid = host.pid()
        os.kill(pid, signal.SIGSTOP)
        stopping = threading.Thread(target=host.ctl, args=("stop", SERVICE))
        stopping.start()
        eventually(lambda: host.status()["state"] == "stopping", "it is being stopped")
        os.kill(pid, signal.SIGKILL)
        stopping.join()
        assert host.entries() == {}


def test_a_table_that_lives_on_elsewhere_is_found_again_by_a_stop(
    host: BinfmtHost, shop: Path
) -> None:
    elsewhere = shop / "elsewhere"
    elsewhere.mkdir()
    with host.started():
        host.ctl("start", SERVICE)
        host.kernel.run("mount", "--bind", str(DIRECTORY), str(elsewhere))
        host.kernel.run("umount", str(DIRECTORY))
        host.ctl("stop", SERVICE)
        left = host.kernel.run("ls", str(elsewhere)).stdout.split()
        assert set(left) == {"register", "status"}


def test_entries_go_when_the_table_leaves_the_configuration(host: BinfmtHost) -> None:
    with host.started():
        host.ctl("start", SERVICE)
        host.host.write("")
        host.ctl("reload")
        eventually(lambda: host.entries() == {}, "they are gone")


def test_a_reload_adds_and_removes_platforms_without_a_gap_for_the_others(
    host: BinfmtHost, shop: Path, arm: Path
) -> None:
    riscv64 = foreign.built(shop, "riscv64")
    with host.started():
        host.ctl("start", SERVICE)
        pid, entry = host.pid(), host.entries()["qemu-arm"]
        with host.executing(arm, foreign.ENDS_WITH):
            host.write("arm", "riscv64")
            host.ctl("reload")
            host.says("registered: arm, riscv64")
        assert set(host.entries()) == {"qemu-arm", "qemu-riscv64"}
        assert (host.pid(), host.entries()["qemu-arm"]) == (pid, entry)
        assert host.ended_with(riscv64) == foreign.ENDS_WITH
        assert not host.status()["replacement_pending"]


def test_the_shutdown_of_a_host_takes_away_what_is_its_own(host: BinfmtHost, arm: Path) -> None:
    with host.started() as daemon:
        host.ctl("start", SERVICE)
        host.kernel.register(FOREIGN)
        host.ctl("shutdown")
        assert daemon.wait() == 0
    assert set(host.entries()) == {"others"}
    assert host.ended_with(arm) == NOT_EXECUTED


def test_what_stands_in_the_way_is_named_by_the_start(host: BinfmtHost) -> None:
    with host.started():
        host.ctl("start", MOUNT)
        host.kernel.register(registration("aarch64", interpreter="/bin/true").line)
        refused = host.ctl("start", SERVICE, is_ok=False)
        assert refused.returncode != 0
        assert "qemu-aarch64 is registered by somebody else" in host.status()["status_text"]
        assert set(host.entries()) == {"qemu-aarch64"}


def test_one_platform_can_be_taken_off_and_entered_again(host: BinfmtHost, arm: Path) -> None:
    with host.started():
        host.ctl("start", SERVICE)
        host.ctl("unregister", SERVICE, "arm")
        assert set(host.entries()) == {"qemu-aarch64"}
        assert host.ended_with(arm) == NOT_EXECUTED
        assert "taken off by an operator: arm" in host.says("taken off")
        host.ctl("register", SERVICE, "arm")
        assert host.ended_with(arm) == foreign.ENDS_WITH


def test_the_stock_herd_starts_shows_and_stops_it(host: BinfmtHost, arm: Path) -> None:
    with host.started():
        host.herd("start", SERVICE)
        assert host.ended_with(arm) == foreign.ENDS_WITH
        shown = host.herd("status", SERVICE).stdout
        assert "It is running since" in shown
        listed = host.herd("table", SERVICE).stdout
        assert [line.split()[0] for line in listed.splitlines()[1:]] == ["qemu-aarch64", "qemu-arm"]
        proved = host.herd("verify", SERVICE).stdout
        assert [line.split()[:2] for line in proved.splitlines()[1:]] == [
            ["arm", "ok"],
            ["aarch64", "ok"],
        ]
        host.herd("stop", SERVICE)
        assert host.entries() == {}


def test_verify_tells_what_does_not_run(host: BinfmtHost) -> None:
    with host.started():
        host.ctl("start", SERVICE)
        os.kill(host.pid(), signal.SIGSTOP)
        host.kernel.run("sh", "-c", f"echo -1 >{DIRECTORY}/qemu-arm")
        found = host.ctl("verify", SERVICE, is_ok=False)
        os.kill(host.pid(), signal.SIGCONT)
        assert found.returncode == 1
        assert "no entry takes its programs" in found.stdout + found.stderr
        host.says("put back 1 time")
        assert host.ctl("verify", SERVICE).returncode == 0


def test_all_platforms_that_are_not_the_hosts_own_kind_run_at_once() -> None:
    own = host_family(os.uname().machine)
    names = [one.name for one in lookup_qemu_platforms(*NAMES) if one.family != own]
    with binfmt_host(*names) as host, host.started():
        host.ctl("start", SERVICE)
        assert len(host.entries()) == len(names)
        proved = host.ctl("verify", SERVICE).stdout.splitlines()[1:]
        assert [line.split()[:2] for line in proved] == [[name, "ok"] for name in names]
        host.ctl("stop", SERVICE)
        assert host.entries() == {}

"""The process that holds entries, on the kernel's table of a user namespace."""

import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from tests.support.binfmt import DIRECTORY, private_kernel
from tests.support.binfmt_settings import registration
from tests.support.checks import eventually
from tests.support.holding import Host

pytestmark = pytest.mark.component

KILLED_AT_THE_SECOND = (
    *("strace", "-D", "-qq", "-o", "/dev/null", "-e", "trace=write", "-P", f"{DIRECTORY}/register"),
    *("-e", "inject=write:signal=SIGKILL:when=2"),
)


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    """Give each test a table of its own."""
    with private_kernel() as kernel:
        yield Host(kernel, tmp_path)


def test_platforms_are_registered_and_run_and_are_taken_away_at_the_end(host: Host) -> None:
    with host.holding(host.settings("arm", "aarch64", "s390x")) as held:
        held.until("READY=1")
        assert host.entries() == {"qemu-arm", "qemu-aarch64", "qemu-s390x"}
        assert host.runs("arm")
        host.add("foreign", "sh4")
        assert held.end() == 0
    assert host.entries() == {"foreign"}
    assert not host.runs("arm")


@pytest.mark.parametrize(
    ("script", "times"),
    [
        (f"echo -1 >{DIRECTORY}/status", 2),
        (f"echo -1 >{DIRECTORY}/qemu-arm", 1),
        (f"echo 0 >{DIRECTORY}/qemu-arm", 1),
    ],
    ids=["flush", "one", "off"],
)
def test_what_others_take_away_is_put_back_and_counted(host: Host, script: str, times: int) -> None:
    with host.holding(host.settings("arm", "aarch64")) as held:
        held.until("READY=1")
        host.shell(script)
        said = held.until("put back")
        assert f"registered: arm, aarch64; put back {times} time" in said
        assert host.runs("arm")
        assert host.runs("aarch64")


def test_who_keeps_removing_an_entry_is_given_way_to(host: Host) -> None:
    with host.holding(host.settings("arm", "aarch64")) as held:
        held.until("READY=1")
        for count in range(1, 6):
            host.shell(f"echo -1 >{DIRECTORY}/qemu-arm")
            held.until(f"put back {count} time")
        host.shell(f"echo -1 >{DIRECTORY}/qemu-arm")
        held.until("arm is not registered: somebody keeps removing it")
        assert host.entries() == {"qemu-aarch64"}


def test_killed_between_two_registrations_the_next_start_has_all_and_a_stop_none(
    host: Host,
) -> None:
    assert shutil.which("strace"), "strace is missing: scripts/setup test"
    settings = host.settings("arm", "aarch64", "s390x")
    with host.holding(settings, *KILLED_AT_THE_SECOND) as held:
        held.process.wait(timeout=15)
    assert "qemu-arm" in host.entries()
    assert len(host.entries()) < 3
    with host.holding(settings) as held:
        held.until("READY=1")
        assert len(host.entries()) == 3
        assert held.end() == 0
    assert host.entries() == set()


def test_killed_at_work_the_next_start_knows_its_own(host: Host) -> None:
    settings = host.settings("arm", "aarch64")
    with host.holding(settings) as held:
        held.until("READY=1")
        held.end(signal.SIGKILL)
    assert len(host.entries()) == 2
    with host.holding(settings) as held:
        held.until("READY=1")
        held.end()
    assert host.entries() == set()


@pytest.mark.parametrize("name", ["aarch64", "riscv64"])
def test_one_platform_that_fails_undoes_the_others_and_names_itself(host: Host, name: str) -> None:
    host.add(f"qemu-{name}", name)
    with host.holding(host.settings("arm", "aarch64", "riscv64")) as held:
        said = held.until("STATUS=")
        assert f"'{name}': its programs do not run: ended with 1" in said
        assert f"qemu-{name} is registered by somebody else" in said
        assert held.process.wait(timeout=15) == 1
    assert host.entries() == {f"qemu-{name}"}


def test_an_emulator_that_runs_nothing_is_found_by_the_proof_and_all_is_undone(
    host: Host, tmp_path: Path
) -> None:
    (tmp_path / "bin").mkdir()
    for name in ("arm", "aarch64"):
        shutil.copy(f"/usr/bin/qemu-{name}-static", tmp_path / f"bin/qemu-{name}")
    shutil.copy("/usr/bin/qemu-s390x-static", tmp_path / "bin/qemu-aarch64")
    with host.holding(host.settings("arm", "aarch64", qemu=str(tmp_path))) as held:
        said = held.until("'aarch64' is registered, and its programs do not run")
        assert "STATUS=" in said
        assert held.process.wait(timeout=15) == 1
    assert host.entries() == set()


def test_an_equal_entry_of_others_serves_and_is_left(host: Host) -> None:
    settings = host.settings("arm")
    with host.holding(settings) as held:
        held.until("READY=1")
        held.end(signal.SIGKILL)
    Path(host.directory / "record.json").unlink()
    with host.holding(settings) as held:
        assert "arm: registered by somebody else, just so" in held.until("READY=1")
        held.end()
    assert host.entries() == {"qemu-arm"}


def test_what_is_lost_by_an_entry_of_others_without_our_flags_is_said(host: Host) -> None:
    host.kernel.register(registration("arm", flags="P").line)
    with host.holding(host.settings("arm")) as held:
        said = held.until("READY=1")
        lost = "(without F only in containers and chroots that have its interpreter)"
        assert f"its programs run, and not by an entry of ours {lost}: qemu-arm is" in said
        assert held.end() == 0


def test_an_entry_of_others_that_differs_and_serves_is_reported_and_left(host: Host) -> None:
    """As on Debian, whose packages enter emulators with other flags."""
    host.kernel.register(registration("arm", flags="POF").line)
    with host.holding(host.settings("arm", "aarch64")) as held:
        said = held.until("READY=1")
        assert (
            "registered: arm, aarch64; arm: its programs run, and not by an entry of ours: " in said
        )
        assert "qemu-arm is registered by somebody else" in said
        assert "flags POF" in said
        host.shell(f"echo -1 >{DIRECTORY}/qemu-arm")
        held.until("registered: arm, aarch64; put back 1 time")
        assert held.end() == 0
    assert host.entries() == set()


def test_a_namespace_within_gets_its_own_table_whatever_was_recorded(host: Host) -> None:
    """Its root sees the outer table, and could write to it."""
    settings = host.settings("arm")
    within = ("unshare", "--user", "--map-root-user", "--mount", "--propagation", "private", "--")
    with host.holding(settings, *within) as held:
        held.until("READY=1")
        assert host.entries() == set()
        assert held.end() == 0
    with host.holding(settings) as outer:
        outer.until("READY=1")
        assert host.entries() == {"qemu-arm"}


def test_whoever_takes_the_same_programs_is_reported_and_not_fought(host: Host) -> None:
    with host.holding(host.settings("arm")) as held:
        held.until("READY=1")
        host.add("other", "arm")
        held.until("arm: other of somebody else takes its programs, too: /bin/false")
        assert host.entries() == {"qemu-arm", "other"}


def test_a_table_that_is_switched_off_is_not_switched_on(host: Host) -> None:
    host.shell(f"echo 0 >{DIRECTORY}/status")
    with host.holding(host.settings("arm")) as held:
        assert "echo 1 >" in held.until("binfmt_misc is switched off as a whole")
        assert held.process.wait(timeout=15) == 1
    assert host.shell(f"cat {DIRECTORY}/status").strip() == "disabled"
    assert host.entries() == set()


def test_new_settings_hold_without_a_moment_when_programs_do_not_run(host: Host) -> None:
    """Other flags make other entries: each is replaced while programs run all the time."""
    with host.holding(host.settings("arm", "aarch64")) as held:
        held.until("READY=1")
        proof = host.proof("arm")
        stop = host.directory / "stop"
        loop = f"while [ ! -e {stop} ]; do {proof}; [ $? = 42 ] || echo failed; done"
        running = subprocess.Popen(
            host.kernel.enter("sh", "-c", loop), stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        try:
            for flags in ("F", "FPO", "FP") * 3:
                host.settings("arm", "s390x", flags=flags)
                held.process.send_signal(signal.SIGHUP)
                for name in ("arm", "s390x"):
                    eventually(partial(has_flags, host, name, flags), f"{name} has {flags}")
        finally:
            stop.touch()
            said, _ = running.communicate(timeout=15)
        assert said == b""
        assert host.entries() == {"qemu-arm", "qemu-s390x"}


def has_flags(host: Host, name: str, flags: str) -> bool:
    text = host.kernel.run("cat", f"{DIRECTORY}/qemu-{name}", is_ok=False).stdout
    lines = [line for line in text.splitlines() if line.startswith("flags: ")]
    return bool(lines) and set(lines[0].removeprefix("flags: ")) == set(flags)


def test_settings_that_cannot_hold_leave_the_old_ones_in_force(host: Host) -> None:
    host.add("qemu-s390x", "s390x")
    with host.holding(host.settings("arm")) as held:
        held.until("READY=1")
        host.settings("aarch64", "s390x")
        held.process.send_signal(signal.SIGHUP)
        said = held.until("the new settings are not in force")
        assert "registered: arm; " in said
        assert host.entries() == {"qemu-arm", "qemu-s390x"}
        assert host.runs("arm")


def test_an_emulator_that_is_replaced_is_entered_anew(host: Host, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    shutil.copy("/usr/bin/qemu-arm-static", tmp_path / "bin/qemu-arm")
    with host.holding(host.settings("arm", qemu=str(tmp_path))) as held:
        held.until("READY=1")
        before = inode(host)
        shutil.copy("/usr/bin/qemu-arm-static", tmp_path / "bin/.new")
        (tmp_path / "bin/.new").rename(tmp_path / "bin/qemu-arm")
        eventually(lambda: inode(host) not in ("", before), "another entry")
        assert host.runs("arm")


def test_a_prefix_that_is_a_link_to_the_newest_generation_is_followed(
    host: Host, tmp_path: Path
) -> None:
    for generation in ("1", "2"):
        (tmp_path / generation / "bin").mkdir(parents=True)
        shutil.copy("/usr/bin/qemu-arm-static", tmp_path / generation / "bin/qemu-arm")
    system = tmp_path / "system"
    system.symlink_to("1")
    with host.holding(host.settings("arm", qemu=str(system))) as held:
        held.until("READY=1")
        before = inode(host)
        (tmp_path / "new").symlink_to("2")
        (tmp_path / "new").rename(system)
        eventually(lambda: inode(host) not in ("", before), "another entry")
        assert host.runs("arm")


def inode(host: Host) -> str:
    """Return what tells the entry of arm from another one of its name."""
    entry = f"{DIRECTORY}/qemu-arm"
    return host.kernel.run("stat", "-c", "%i", entry, is_ok=False).stdout


def test_a_platform_that_is_taken_off_is_not_put_back_until_it_is_registered(host: Host) -> None:
    settings = host.settings("arm", "aarch64")
    switch = (sys.executable, "-I", "-m", "virtsupd.services.binfmt_switch")
    with host.holding(settings) as held:
        held.until("READY=1")
        host.kernel.run(*switch, "unregister", str(settings), "arm")
        held.until("taken off by an operator: arm")
        host.shell(f"echo -1 >{DIRECTORY}/qemu-aarch64")
        held.until("put back 1 time")
        assert host.entries() == {"qemu-aarch64"}
        host.kernel.run(*switch, "register", str(settings), "arm")
        assert host.runs("arm")


def test_what_is_taken_off_stays_so_when_the_process_dies_but_not_after_a_stop(host: Host) -> None:
    settings = host.settings("arm", "aarch64")
    switch = (sys.executable, "-I", "-m", "virtsupd.services.binfmt_switch")
    with host.holding(settings) as held:
        held.until("READY=1")
        host.shell(f"echo -1 >{DIRECTORY}/qemu-aarch64")
        held.until("put back 1 time")
        host.kernel.run(*switch, "unregister", str(settings), "arm")
        held.until("taken off by an operator: arm")
        held.end(signal.SIGKILL)
    with host.holding(settings) as held:
        assert "taken off by an operator: arm; put back 1 time" in held.until("READY=1")
        assert host.entries() == {"qemu-aarch64"}
        held.end()
    with host.holding(settings) as held:
        assert held.until("READY=1").endswith("STATUS=registered: arm, aarch64")
        assert host.entries() == {"qemu-arm", "qemu-aarch64"}

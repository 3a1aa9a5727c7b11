"""The process that holds entries, where others get in its way; on the kernel's table of a user namespace."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from tests.support.binfmt import DIRECTORY, private_kernel
from tests.support.binfmt_settings import registration
from tests.support.checks import eventually
from tests.support.holding import HOLD, Holding, Host

from virtsupd.binfmt.entries import Registration
from virtsupd.binfmt.platforms import lookup_qemu_platforms
from virtsupd.binfmt.settings import Settings

pytestmark = pytest.mark.component

SWITCH = (sys.executable, "-I", "-m", "virtsupd.services.binfmt_switch")
RUNNING = "registered: arm"


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    """Give each test a table of its own."""
    with private_kernel() as kernel:
        yield Host(kernel, tmp_path)


def replace(emulator: Path, content: bytes) -> None:
    """Put another file in the place of an emulator, as a package manager does."""
    new = emulator.with_name(".new")
    new.write_bytes(content)
    new.chmod(0o755)
    new.rename(emulator)


def test_an_emulator_with_which_nothing_runs_does_not_replace_the_one_that_serves(
    host: Host, tmp_path: Path
) -> None:
    emulator = tmp_path / "bin/qemu-arm"
    emulator.parent.mkdir()
    shutil.copy("/usr/bin/qemu-arm-static", emulator)
    with host.holding(host.settings("arm", qemu=str(tmp_path))) as held:
        held.until("READY=1")
        replace(emulator, Path("/usr/bin/qemu-s390x-static").read_bytes())
        said = held.until(
            "is another file now, or to be entered otherwise, and its programs do not run"
        )
        assert f"{RUNNING}; arm: {emulator} is" in said
        assert "does not run: " not in said
        assert host.runs("arm")
        assert host.entries() == {"qemu-arm"}
        replace(emulator, b"#!/bin/sh\n")
        held.until("is no ELF file")
        assert host.runs("arm")
        replace(emulator, Path("/usr/bin/qemu-arm-static").read_bytes())
        assert held.until(RUNNING) == f"STATUS={RUNNING}"
        assert host.runs("arm")


def test_emulators_that_hang_are_tried_all_at_once(host: Host, tmp_path: Path) -> None:
    """Each takes 10 s until it is given up: one after another that would be half a minute."""
    names = ("arm", "aarch64", "s390x")
    (tmp_path / "bin").mkdir()
    hanging = hanging_emulator(tmp_path)
    for name in names:
        shutil.copy(f"/usr/bin/qemu-{name}-static", tmp_path / f"bin/qemu-{name}")
    with host.holding(host.settings(*names, qemu=str(tmp_path))) as held:
        held.until("READY=1")
        for name in names:
            replace(tmp_path / f"bin/qemu-{name}", hanging)
        said = held.until("another file now")
        assert all(f"; {name}: {tmp_path}/bin/qemu-{name} is another" in said for name in names)
        assert all(host.runs(name) for name in names)
        assert host.entries() == {f"qemu-{name}" for name in names}


def hanging_emulator(directory: Path) -> bytes:
    source = b"#include <unistd.h>\nint main(void) { for (;;) pause(); }\n"
    made = directory / "hanging"
    compiler = ["cc", "-static", "-x", "c", "-o", str(made), "-"]
    subprocess.run(compiler, input=source, check=True, timeout=15)
    return made.read_bytes()


def test_a_stop_waits_for_no_emulator_that_hangs(host: Host, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    shutil.copy("/usr/bin/qemu-arm-static", tmp_path / "bin/qemu-arm")
    with host.holding(host.settings("arm", qemu=str(tmp_path))) as held:
        held.until("READY=1")
        replace(tmp_path / "bin/qemu-arm", hanging_emulator(tmp_path))
        eventually(lambda: "qemu-arm.new" in host.entries(), "the new one is tried")
        assert_stops_at_once(held)
    assert host.entries() == set()


def assert_stops_at_once(held: Holding, *before: int) -> None:
    """Far sooner than the 10 s for which a program is waited for, and as a stop, not as a failure."""
    for number in (*before, signal.SIGTERM):
        held.process.send_signal(number)
    assert held.process.wait(timeout=5) == 0


def with_emulators(directory: Path, *hanging: str) -> str:
    """Return the prefix of emulators for arm and aarch64 of which these hang."""
    (directory / "bin").mkdir()
    for name in ("arm", "aarch64"):
        emulator = directory / f"bin/qemu-{name}"
        shutil.copy(f"/usr/bin/qemu-{name}-static", emulator)
        if name in hanging:
            replace(emulator, hanging_emulator(directory))
    return str(directory)


def is_being_tried(held: Holding) -> bool:
    """Whether a helper waits for the programs that it has begun."""
    helpers = children(held.process.pid)
    return any(children(helper) for helper in helpers)


def children(pid: int) -> list[int]:
    try:
        return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:  # it has just ended
        return []


@pytest.mark.parametrize("before", [(), (signal.SIGHUP,)], ids=["TERM", "HUP and TERM"])
def test_a_stop_ends_a_start_whose_emulator_hangs_and_leaves_nothing(
    host: Host, tmp_path: Path, before: tuple[int, ...]
) -> None:
    settings = host.settings("arm", "aarch64", qemu=with_emulators(tmp_path, "aarch64"))
    with host.holding(settings) as held:
        eventually(lambda: is_being_tried(held), "the programs are tried")
        assert_stops_at_once(held, *before)
    assert host.entries() == set()


def test_a_hup_does_not_end_the_proof_of_a_start(host: Host, tmp_path: Path) -> None:
    settings = host.settings("arm", "aarch64", qemu=with_emulators(tmp_path, "aarch64"))
    with host.holding(settings) as held:
        eventually(lambda: is_being_tried(held), "the programs are tried")
        held.process.send_signal(signal.SIGHUP)
        said = held.until("STATUS=")
        assert "'aarch64' is registered, and its programs do not run: no end within 10 s" in said
        assert held.process.wait(timeout=5) == 1
    assert host.entries() == set()


def test_a_stop_ends_the_proof_of_an_entry_of_others_that_hangs(host: Host, tmp_path: Path) -> None:
    prefix = with_emulators(tmp_path, "aarch64")
    entry = registration("aarch64", interpreter=f"{prefix}/bin/qemu-aarch64", flags="POF")
    host.kernel.register(entry.line)
    with host.holding(host.settings("arm", "aarch64", qemu=prefix)) as held:
        eventually(lambda: is_being_tried(held), "the programs are tried")
        assert host.entries() == {"qemu-aarch64"}
        assert_stops_at_once(held)
    assert host.entries() == {"qemu-aarch64"}


@pytest.mark.parametrize("before", [(), (signal.SIGHUP,)], ids=["TERM", "HUP and TERM"])
def test_a_stop_ends_a_renewal_by_hup_whose_emulator_hangs(
    host: Host, tmp_path: Path, before: tuple[int, ...]
) -> None:
    prefix = with_emulators(tmp_path)
    with host.holding(host.settings("arm", qemu=prefix)) as held:
        held.until("READY=1")
        replace(tmp_path / "bin/qemu-arm", hanging_emulator(tmp_path))
        held.process.send_signal(signal.SIGHUP)
        held.until("RELOADING=1")
        eventually(lambda: "qemu-arm.new" in host.entries(), "the new one is tried")
        assert_stops_at_once(held, *before)
    assert host.entries() == set()


def test_a_stop_ends_the_proof_of_platforms_that_a_hup_adds(host: Host, tmp_path: Path) -> None:
    prefix = with_emulators(tmp_path, "aarch64")
    with host.holding(host.settings("arm", qemu=prefix)) as held:
        held.until("READY=1")
        host.settings("arm", "aarch64", qemu=prefix)
        held.process.send_signal(signal.SIGHUP)
        eventually(lambda: is_being_tried(held), "the programs are tried")
        assert_stops_at_once(held)
    assert host.entries() == set()


def test_that_the_table_is_switched_off_and_on_is_said(host: Host) -> None:
    with host.holding(host.settings("arm")) as held:
        held.until("READY=1")
        host.shell(f"echo 0 >{DIRECTORY}/status")
        held.until("binfmt_misc is switched off as a whole")
        assert host.shell(f"cat {DIRECTORY}/status").strip() == "disabled"
        host.shell(f"echo -1 >{DIRECTORY}/qemu-arm")
        held.until("arm does not run: ")
        host.shell(f"echo 1 >{DIRECTORY}/status")
        assert "does not run" not in held.until("STATUS=registered: arm; put back 1 time")


def test_a_table_that_is_unmounted_is_mounted_and_filled_again(host: Host) -> None:
    with host.holding(host.settings("arm")) as held:
        held.until("READY=1")
        for times in ("1 time,", "2 times,"):
            host.shell(f"umount {DIRECTORY}")
            held.until(f"mounted again {times}")
            assert host.runs("arm")
        host.shell(f"echo -1 >{DIRECTORY}/status")
        held.until("put back ")
        assert host.runs("arm")
        assert held.end() == 0
    assert host.entries() == set()


def holding_with_rechecks(host: Host) -> AbstractContextManager[Holding]:
    record = str(host.directory / "record.json")
    file = host.settings("arm")
    file.write_text(Settings(("arm",), record, recheck_seconds=0.2).text)
    return host.holding(file)


def test_an_entry_whose_interpreter_is_no_text_ends_nothing(host: Host) -> None:
    [arm] = lookup_qemu_platforms("arm")
    strange = Registration("strange", arm.magic, arm.mask, "PATH", "").line
    line = host.directory / "line"
    line.write_bytes(strange.replace(b"PATH", b"/bin/\xff\nREADY"))
    with host.holding(host.settings("arm")) as held:
        held.until("READY=1")
        host.shell(f"cat {line} >{DIRECTORY}/register")
        held.until("strange of somebody else takes its programs, too: /bin/\\udcff")
        host.shell(f"echo -1 >{DIRECTORY}/qemu-arm")
        held.until("put back 1 time")


def test_what_is_taken_off_by_an_operator_counts_as_no_loss(host: Host) -> None:
    settings = str(host.settings("arm"))
    with host.holding(Path(settings)) as held:
        held.until("READY=1")
        for _ in range(3):
            host.kernel.run(*SWITCH, "unregister", settings, "arm")
            held.until("registered: nothing; taken off by an operator: arm")
            host.kernel.run(*SWITCH, "register", settings, "arm")
            assert held.until(RUNNING) == f"STATUS={RUNNING}"
        host.kernel.run(*SWITCH, "unregister", settings, "arm")
        held.end()
    done = host.kernel.run(*SWITCH, "register", settings, "arm", is_ok=False)
    assert done.stderr.startswith("cannot register platforms: the service is not started")
    with host.holding(Path(settings)) as held:
        assert RUNNING in held.until("READY=1")


def test_a_platform_whose_programs_do_not_run_is_not_put_on_nor_are_those_beside_it(
    host: Host, tmp_path: Path
) -> None:
    (tmp_path / "bin").mkdir()
    for name in ("arm", "aarch64", "sh4"):
        shutil.copy(f"/usr/bin/qemu-{name}-static", tmp_path / f"bin/qemu-{name}")
    settings = host.settings("arm", "aarch64", "sh4", qemu=str(tmp_path))
    with host.holding(settings) as held:
        held.until("READY=1")
        host.kernel.run(*SWITCH, "unregister", str(settings), "arm", "aarch64")
        replace(tmp_path / "bin/qemu-arm", Path("/usr/bin/qemu-s390x-static").read_bytes())
        done = host.kernel.run(
            *SWITCH, "register", str(settings), "aarch64", "arm", "sh4", is_ok=False
        )
        assert "cannot register platforms: 'arm' not entered: its programs do not" in done.stderr
        assert host.entries() == {"qemu-sh4"}
        held.until("registered: sh4; taken off by an operator: aarch64, arm")
        host.kernel.run(*SWITCH, "register", str(settings), "aarch64")
        assert host.entries() == {"qemu-aarch64", "qemu-sh4"}


def test_it_lives_on_and_loses_nothing_where_nobody_reads_its_log(host: Host) -> None:
    reading, writing = os.pipe()
    settings = host.settings("arm")
    os.close(reading)
    held = subprocess.Popen(host.kernel.enter(*HOLD, str(settings)), stdout=writing)
    os.close(writing)
    try:
        for _ in range(2):
            eventually(lambda: host.runs("arm"), "programs run")
            host.shell(f"echo -1 >{DIRECTORY}/status")
        eventually(lambda: host.runs("arm"), "programs run")
        held.send_signal(signal.SIGTERM)
        assert held.wait(timeout=15) == 0
    finally:
        held.kill()
        held.wait(timeout=15)
    assert host.entries() == set()


def test_many_repairs_leave_no_descriptor_and_no_zombie(host: Host) -> None:
    settings = host.settings("arm", "aarch64")
    with host.holding(settings) as held:
        held.until("READY=1")
        before = descriptors(held)
        for count in range(4):
            host.shell(f"echo -1 >{DIRECTORY}/status")
            held.until(f"put back {2 * count + 2} times")
            held.process.send_signal(signal.SIGHUP)
            held.until("READY=1")
        eventually(lambda: descriptors(held) <= before, "no more descriptors than before")
        children = Path(f"/proc/{held.process.pid}/task/{held.process.pid}/children")
        eventually(lambda: children.read_text() == "", "no child is left")


def descriptors(held: Holding) -> int:
    return len(list(Path(f"/proc/{held.process.pid}/fd").iterdir()))


def test_a_stopped_process_that_has_the_lock_is_named_and_hangs_nobody(host: Host) -> None:
    """Who only looks needs no lock; who changes something says whom he waited for; a TERM is obeyed."""
    settings = host.settings("arm")
    with host.holding(settings) as held:
        held.until("READY=1")
        stopped = subprocess.Popen(
            [
                "flock",
                "--no-fork",
                str(host.directory / "record.json.lock"),
                "sh",
                "-c",
                "kill -STOP $$",
            ]
        )
        try:
            os.waitid(os.P_PID, stopped.pid, os.WSTOPPED | os.WNOWAIT)
            for action, *more in (("table",), ("verify",), ("explain", host.proof("arm"))):
                program = ("-I", "-m", f"virtsupd.services.binfmt_{action}")
                host.kernel.python(*program, str(settings), *more)
            held.process.send_signal(signal.SIGTERM)
            done = host.kernel.run(*SWITCH, "unregister", str(settings), "arm", is_ok=False)
            assert f"by process {stopped.pid}, which is stopped: kill -CONT" in done.stderr
            assert held.process.wait(timeout=15) == 1
        finally:
            stopped.kill()
            stopped.wait(timeout=15)
    host.kernel.python("-I", "-m", "virtsupd.binfmt.clearing", *clearing_words(host))
    assert host.entries() == set()


def clearing_words(host: Host) -> tuple[str, str]:
    return str(host.directory / "record.json"), str(DIRECTORY)

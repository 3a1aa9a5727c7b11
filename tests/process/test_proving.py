"""The check itself, with programs of the host's own platform, which need no table."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from virtsupd.binfmt.platforms import lookup_qemu_platforms
from virtsupd.binfmt.proving import prove

pytestmark = pytest.mark.process

OWN = lookup_qemu_platforms(os.uname().machine)
[NAME] = (platform.name for platform in OWN)


def descriptors() -> set[str]:
    return {place.name for place in Path("/proc/self/fd").iterdir()}


def test_a_program_is_run_and_nothing_is_left_of_it() -> None:
    before = descriptors()
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    assert prove(OWN) == {NAME: ""}
    assert descriptors() == before
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == mask
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_other_children_and_standard_streams_are_let_be(capfd: pytest.CaptureFixture[str]) -> None:
    with subprocess.Popen(["sh", "-c", "echo before; read line; echo $line"], stdin=-1) as other:
        assert prove(OWN) == {NAME: ""}
        assert other.poll() is None
        other.communicate(b"after\n")
    assert capfd.readouterr().out == "before\nafter\n"


def test_where_this_process_is_it_runs_too() -> None:
    found = prove(OWN, pid=os.getpid())
    may_enter = os.geteuid() == 0
    assert (found[NAME] == "") == may_enter
    assert may_enter or "not permitted" in found[NAME]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes another user")
def test_what_runs_as_nobody_ends_with_who_asked_too() -> None:
    code = """
from pathlib import Path
from virtsupd.binfmt.proving import _asked, _in_root
programs = {"hanging": b"#!/bin/sh\\necho begun; exec sleep 1000\\n"}
_asked(lambda: _in_root(Path("/"), programs, 1000), 2000)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=-1) as asking:
        assert asking.stdout is not None
        assert asking.stdout.readline() == b"begun\n"
        asking.kill()
        assert asking.stdout.read() == b""  # all that could write there have ended


def test_without_platforms_nothing_is_done() -> None:
    assert prove([]) == {}


def test_a_root_and_a_process_at_once_are_refused() -> None:
    with pytest.raises(ValueError, match="either in a root, or where a process is"):
        prove(OWN, root=Path("/"), pid=1)


def test_a_handler_of_the_asking_process_is_not_run_by_the_check(tmp_path: Path) -> None:
    code = f"""
import os, signal
from virtsupd.binfmt.platforms import lookup_qemu_platforms
from virtsupd.binfmt.proving import prove
told = os.open({str(tmp_path / "told")!r}, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
own = os.getpid()
for name in ("SIGTERM", "SIGCHLD", "SIGUSR1"):
    signal.signal(signal.Signals[name], lambda *_: os.write(told, b"x" * (os.getpid() != own)))
reading, writing = os.pipe()
os.set_blocking(writing, False)
signal.set_wakeup_fd(writing)
print(prove(lookup_qemu_platforms({NAME!r})), len(os.read(reading, 100)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == f"{{'{NAME}': ''}} 1\n"  # one SIGCHLD, that of the helper
    assert (tmp_path / "told").read_text() == ""

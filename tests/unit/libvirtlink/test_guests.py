"""Which process a guest is: libvirt's pid file, and what /proc says of it."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.checks import eventually, text_of

from virtsupd.libvirtlink.guests import qemu_of, run_dir_of


@pytest.mark.parametrize(
    "uri", ["qemu:///system", "qemu:///system?socket=/x", "qemu+unix:///system"]
)
def test_guests_of_this_host_are_processes(uri: str) -> None:
    assert run_dir_of(uri) == "/run/libvirt/qemu"


@pytest.mark.parametrize(
    "uri", ["qemu:///session", "qemu+ssh://h/system", "lxc:///", "test:///default"]
)
def test_of_others_no_process_is_known(uri: str) -> None:
    assert run_dir_of(uri) is None
    assert qemu_of("web1", run_dir_of(uri)) == (None, None)


class Qemu:
    """A process with the arguments of a QEMU, and the pid file of one."""

    def __init__(self, run_dir: Path) -> None:
        self._run_dir = run_dir
        self.process: subprocess.Popen[bytes] | None = None

    def run(self, name: str, argument: str) -> int:
        reading = [sys.executable, "-I", "-S", "-c", "input()", "-name", argument]
        self.process = subprocess.Popen(reading, stdin=subprocess.PIPE)
        words = Path(f"/proc/{self.process.pid}/cmdline")
        eventually(lambda: text_of(words), "the arguments, which come a little after exec")
        (self._run_dir / f"{name}.pid").write_text(f"{self.process.pid}\n")
        return self.process.pid

    def end(self) -> None:
        if self.process is not None:
            self.process.communicate(b"\n")


@pytest.fixture
def qemu(tmp_path: Path) -> Iterator[Qemu]:
    made = Qemu(tmp_path)
    yield made
    made.end()


@pytest.mark.process
@pytest.mark.parametrize(
    ("name", "argument"),
    [
        ("web1", "guest=web1,debug-threads=on"),
        ("web1", "guest=web1"),
        ("a,b", "guest=a,,b,debug-threads=on"),
        ("ü \"'", "guest=ü \"',debug-threads=on"),
    ],
)
def test_a_guest_is_the_process_that_has_its_name(
    qemu: Qemu, tmp_path: Path, name: str, argument: str
) -> None:
    pid = qemu.run(name, argument)
    found, since = qemu_of(name, str(tmp_path))
    assert found == pid
    assert since is not None
    assert abs(since - time.time()) < 5


@pytest.mark.process
@pytest.mark.parametrize("argument", ["guest=web10,debug-threads=on", "guest=web1,,x", "web1"])
def test_a_pid_file_that_is_left_over_names_nobody(
    qemu: Qemu, tmp_path: Path, argument: str
) -> None:
    qemu.run("web1", argument)
    assert qemu_of("web1", str(tmp_path)) == (None, None)


@pytest.mark.parametrize("content", ["", "x", "-1", "4194305", f"{os.getpid()}"])
def test_a_pid_file_with_anything_in_it_harms_nobody(tmp_path: Path, content: str) -> None:
    (tmp_path / "web1.pid").write_text(content)
    assert qemu_of("web1", str(tmp_path)) == (None, None)
    assert qemu_of("missing", str(tmp_path)) == (None, None)

"""scripts/run --binfmt in a user namespace, whose table stands for that of the machine."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.support.binfmt import DIRECTORY, Kernel, private_kernel
from tests.support.binfmt_settings import registration
from tests.support.checks import eventually, text_of
from tests.support.namespaces import CHECKOUT

pytestmark = [pytest.mark.component, pytest.mark.timeout(180)]

SECONDS = 60.0
CTRL_C = b"\x03"
FOREIGN = registration("sh4").line.replace(b"qemu-sh4:", b"others:", 1)
# Directories of its own for the demo, and processes of its own that end with it.
INSIDE = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-ec")
PREPARE = f"""
mount -t tmpfs -o mode=755 none /run
mkdir /run/upper /run/work
mount -t overlay -o lowerdir=/var/lib,upperdir=/run/upper,workdir=/run/work none /var/lib
mount -t tmpfs -o mode=755 none /var/log
[ ! -e /dev/kvm ] || mount --bind /dev/null /dev/kvm
mount -t binfmt_misc none {DIRECTORY}
script --quiet --flush --return --command "$0" /dev/null
exit $? # the shell stays, to wait for orphans
"""
LEFT = "; echo LEFT: $(ls -d /run/virtsupd* /var/lib/virtsupd* /var/log/virtsupd* 2>/dev/null)"
RUN = f"trap : INT; {CHECKOUT}/scripts/run"


@dataclass(frozen=True, slots=True)
class Demo:
    """What somebody sees who sits at the terminal."""

    kernel: Kernel
    process: subprocess.Popen[bytes]
    screen: Path

    def await_text(self, text: str) -> None:
        """Return once the terminal shows it."""
        eventually(lambda: text in text_of(self.screen), text, seconds=SECONDS)

    def type(self, text: bytes) -> None:
        """Type it."""
        assert self.process.stdin is not None
        self.process.stdin.write(text)
        self.process.stdin.flush()

    def entries(self) -> set[str]:
        """Return what is registered."""
        listed = self.kernel.run("ls", str(DIRECTORY)).stdout.split()
        return set(listed) - {"register", "status"}

    def kill_all(self) -> None:
        """Kill whatever belongs to the demo, before anything of it can answer."""
        [first] = children(self.process.pid)
        ours = [pid for pid in descendants(first) if not command(pid).startswith(b"script\0")]
        [held] = [pid for pid in ours if b"scripts/hold-demo" in command(pid)]
        os.kill(held, signal.SIGSTOP)
        # virtsupd goes before what it would start again.
        for pid in sorted(ours, key=lambda pid: b"virtsupd\0--config" not in command(pid)):
            if b"scripts/run" not in command(pid):
                os.kill(pid, signal.SIGKILL)


def children(pid: int) -> list[int]:
    return [int(child) for child in text_of(Path(f"/proc/{pid}/task/{pid}/children")).split()]


def descendants(pid: int) -> list[int]:
    found = children(pid)
    for child in found:
        found += children(child)
    return found


def command(pid: int) -> bytes:
    return text_of(Path(f"/proc/{pid}/cmdline")).encode()


@contextmanager
def at_a_terminal(shell: str, screen: Path) -> Iterator[Demo]:
    """Give a test a terminal at which this was typed, on a machine where others use binfmt_misc, too."""
    with private_kernel(has_all_users=True) as kernel:
        kernel.register(FOREIGN)
        with screen.open("wb") as shown:
            process = subprocess.Popen(
                kernel.enter(*INSIDE, PREPARE, shell),
                stdin=subprocess.PIPE,
                stdout=shown,
                stderr=subprocess.STDOUT,
                env={name: text for name, text in os.environ.items() if name != "SUDO_UID"},
            )
        try:
            yield Demo(kernel, process, screen)
        except AssertionError as error:
            error.add_note(f"The terminal shows:\n{text_of(screen)[-6000:]}")
            raise
        finally:
            process.kill()
            process.communicate()


def test_it_shows_arm_and_aarch64_running_and_takes_them_away_again(tmp_path: Path) -> None:
    with at_a_terminal(f"{RUN} --binfmt{LEFT}", tmp_path / "screen") as demo:
        for platform in ("arm", "aarch64"):
            demo.await_text(f"a program of {platform}, ended with 42")
        assert "registered: arm, aarch64" in text_of(demo.screen)
        assert demo.entries() == {"qemu-arm", "qemu-aarch64", "others"}
        demo.type(CTRL_C)
        demo.await_text("LEFT:\n")
        assert "binfmt_misc is as it was before" in text_of(demo.screen)
        assert "was still running" not in text_of(demo.screen)
        assert demo.entries() == {"others"}


def test_what_is_in_the_way_is_named_and_left(tmp_path: Path) -> None:
    with at_a_terminal(f"read _; {RUN} --binfmt{LEFT}", tmp_path / "screen") as demo:
        demo.kernel.register(registration("arm", interpreter="/bin/true").line)
        demo.type(b"\n")
        demo.await_text("qemu-arm is registered by somebody else")
        demo.await_text("State         failed")
        demo.type(CTRL_C)
        demo.await_text("binfmt_misc is as it was before")
        demo.await_text("LEFT:\n")
        assert demo.entries() == {"qemu-arm", "others"}


def test_the_next_demo_takes_away_what_a_killed_one_has_left(tmp_path: Path) -> None:
    with at_a_terminal(f"{RUN} --binfmt; read _; {RUN}{LEFT}", tmp_path / "screen") as demo:
        demo.await_text("a program of aarch64, ended with 42")
        demo.kill_all()
        demo.await_text("Killed")
        assert demo.entries() == {"qemu-arm", "qemu-aarch64", "others"}
        demo.type(b"\n")
        eventually(lambda: demo.entries() == {"others"}, "entries gone", seconds=SECONDS)
        eventually(lambda: text_of(demo.screen).count("Ctrl-C here") == 2, "another demo")
        demo.type(CTRL_C)
        demo.await_text("LEFT:\n")


def test_help_says_what_the_option_does_and_needs_no_root() -> None:
    done = subprocess.run(
        [str(CHECKOUT / "scripts/run"), "--help"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("scripts/run [--binfmt] [--childhurd IMAGE]\n")
    assert "programs\nof arm and aarch64" in done.stdout


def test_an_option_that_nobody_knows_starts_nothing() -> None:
    done = subprocess.run(
        [str(CHECKOUT / "scripts/run"), "--bin"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert "usage: scripts/run [--binfmt]" in done.stderr

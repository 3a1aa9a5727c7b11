"""The process that holds entries, killed at each step; on the kernel's table of a user namespace."""

import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.binfmt import DIRECTORY, private_kernel
from tests.support.holding import Host

pytestmark = pytest.mark.component

STEPS = {
    "record": ("rename", ()),
    "table": ("write", ("-P", f"{DIRECTORY}/register")),
}
"""By what is written: which call is counted, and of which file."""


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    """Give each test a table of its own."""
    with private_kernel() as kernel:
        yield Host(kernel, tmp_path)


def is_killed(host: Host, settings: Path, what: str, step: int, *, at_end: bool) -> bool:
    """Run it until it is killed at that step; return whether it has so many.

    The steps of its end count `at_end`; else it is killed after its start in any case.
    """
    assert shutil.which("strace"), "strace is missing: scripts/setup test"
    call, path = STEPS[what]
    injection = f"inject={call}:signal=KILL:when={step}"
    tracing = ("strace", "-D", "-qq", "-o", "/dev/null", "-e", f"trace={call}", *path)
    with host.holding(settings, *tracing, "-e", injection) as held:
        while held.process.poll() is None:
            if "READY=1" in held.heard():
                return held.end(signal.SIGTERM if at_end else signal.SIGKILL) != 0 and at_end
        return True


@pytest.mark.parametrize("what", STEPS)
def test_killed_at_any_step_the_next_start_has_all_and_its_stop_leaves_none(
    host: Host, what: str
) -> None:
    settings, step = host.settings("arm", "aarch64"), 1
    while is_killed(host, settings, what, step, at_end=True):
        with host.holding(settings) as held:
            held.until("READY=1")
            assert host.entries() == {"qemu-arm", "qemu-aarch64"}
            assert held.end() == 0
        assert host.entries() == set()
        step += 1
    assert step > 2
    assert host.entries() == set()


@pytest.mark.parametrize("what", STEPS)
def test_killed_at_any_step_of_a_renewal_programs_run_and_the_next_start_has_it(
    host: Host, what: str
) -> None:
    step = 1
    with host.holding(host.settings("arm")) as held:
        held.until("READY=1")
        held.end(signal.SIGKILL)
    while is_killed(host, host.settings("arm", flags="F"), what, step, at_end=False):
        assert host.runs("arm")
        with host.holding(host.settings("arm", flags="F" if step % 2 else "FP")) as held:
            held.until("READY=1")
            assert host.entries() == {"qemu-arm"}
            assert host.runs("arm")
            held.end()
        assert host.entries() == set()
        with host.holding(host.settings("arm")) as held:
            held.until("READY=1")
            held.end(signal.SIGKILL)
        step += 1
    assert step > 2

"""Hostile clients, a hundred of each: what they cost a client who behaves, and what they leave."""

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.support.checks import eventually

from virtsupd.control.client import Client

pytestmark = pytest.mark.process

CHECKOUT = Path(__file__).parents[2]
CHILDREN = CHECKOUT / "tests/children"
KINDS = ("stall", "flood", "megabytes", "costly", "never-read", "garbage", "disappear", "herd")
SERVICES = 500
CALLS = 300
MEDIAN_SECONDS = 0.025
SLOWEST_SECONDS = 0.1
MEBIBYTES = 160


@contextmanager
def child(program: str, word: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """Run one of our children until the block ends; it has said `word` before."""
    path = f"{CHECKOUT / 'src'}:{CHECKOUT}"
    with subprocess.Popen(
        [sys.executable, CHILDREN / program, *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": path},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == f"{word}\n"
            yield process
        finally:
            process.stdin.close()
            process.stdout.read()
            process.wait(10)


def descriptors(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def peak_mebibytes(pid: int) -> int:
    """Return the most memory the process ever had resident."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) // 1024 for line in lines if line.startswith("VmHWM"))


def answer_seconds(path: Path) -> list[float]:
    """Return how long calls take, by turns on a kept connection and each on a new one."""
    taken = []
    with Client(str(path), timeout=10) as kept:
        for number in range(CALLS):
            began = time.monotonic()
            if number % 2:
                kept.call("Status", {"names": ["web"]})
            else:
                with Client(str(path), timeout=10) as fresh:
                    fresh.call("Status", {"names": ["web"]})
            taken.append(time.monotonic() - began)
    return taken


@pytest.mark.parametrize("kinds", [*((kind,) for kind in KINDS), KINDS], ids="+".join)
def test_others_are_answered_and_nothing_is_left(tmp_path: Path, kinds: tuple[str, ...]) -> None:
    path = tmp_path / "control"
    with child("control_server.py", "ready", path, SERVICES) as server:
        before = descriptors(server.pid)
        with child("control_attack.py", "attacking", path, 100, *kinds):
            taken = answer_seconds(path)
        eventually(lambda: descriptors(server.pid) <= before, "descriptors are closed again")
        peak = peak_mebibytes(server.pid)
    median, nine_tenths, slowest = (
        statistics.median(taken),
        sorted(taken)[CALLS * 9 // 10],
        max(taken),
    )
    sys.stdout.write(
        f"{'+'.join(kinds)}: median {median * 1000:.1f} ms, nine tenths {nine_tenths * 1000:.1f} ms,"
        f" slowest {slowest * 1000:.1f} ms, {peak} MiB\n"
    )
    # The promise is 50 ms for an answer. The median is held to half of it. The slowest of three hundred is
    # left more, because three busy processes share two cores here, and the scheduler alone can
    # keep one of them waiting for tens of milliseconds.
    assert median < MEDIAN_SECONDS
    assert nine_tenths < 2 * MEDIAN_SECONDS
    assert slowest < SLOWEST_SECONDS
    assert peak < MEBIBYTES

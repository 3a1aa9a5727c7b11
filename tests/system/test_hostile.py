"""Hostile clients, a hundred of each at once, against a whole virtsupd that has work to do."""

import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from tests.support.checks import eventually
from tests.support.daemon import CHILDREN, Daemon, shell, virtsupd

from virtsupd.control.client import Client

pytestmark = [pytest.mark.process, pytest.mark.timeout(60)]

KINDS = ("stall", "flood", "megabytes", "costly", "never-read", "garbage", "disappear", "herd")
SERVICES = 50
CALLS = 300
RESPAWNS = 20
ROUNDS = 3
ANSWER_SECONDS = 0.05
"""What 99 of 100 answers may take, on a kept connection and on a new one, in the median round.

The slowest of each hundred, and the slowest round, are left out: some eight hundred clients,
virtsupd and this test share the host's cores with whatever else runs there, and the scheduler alone
may keep one of them waiting for longer.
"""
RESPAWN_SECONDS = 0.05
"""What the median of the replacements may take, the start of a shell and of date included.

Most of it is theirs: they wait for a core as everybody does.
"""


def services() -> str:
    """Return fifty services; `web` is replaced at once when it ends, however often."""
    always = "{ delay = 0, limit = 1000, window = 60 }"
    others = (f'[service.s{number}]\ncommand = ["/bin/sleep", "1000"]\n' for number in range(49))
    told = shell("echo $$ $(date +%s%N); exec sleep 1000")
    web = f"[service.web]\ncommand = {told}\nrespawn = {always}\n"
    return web + "".join(others)


@contextmanager
def attacked(daemon: Daemon, *kinds: str) -> Iterator[None]:
    """Let a hundred clients of each kind at it."""
    with subprocess.Popen(
        [sys.executable, CHILDREN / "control_attack.py", daemon.host.socket, "100", *kinds],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "attacking\n"
            yield
        finally:
            process.stdin.close()
            process.stdout.read()
            process.wait(10)


def answer_seconds(path: Path) -> tuple[list[float], list[float]]:
    """Return how long calls take, sorted: those on a kept connection, and those each on a new one."""
    on_kept, on_fresh = [], []
    with Client(str(path), timeout=10) as kept:
        for _ in range(CALLS):
            began = time.monotonic()
            kept.call("Status", {"names": ["s1"]})
            on_kept.append(time.monotonic() - began)
            began = time.monotonic()
            with Client(str(path), timeout=10) as fresh:
                fresh.call("Status", {"names": ["s1"]})
            on_fresh.append(time.monotonic() - began)
    return sorted(on_kept), sorted(on_fresh)


def in_median_round(rounds: Sequence[Sequence[float]], share: float) -> float:
    """Return what so large a share of the calls took at most, in the median round."""
    return statistics.median(taken[int(len(taken) * share)] for taken in rounds)


def respawn_seconds(daemon: Daemon) -> list[float]:
    """Return how long it takes from the death of `web` until its successor tells the time."""
    taken = []
    for _ in range(RESPAWNS):
        lives = daemon.host.log("web").splitlines()
        began = time.time_ns()
        os.kill(int(lives[-1].split()[0]), signal.SIGKILL)
        line = eventually(partial(line_after, daemon, len(lives)), "a successor")
        taken.append((int(line.split()[1]) - began) / 1e9)
    return taken


def line_after(daemon: Daemon, count: int) -> str:
    """Return the complete line that follows the first `count` in the log of `web`, "" so far."""
    complete = daemon.host.log("web").rpartition("\n")[0].splitlines()
    return complete[count] if len(complete) > count else ""


def states(daemon: Daemon) -> set[str]:
    """Return the states its services are in."""
    return {service["state"] for service in daemon.call("Status", names=[])["services"]}


def test_a_good_client_is_answered_and_a_respawn_is_not_delayed() -> None:
    with virtsupd(services()) as daemon:
        eventually(lambda: states(daemon) == {"running"}, "all services run")
        daemon.host.await_log("web", "\n")
        descriptors = Path(f"/proc/{daemon.process.pid}/fd")
        before = len(list(descriptors.iterdir()))
        quiet = respawn_seconds(daemon)
        with attacked(daemon, *KINDS):
            answers = [answer_seconds(daemon.host.socket) for _ in range(ROUNDS)]
            respawns = respawn_seconds(daemon)
        eventually(lambda: len(list(descriptors.iterdir())) <= before, "descriptors are closed")
        assert states(daemon) == {"running"}
        restarts = daemon.status("web")["restarts"]
    for kind, rounds in zip(("kept", "new"), zip(*answers, strict=True), strict=True):
        median, most = in_median_round(rounds, 0.5), in_median_round(rounds, 0.99)
        sys.stdout.write(
            f"{kind} connection: median {median * 1000:.1f} ms, p99 {most * 1000:.1f} ms, "
            f"slowest {max(taken[-1] for taken in rounds) * 1000:.1f} ms\n"
        )
        assert most < ANSWER_SECONDS, f"{kind} connection"
    sys.stdout.write(
        f"respawn: median {statistics.median(respawns) * 1000:.1f} ms, slowest "
        f"{max(respawns) * 1000:.1f} ms, unattacked {statistics.median(quiet) * 1000:.1f} ms\n"
    )
    assert statistics.median(respawns) < RESPAWN_SECONDS
    assert restarts == 2 * RESPAWNS

"""The mark of a start, read from real processes."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.checks import eventually
from tests.support.processes import plan_for

from virtsupd.core.names import Name
from virtsupd.process.lives import life_of
from virtsupd.process.marks import START, START_PID, first_with, mark_for, mark_of, oldest_with
from virtsupd.process.spawn import best_spawner

pytestmark = pytest.mark.process

MARK = mark_for(Path("/run/virtsupd"), Name("web"), 3, 77)
WITH_A_CHILD = ("/bin/sh", "-c", "sleep 1000 & echo $!; exec sleep 1000")


@contextmanager
def family(pid_variable: str = START_PID) -> Iterator[tuple[int, int]]:
    """Give a first process, made as services are, and its child."""
    reading, writing = os.pipe()
    plan = plan_for(*WITH_A_CHILD, descriptors=(0, writing, 2))
    plan = replace(plan, environment=plan.environment | {START: MARK}, pid_variable=pid_variable)
    first = best_spawner().spawn(plan).pid
    os.close(writing)
    with os.fdopen(reading) as stream:
        child = int(stream.readline())
    try:
        eventually(lambda: is_sleep(first) and is_sleep(child), "both run their programs")
        yield first, child
    finally:
        os.kill(child, 9)
        os.kill(first, 9)
        os.waitpid(first, 0)


def is_sleep(pid: int) -> bool:
    # A process that execs has its new name a moment before its new environment: until then it has none.
    return Path(f"/proc/{pid}/comm").read_text() == "sleep\n" and mark_of(pid) == MARK


def test_each_start_has_a_mark_of_its_own() -> None:
    run_dir, name = Path("/run/virtsupd"), Name("web")
    others = {
        mark_for(Path("/run/other"), name, 3, 77),
        mark_for(run_dir, Name("db"), 3, 77),
        mark_for(run_dir, name, 4, 77),
        mark_for(run_dir, name, 3, 78),
    }
    assert len(others) == 4
    assert MARK not in others


@pytest.mark.parametrize("variable", [START_PID, "LISTEN_PID"])
def test_the_first_process_is_told_from_what_it_made(variable: str) -> None:
    with family(variable) as (first, child):
        assert mark_of(first) == mark_of(child) == MARK
        assert first_with(MARK, (child, first), since=0, user=os.getuid()) == life_of(first)
        assert first_with(MARK, (child,), since=0, user=os.getuid()) is None
        assert first_with(MARK, (first,), since=0, user=os.getuid() + 1) is None
        assert first_with(MARK + "1", (first,), since=0, user=os.getuid()) is None
        life = life_of(first)
        assert life is not None
        assert first_with(MARK, (first,), since=life.started + 1, user=os.getuid()) is None


def test_the_oldest_process_with_a_mark_is_found() -> None:
    with family() as (first, child), subprocess.Popen(["/bin/sleep", "1000"], env={}) as other:
        pids = (other.pid, child, first)
        found = [
            oldest_with(MARK, pids, since=0, but=but) for but in ((), (first,), (first, child))
        ]
        expected = [life_of(first), life_of(child), None]
        other.kill()
        assert found == expected


def test_who_has_no_mark_and_who_is_gone() -> None:
    with subprocess.Popen(["/bin/sleep", "1000"], env={"A": "1"}) as other:
        eventually(lambda: mark_of(other.pid) == "", "its program")
        other.kill()
    assert mark_of(other.pid) is None
    assert mark_of(2**22 + 1) is None

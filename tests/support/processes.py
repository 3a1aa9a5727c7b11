"""Plans of small processes, and what they say of themselves."""

import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from virtsupd.core.exits import ExitStatus, from_wait_status
from virtsupd.core.spec import LogSpec, ProcessSpec
from virtsupd.process.cgroup import Cgroup, CgroupTree
from virtsupd.process.plan import Spawner, SpawnPlan, plan_process

CHILDREN = Path(__file__).resolve().parents[1] / "children"
SOURCES = Path(__file__).resolve().parents[2] / "src"


@dataclass(frozen=True)
class Said:
    """What a child wrote to its standard output and how it ended."""

    pid: int
    text: str
    status: ExitStatus
    warnings: tuple[str, ...]

    @property
    def report(self) -> dict[str, Any]:
        """The JSON object that tests/children/report.py writes."""
        return dict(json.loads(self.text))

    @property
    def fields(self) -> dict[str, str]:
        """NAME: value lines, as in /proc/PID/status."""
        lines = (line.partition(":") for line in self.text.splitlines())
        return {name: value.strip() for name, _, value in lines}


def plan_for(*command: str, descriptors: tuple[int, ...] = (0, 1, 2), **options: Any) -> SpawnPlan:
    """Return the plan of a command with options of `ProcessSpec`."""
    spec = ProcessSpec(command=command, log=LogSpec(""), **options)
    return plan_process(spec, extra_environment={}, descriptors=descriptors, cgroup_fd=None)


def script(name: str, *arguments: str) -> tuple[str, ...]:
    """Return the command that runs a script of tests/children."""
    return (sys.executable, "-I", "-S", str(CHILDREN / name), *arguments)


def run(spawner: Spawner, plan: SpawnPlan, extra: tuple[int, ...] = ()) -> Said:
    """Run a plan with a pipe as its standard output and wait for its end."""
    reading, writing = os.pipe()
    null = os.open("/dev/null", os.O_RDONLY)
    try:
        child = spawner.spawn(replace(plan, descriptors=(null, writing, 2, *extra)))
    finally:
        os.close(writing)
        os.close(null)
    with os.fdopen(reading, encoding="utf-8", errors="surrogateescape") as stream:
        text = stream.read()
    status = from_wait_status(os.waitpid(child.pid, 0)[1])
    return Said(child.pid, text, status, child.warnings)


@contextmanager
def cgroup_tree(run_dir: Path) -> Iterator[CgroupTree]:
    """Yield a cgroup tree of its own; a test that leaves a process in it fails."""
    tree, why_not = CgroupTree.find(None, run_dir)
    assert tree is not None, why_not
    try:
        yield tree
    finally:
        assert tree.remove()


def is_populated(group: Cgroup) -> bool:
    """Tell whether a process lives in the group or below, as the kernel does before a removal.

    Since Linux 6.18 that may stay so for up to a tick after the last reap.
    """
    try:
        return "populated 1" in (group.path / "cgroup.events").read_text()
    except FileNotFoundError:
        return False


@contextmanager
def environment_of_ours(changes: Mapping[str, str]) -> Iterator[None]:
    """Set variables of the test process for a while."""
    before = dict(os.environ)
    os.environ.update(changes)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)

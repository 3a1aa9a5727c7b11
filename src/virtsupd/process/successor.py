"""The program that virtsupd is to become: which one its command line names now, and whether it fits.

An upgrade often puts the new version beside the old one and turns a link to it. So what counts is
not the program that runs, which may be gone, but what stands today where it was found.
"""

import json
import os
import shutil
import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from virtsupd.core.spec import LogSpec, ProcessSpec
from virtsupd.errors import ReexecError, SpawnError
from virtsupd.process.clock import Clock
from virtsupd.process.command import CommandOutcome, run_command
from virtsupd.process.plan import Spawner, SpawnPlan, plan_process
from virtsupd.process.reaper import Reaper

CHECK_OPTION = "--check-reexec"
"""Makes a virtsupd load its configuration and print a `report`, instead of supervising."""

_LAST_LINES = 10
_VERSION, _READS = "version", "reads"


def command_line() -> tuple[str, ...]:
    """Return the program and arguments with which this process was started, for execve(2) now.

    A script that names its interpreter is run itself, since a new version may bring its own; for
    `python -m` and the like the interpreter is sought anew.
    """
    interpreter, *rest = sys.orig_argv
    script = sys.argv[0]
    if script in rest:
        place = rest.index(script)
        if _runs_itself(script, rest[:place]):
            return (script if "/" in script else f"./{script}", *rest[place + 1 :])
    return (shutil.which(interpreter) or sys.executable, *rest)


def report(version: str, reads: Mapping[str, Collection[int]], **facts: object) -> str:
    """Return what a virtsupd started with CHECK_OPTION prints: one line, the last one it says.

    `reads` are the versions of each kind of record that it can go on with.
    """
    content = {kind: sorted(versions) for kind, versions in reads.items()}
    return json.dumps({_VERSION: version, _READS: content, **facts})


async def check_program(
    command: Sequence[str],
    written: Mapping[str, int],
    *,
    spawner: Spawner,
    reaper: Reaper,
    clock: Clock,
    timeout_seconds: float = 20.0,
) -> Mapping[str, object]:
    """Have the program that `command` names load its configuration, and return what it reports.

    It runs as a child, with our environment and where we are. `written` has the version of each kind
    of record that it would have to read.

    Raises:
        ReexecError: it cannot be run, refuses (the message has its last lines) or does not fit.
    """
    try:
        outcome = await run_command(
            _plan((*command, CHECK_OPTION)),
            spawner=spawner,
            reaper=reaper,
            timeout_seconds=timeout_seconds,
            clock=clock,
        )
    except SpawnError as error:
        raise ReexecError(str(error)) from error
    return _judge(command[0], outcome, written)


def _judge(
    program: str, outcome: CommandOutcome, written: Mapping[str, int]
) -> Mapping[str, object]:
    if outcome.timed_out:
        raise ReexecError(f"{program} did not say in time whether it fits")
    lines = outcome.output.decode(errors="replace").splitlines()
    if outcome.status.code != 0:
        said = "\n".join([f"{program} {outcome.status}", *lines[-_LAST_LINES:]])
        raise ReexecError(said)
    answer = _answer(program, lines)
    _compare(program, answer, written)
    return answer


def _plan(command: tuple[str, ...]) -> SpawnPlan:
    spec = ProcessSpec(
        command=command,
        log=LogSpec(""),
        directory="/proc/self/cwd",  # where we are, be it removed by now
        environment=tuple(os.environ.items()),
    )
    return plan_process(spec, extra_environment={}, descriptors=(0, 1, 2), cgroup_fd=None)


def _answer(program: str, lines: Sequence[str]) -> dict[str, object]:
    try:
        answer = json.loads(lines[-1])
        if isinstance(answer[_READS], dict):
            return dict(answer)
    except (IndexError, KeyError, TypeError, ValueError):
        pass
    raise ReexecError(f"{program} does not say what it can read: it is no virtsupd that can go on")


def _compare(program: str, answer: Mapping[str, object], written: Mapping[str, int]) -> None:
    reads = answer[_READS]
    for kind, version in written.items():
        versions = reads.get(kind, []) if isinstance(reads, dict) else []
        if version not in versions:
            known = ", ".join(map(str, versions)) or "none"
            raise ReexecError(
                f"{program} (version {answer.get(_VERSION)}) cannot read the {kind} of this one, "
                f"version {version}; it reads {known}"
            )


def _runs_itself(script: str, options: Sequence[str]) -> bool:
    """Whether a file is a script whose first line runs it as it was run: with these options or none."""
    try:
        if not os.access(script, os.X_OK):
            return False
        with Path(script).open("rb") as file:
            first = os.fsdecode(file.readline(4096))
    except OSError:
        return False
    if not first.startswith("#!"):
        return False
    named = first[2:].split(maxsplit=1)
    return not options or list(options) == [word.strip() for word in named[1:]]

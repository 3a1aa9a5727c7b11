"""How a process ended is known whoever was there; the process notices nothing but another parent."""

import ctypes
import errno
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import anyio
import pytest
from tests.support.checks import eventually
from tests.support.processes import (
    CHILDREN,
    SOURCES,
    cgroup_tree,
    environment_of_ours,
    plan_for,
    script,
)

from virtsupd.core.exits import ExitStatus, from_wait_status
from virtsupd.core.names import Name
from virtsupd.core.spec import StopMode
from virtsupd.errors import SpawnError
from virtsupd.process import _spawn
from virtsupd.process.plan import Child, Spawner, SpawnPlan
from virtsupd.process.reaper import Reaper, become_subreaper
from virtsupd.process.shell import _make, _shell_words
from virtsupd.process.spawn import ExtensionSpawner, ShellSpawner
from virtsupd.process.status_file import open_status, read_status
from virtsupd.process.status_keeper import keeper_command, start_under_keeper
from virtsupd.process.stop import Remains, kill, terminate

pytestmark = pytest.mark.process

PR_SET_CHILD_SUBREAPER = 36
SPAWNERS = (ExtensionSpawner, ShellSpawner)
IN_PYTHON = keeper_command("a test", program=Path("/nowhere"))
ENDS = {
    "exit 0": ExitStatus(code=0),
    "exit 3": ExitStatus(code=3),
    "exit 143": ExitStatus(code=143),
    "kill -TERM $$": ExitStatus(signal=15),
    "kill -KILL $$": ExitStatus(signal=9),
    "kill -INT $$": ExitStatus(signal=2),
    "kill -SEGV $$": ExitStatus(signal=11),
}


@pytest.fixture(autouse=True)
def subreaper() -> Iterator[None]:
    """Inherit orphans, as virtsupd does, and as PID 1 does once virtsupd is gone."""
    become_subreaper()
    yield
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


@pytest.fixture(params=SPAWNERS)
def spawner(request: pytest.FixtureRequest) -> Spawner:
    made: Spawner = request.param()
    return made


@dataclass
class Kept:
    """A process under a keeper: what it reads from and writes to, and where its end is written."""

    child: Child
    path: Path
    output: int
    input: int

    @property
    def keeper(self) -> int:
        assert self.child.keeper is not None
        return self.child.keeper

    def line(self) -> str:
        """Return what it wrote, up to the end of a line."""
        said = b""
        while not said.endswith(b"\n"):
            part = os.read(self.output, 1)
            assert part, f"it ended after {said!r}"
            said += part
        return said.decode().strip()

    def text(self) -> str:
        """Return all it writes until its output is closed."""
        with os.fdopen(os.dup(self.output), errors="surrogateescape") as stream:
            return stream.read()

    def end(self) -> ExitStatus:
        """Close its input, and reap it when its keeper has ended."""
        if self.input >= 0:
            os.close(self.input)
            self.input = -1
        os.waitpid(self.keeper, 0)
        return from_wait_status(os.waitpid(self.child.pid, 0)[1])


@contextmanager
def kept(spawner: Spawner, plan: SpawnPlan, path: Path) -> Iterator[Kept]:
    """Start a plan with pipes as standard input and output."""
    (to_read, to_feed), (output, to_write) = os.pipe(), os.pipe()
    status = open_status(path)
    try:
        descriptors = (to_read, to_write, 2)
        child = spawner.spawn(replace(plan, descriptors=descriptors, status_fd=status))
    finally:
        for descriptor in (to_read, to_write, status):
            os.close(descriptor)
    made = Kept(child, path, output, to_feed)
    try:
        yield made
    finally:
        os.close(output)
        if made.input >= 0:
            os.close(made.input)


def shell(code: str) -> SpawnPlan:
    return plan_for("/bin/sh", "-c", code)


def same_way(one: ExitStatus | None, other: ExitStatus) -> bool:
    """Whether both ended alike; if a core was dumped is this machine's business."""
    return one is not None and (one.code, one.signal) == (other.code, other.signal)


@pytest.mark.parametrize("made", SPAWNERS)
@pytest.mark.parametrize("end", ENDS)
def test_an_end_is_known_when_the_supervisor_was_killed_before(
    made: type[Spawner], end: str, tmp_path: Path
) -> None:
    path = tmp_path / "status"
    words = [made.__name__, str(path), "/bin/sh", "-c", f"read -r line; {end}"]
    with subprocess.Popen(
        [sys.executable, CHILDREN / "supervises_one.py", *words],
        env={**os.environ, "PYTHONPATH": str(SOURCES)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as supervisor:
        assert supervisor.stdin is not None
        assert supervisor.stdout is not None
        pid, keeper = map(int, supervisor.stdout.readline().split())
        supervisor.kill()
        supervisor.wait()
        assert read_status(path) is None
        supervisor.stdin.write("end\n")
        supervisor.stdin.flush()
        os.waitpid(keeper, 0)
        assert same_way(read_status(path), ENDS[end])
        assert read_status(path) == from_wait_status(os.waitpid(pid, 0)[1])


@pytest.mark.parametrize("end", ENDS)
def test_a_supervisor_that_is_there_reaps_the_very_process(
    spawner: Spawner, end: str, tmp_path: Path
) -> None:
    with kept(spawner, shell(f"read -r line; {end}"), tmp_path / "status") as made:
        status = made.end()
    assert same_way(status, ENDS[end])
    assert read_status(made.path) == status
    assert made.child.warnings == ()


async def test_the_reaper_is_told_once_when_the_end_is_written(
    spawner: Spawner, tmp_path: Path
) -> None:
    reaper, told, ended = Reaper(), list[ExitStatus | None](), anyio.Event()

    def note(status: ExitStatus) -> None:
        told.extend((status, read_status(tmp_path / "status")))
        ended.set()

    async with reaper.running():
        with kept(spawner, shell("read -r line; exit 143"), tmp_path / "status") as made:
            reaper.watch(made.child.pid, note)
            os.write(made.input, b"end\n")
            with anyio.fail_after(5):
                await ended.wait()
    assert told == [ExitStatus(code=143)] * 2
    eventually(lambda: reaper.drain() == 0 and not has_children(), "the keeper is reaped too")


def has_children() -> bool:
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def test_the_program_notices_nothing_but_another_parent(spawner: Spawner, tmp_path: Path) -> None:
    plan = replace(plan_for(*script("report.py", "", "a b", "\udcff")), pid_variable="LISTEN_PID")
    with kept(spawner, plan, tmp_path / "status") as made:
        report: dict[str, Any] = json.loads(made.text())
        made.end()
    assert report["pid"] == report["session"] == report["group"] == made.child.pid
    assert report["environment"]["LISTEN_PID"] == str(made.child.pid)
    assert report["arguments"] == ["", "a b", "\udcff"]
    assert sorted(report["descriptors"]) == ["0", "1", "2"]


def test_the_program_begins_with_default_dispositions_and_no_blocked_signal(
    spawner: Spawner, tmp_path: Path
) -> None:
    of_the_c_library = 0b11 << 31  # 32 and 33, which no program uses
    with kept(spawner, plan_for("/bin/cat", "/proc/self/status"), tmp_path / "status") as made:
        lines = made.text().splitlines()
        made.end()
    fields = dict(line.split(":\t") for line in lines)
    assert int(fields["SigBlk"], 16) == 0
    assert int(fields["SigIgn"], 16) & ~of_the_c_library == 0


def test_a_child_that_is_reaped_by_itself_is_waited_for_all_the_same(
    spawner: Spawner, tmp_path: Path
) -> None:
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        with kept(spawner, shell("read -r line; exit 3"), tmp_path / "status") as made:
            os.close(made.input)
            made.input = -1
            eventually(lambda: read_status(made.path), "its end is written down")
    finally:
        signal.signal(signal.SIGCHLD, before)
    assert read_status(made.path) == ExitStatus(code=3)


@pytest.mark.parametrize("mode", StopMode)
def test_the_stop_signal_reaches_the_program_once_and_ends_it(
    spawner: Spawner, mode: StopMode, tmp_path: Path
) -> None:
    code = "trap 'echo TERM' TERM; echo ready; read -r line; read -r line; trap - TERM; echo last"
    code += "; exec sleep 1000"
    with cgroup_tree(tmp_path) as tree:
        group = tree.service(Name("web"))
        group.make()
        directory = group.open()
        plan = replace(shell(code), cgroup_fd=directory)
        with kept(spawner, plan, tmp_path / "status") as made:
            os.close(directory)
            pid = made.child.pid
            remains = Remains(leader=pid, group=pid, cgroup=group, mode=mode)
            assert made.line() == "ready"
            assert group.pids() == (pid,)
            assert terminate(remains, "SIGTERM") == ()
            os.write(made.input, b"\n\n")
            assert [made.line(), made.line()] == ["TERM", "last"]
            assert terminate(remains, "SIGTERM") == ()
            assert made.end() == read_status(made.path) == ExitStatus(signal=15)


def test_a_service_that_is_killed_as_a_whole_has_its_status(
    spawner: Spawner, tmp_path: Path
) -> None:
    with cgroup_tree(tmp_path) as tree:
        group = tree.service(Name("web"))
        group.make()
        directory = group.open()
        plan = replace(shell("echo ready; read -r line"), cgroup_fd=directory)
        with kept(spawner, plan, tmp_path / "status") as made:
            os.close(directory)
            assert made.line() == "ready"
            pid = made.child.pid
            kill(Remains(leader=pid, group=pid, cgroup=group, mode=StopMode.CGROUP))
            assert made.end() == read_status(made.path) == ExitStatus(signal=9)


def open_files(pid: int) -> dict[str, str]:
    found = {}
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            found[descriptor.name] = str(descriptor.readlink())
    return found


def test_a_keeper_ignores_all_signals_and_holds_nothing_but_the_file(
    spawner: Spawner, tmp_path: Path
) -> None:
    with kept(spawner, shell("read -r line; exit 3"), tmp_path / "status") as made:
        keeper = made.keeper
        only_the_file = {"1": str(made.path)}
        eventually(lambda: open_files(keeper) == only_the_file, "its program has been loaded")
        assert Path(f"/proc/{keeper}/cwd").readlink() == Path("/")
        assert os.getsid(keeper) not in (os.getsid(0), os.getsid(made.child.pid))
        for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
            os.kill(keeper, number)
        assert made.end() == read_status(made.path) == ExitStatus(code=3)


def test_without_its_keeper_a_process_is_virtsupd_s_own(spawner: Spawner, tmp_path: Path) -> None:
    with kept(spawner, shell("read -r line; exit 3"), tmp_path / "status") as made:
        os.kill(made.keeper, signal.SIGKILL)
        assert made.end() == ExitStatus(code=3)
    assert read_status(made.path) is None


@pytest.mark.parametrize(
    ("changes", "stage"),
    [
        ({"executable": "/no/such/program"}, "exec"),
        ({"directory": "/no/such/directory"}, "directory"),
        ({"oom_score_adjust": 5000}, "oom-score"),
        ({"descriptors": (0, 1, 987)}, "descriptors"),
    ],
)
def test_a_start_that_fails_says_why_and_leaves_no_process(
    spawner: Spawner, changes: dict[str, Any], stage: str, tmp_path: Path
) -> None:
    status = open_status(tmp_path / "status")
    try:
        plan = replace(plan_for("/bin/true"), **changes)
        with pytest.raises(SpawnError) as plain:
            spawner.spawn(plan)
        with pytest.raises(SpawnError) as caught:
            spawner.spawn(replace(plan, status_fd=status))
    finally:
        os.close(status)
    assert (caught.value.stage, str(caught.value)) == (stage, str(plain.value))
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_the_extension_goes_on_when_its_keeper_cannot_be_run(tmp_path: Path) -> None:
    status = open_status(tmp_path / "status")
    try:
        pid, keeper, stage, _, denials = _spawn.spawn(
            executable=b"/bin/sh",
            argv=(b"sh", b"-c", b"exit 3"),
            environment=(),
            has_pid_variable=False,
            directory=b"/",
            umask=0,
            credentials=None,
            limits=(),
            capabilities=None,
            oom_score=None,
            nice=None,
            no_new_privileges=False,
            descriptors=(0, 1, 2),
            cgroup=-1,
            keeper=(b"/no/such/keeper",),
            status_file=status,
        )
    finally:
        os.close(status)
    assert (keeper, stage, denials) == (-1, "", [("keeper", 0, errno.ENOENT)])
    assert from_wait_status(os.waitpid(pid, 0)[1]) == ExitStatus(code=3)


def leaves(code: str) -> int:
    return os.posix_spawn("/bin/sh", ["sh", "-c", code], {}, setsigmask=())


@pytest.mark.parametrize("command", [keeper_command("a test"), IN_PYTHON])
@pytest.mark.parametrize("end", ENDS)
def test_both_programs_write_the_same(command: tuple[str, ...], end: str, tmp_path: Path) -> None:
    status = open_status(tmp_path / "status")
    try:
        pid, keeper, error = start_under_keeper(lambda: leaves(end), command, status)
    finally:
        os.close(status)
    assert error == 0
    os.waitpid(keeper, 0)
    written = read_status(tmp_path / "status")
    assert written == from_wait_status(os.waitpid(pid, 0)[1])
    assert same_way(written, ENDS[end])


def test_a_process_whose_keeper_cannot_be_run_is_ours(tmp_path: Path) -> None:
    status = open_status(tmp_path / "status")
    try:
        made = start_under_keeper(lambda: leaves("exit 3"), ("/no/such/keeper",), status)
    finally:
        os.close(status)
    assert made[2] == errno.ENOENT
    assert from_wait_status(os.waitpid(made[0], 0)[1]) == ExitStatus(code=3)


def test_a_start_that_fails_under_a_keeper_raises_its_errno(tmp_path: Path) -> None:
    status = open_status(tmp_path / "status")
    try:
        with pytest.raises(NotADirectoryError):
            start_under_keeper(
                lambda: os.posix_spawn("/etc/passwd/x", ["x"], {}), keeper_command(""), status
            )
    finally:
        os.close(status)
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_a_start_that_virtsupd_did_not_live_to_see_has_no_status(tmp_path: Path) -> None:
    ran, path = tmp_path / "ran", tmp_path / "status"
    status = open_status(path)
    ours, theirs = socket.socketpair()
    plan = replace(plan_for("/bin/touch", str(ran)), status_fd=status)
    with ours, theirs:
        made = _make(plan, _shell_words(plan, None), theirs.fileno())
    os.close(status)
    assert made.keeper is not None
    os.waitpid(made.keeper, 0)
    assert from_wait_status(os.waitpid(made.pid, 0)[1]) == ExitStatus(code=1)
    assert not ran.exists()
    assert read_status(path) is None


def test_nothing_of_our_environment_reaches_a_keeper(spawner: Spawner, tmp_path: Path) -> None:
    with (
        environment_of_ours({"SECRET": "x"}),
        kept(spawner, shell("read -r line"), tmp_path / "status") as made,
    ):
        given = Path(f"/proc/{made.keeper}/environ").read_bytes()
        # The measuring of coverage puts its own into every environment that an exec is given.
        assert [one for one in given.split(b"\0") if one and b"COVERAGE_" not in one] == []
        made.end()

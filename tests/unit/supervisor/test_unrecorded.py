"""Who is the first process of a start that was not recorded, and who is only a guest of it."""

import os
import subprocess
from pathlib import Path

import pytest
from tests.support.checks import eventually
from tests.support.processes import cgroup_tree

from virtsupd.core.names import Name
from virtsupd.core.spec import LogSpec, ProcessSpec
from virtsupd.process.cgroup import Cgroup
from virtsupd.process.lives import life_of
from virtsupd.process.marks import START, START_PID, mark_of
from virtsupd.supervisor.record import Record
from virtsupd.supervisor.runs import Run
from virtsupd.supervisor.unrecorded import unrecorded_leader

pytestmark = pytest.mark.process

MARK = "/run/x:web:1:5"
OWN_PID = ("/bin/sh", "-c", f"export {START_PID}=$$; exec sleep 1000")


def run_in(cgroup: Cgroup | None, *, uid: int = 0) -> Run:
    process = ProcessSpec(("x",), LogSpec("/var/log/web"))
    return Run(Name("web"), 1, process, cgroup, mark=MARK, uid=uid)


def record_in(cgroup: Cgroup | None) -> Record:
    return Record(1, cgroup.path if cgroup is not None else None, mark=MARK)


def marked(*command: str, pid: str = "") -> subprocess.Popen[bytes]:
    """Start a process with the mark that leads a session; of what it inherited it has this pid."""
    environment = {START: MARK, "PATH": "/usr/bin:/bin"} | ({START_PID: pid} if pid else {})
    process = subprocess.Popen(command, env=environment, start_new_session=True)
    comm = Path(f"/proc/{process.pid}/comm")
    eventually(lambda: comm.read_text() == "sleep\n" and mark_of(process.pid), "its program")
    return process


async def test_it_is_found_by_its_mark_wherever_it_prints(tmp_path: Path) -> None:
    none = tmp_path / "no-fifo"
    with cgroup_tree(tmp_path) as tree, marked(*OWN_PID) as process:
        cgroup = tree.service(Name("web"))
        cgroup.make()
        (cgroup.path / "cgroup.procs").write_text(str(process.pid))
        found = [unrecorded_leader(run_in(c), record_in(c), none) for c in (None, cgroup)]
        forged = unrecorded_leader(run_in(None, uid=65534), record_in(None), none)
        expected = life_of(process.pid)
        process.kill()
        process.wait()
        eventually(lambda: not cgroup.pids(), "the cgroup is empty")
    assert found == [expected, expected]
    assert forged is None, "another user's process has copied the mark"


async def test_a_guest_that_inherited_the_mark_is_not_the_service(tmp_path: Path) -> None:
    """The first process has ended; a stop of what is taken for it would end the guest."""
    none = tmp_path / "no-fifo"
    with cgroup_tree(tmp_path) as tree, marked("/bin/sleep", "1000", pid="1") as guest:
        cgroup = tree.service(Name("web"))
        cgroup.make()
        (cgroup.path / "cgroup.procs").write_text(str(guest.pid))
        found = [unrecorded_leader(run_in(c), record_in(c), none) for c in (None, cgroup)]
        os.kill(guest.pid, 9)
        guest.wait()
        eventually(lambda: not cgroup.pids(), "the cgroup is empty")
    assert found == [None, None]

"""One start of a service: whose processes are its, and what is given back at its end."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.support.checks import eventually
from tests.support.processes import cgroup_tree

from virtsupd.core.names import Name
from virtsupd.core.spec import LogSpec, ProcessSpec
from virtsupd.process.lives import life_of, parent_of
from virtsupd.process.notify import NotifySocket
from virtsupd.supervisor.runs import Run

pytestmark = pytest.mark.process

WEB = Name("web")


def run_of(leader: int | None, group: int = 0) -> Run:
    return Run(WEB, 1, ProcessSpec(("x",), LogSpec("")), None, leader=leader, group=group)


@contextmanager
def started(*command: str) -> Iterator[subprocess.Popen[bytes]]:
    """Give a process that leads a session of its own."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as process:
        try:
            yield process
        finally:
            process.kill()


async def test_without_a_cgroup_the_family_of_the_leader_counts() -> None:
    with started("/bin/sh", "-c", "setsid sleep 1000 & echo $!; exec sleep 1000") as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        run = run_of(process.pid, process.pid)
        assert run.owns(process.pid)
        assert run.owns(child)
        assert not run.owns(os.getpid())
        assert not run.owns(2**22 + 1)
        other = run_of(child)
        assert not other.owns(process.pid)
        # Once the first process has ended, what virtsupd has inherited may be the service.
        assert run_of(None).owns(process.pid)
        assert not run_of(None).owns(child)
        assert run_of(None, process.pid).owns(process.pid)
        os.kill(child, 9)


async def test_the_orphans_of_an_earlier_virtsupd_may_be_the_adopted_service() -> None:
    with started("/bin/sh", "-c", "setsid sleep 1000 & echo $!") as process:
        assert process.stdout is not None
        orphan = int(process.stdout.readline())
        eventually(lambda: parent_of(orphan) != process.pid, "another parent")
        run = run_of(None)
        run.is_adopted = True
        life = life_of(orphan)
        assert life is not None
        # Where a subreaper stands between, as under a user's service manager, nobody can tell.
        assert run.owns(orphan) == (parent_of(orphan) == 1)
        run.began = life.started + 1
        assert not run.owns(orphan), "it was there before the start"
        run.began, run.is_adopted = 0, False
        assert not run.owns(orphan)
        os.kill(orphan, 9)


async def test_in_a_cgroup_its_members_count(tmp_path: Path) -> None:
    with cgroup_tree(tmp_path) as tree, started("/bin/sleep", "1000") as process:
        cgroup = tree.service(WEB)
        cgroup.make()
        run = Run(WEB, 1, ProcessSpec(("x",), LogSpec("")), cgroup)
        assert not run.owns(process.pid)
        (cgroup.path / "cgroup.procs").write_text(str(process.pid))
        assert run.owns(process.pid)
        process.kill()
        process.wait()


async def test_closing_gives_back_what_was_made(tmp_path: Path) -> None:
    run = run_of(None)
    run.notify = NotifySocket(tmp_path / "notify", on_message=lambda _: None)
    run.ready_path = tmp_path / "ready"
    os.mkfifo(run.ready_path)
    run.ready_fd = os.open(run.ready_path, os.O_RDWR)
    run.close()
    run.close()
    assert os.listdir(tmp_path) == []  # noqa: PTH208  (names are enough)


async def test_watches_are_replaced_when_they_end() -> None:
    run = run_of(None)
    before = run.watches
    run.end_watches()
    assert before.cancel_called
    assert not run.watches.cancel_called
    run.is_waiting = True
    run.wait_again("defect")
    assert not run.is_waiting

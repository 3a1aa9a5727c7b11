"""When a service is not started because of what an earlier start may have left, and what helps."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.processes import cgroup_tree

from virtsupd.core.names import Name
from virtsupd.core.spec import StopMode
from virtsupd.errors import SpawnError
from virtsupd.process.lives import life_of
from virtsupd.supervisor.leftovers import refuse_leftovers, refuse_unread
from virtsupd.supervisor.record import Record

pytestmark = pytest.mark.process

WEB = Name("web/1")


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    """Give a living process that leads a session of its own."""
    with subprocess.Popen(["/bin/sleep", "1000"], start_new_session=True) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("mode", list(StopMode))
def test_a_living_leader_is_an_obstacle_until_it_ends(
    child: subprocess.Popen[bytes], mode: StopMode
) -> None:
    refuse_leftovers(None, mode, ())
    record = Record(1, None, leader=life_of(child.pid), group=child.pid)
    with pytest.raises(SpawnError) as refused:
        refuse_leftovers(record, mode, ())
    assert refused.value.stage == "leftovers"
    assert refused.value.is_permanent
    text = (
        f"process {child.pid} of an earlier virtsupd still runs; end what is left: kill {child.pid}"
    )
    assert str(refused.value) == text
    child.kill()
    child.wait()
    refuse_leftovers(record, mode, ())


def test_in_a_cgroup_everybody_counts_whoever_made_it(tmp_path: Path) -> None:
    with cgroup_tree(tmp_path) as tree:
        cgroup = tree.service(WEB)
        cgroup.make()
        elsewhere = Record(1, cgroup.path)
        refuse_leftovers(elsewhere, StopMode.CGROUP, (cgroup,))
        children = [subprocess.Popen(["/bin/sleep", "1000"]) for _ in range(12)]
        for one in children:
            (cgroup.path / "cgroup.procs").write_text(str(one.pid))
        # virtsupd may have been started in another place: then only the record names the group.
        for record, groups in ((None, (cgroup,)), (elsewhere, ()), (elsewhere, (cgroup,))):
            with pytest.raises(SpawnError, match="of an earlier virtsupd still run in") as refused:
                refuse_leftovers(record, StopMode.CGROUP, groups)
            assert "…" in str(refused.value)
            assert str(refused.value).endswith(f"echo 1 > {cgroup.path}/cgroup.kill")
        # Under the other modes, what else is in there are guests.
        refuse_leftovers(None, StopMode.PROCESS, (cgroup,))
        for one in children:
            one.kill()
            one.wait()


def test_a_leader_outside_of_its_cgroup_counts(
    child: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    with cgroup_tree(tmp_path) as tree:
        cgroup = tree.service(WEB)
        cgroup.make()
        record = Record(1, cgroup.path, leader=life_of(child.pid), group=child.pid)
        with pytest.raises(SpawnError, match=f"kill {child.pid}"):
            refuse_leftovers(record, StopMode.CGROUP, (cgroup,))


def test_suspects_are_named_with_their_program(child: subprocess.Popen[bytes]) -> None:
    life = life_of(child.pid)
    assert life is not None
    record = Record(1, None, suspects=(life,))
    with pytest.raises(SpawnError) as refused:
        refuse_leftovers(record, StopMode.PROCESS, ())
    assert str(refused.value) == (
        f"it may have left process {child.pid} (sleep), and no cgroup tells; "
        f"end what is left: kill what is its own of {child.pid}"
    )
    child.kill()
    child.wait()
    refuse_leftovers(record, StopMode.PROCESS, ())


def test_beside_a_record_that_cannot_be_read_whoever_is_in_the_cgroup_counts(
    tmp_path: Path, child: subprocess.Popen[bytes]
) -> None:
    with cgroup_tree(tmp_path) as tree:
        cgroup = tree.service(WEB)
        cgroup.make()
        refuse_unread(tmp_path / "web", (cgroup,), tmp_path / "none")
        (cgroup.path / "cgroup.procs").write_text(str(child.pid))
        with pytest.raises(SpawnError) as refused:
            refuse_unread(tmp_path / "web", (cgroup,), tmp_path / "none")
        assert refused.value.stage == "leftovers"
        assert str(refused.value) == (
            f"its record {tmp_path}/web cannot be read, and it may have left process {child.pid}; "
            f"end what is left: kill what is its own of {child.pid}; if nothing is, "
            "remove the record; then start it"
        )
        child.kill()
        child.wait()


def test_without_cgroups_it_is_who_writes_to_the_services_output(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    refuse_unread(tmp_path / "web", (), fifo)
    os.mkfifo(fifo)
    refuse_unread(tmp_path / "web", (), fifo)
    output = os.open(fifo, os.O_RDWR)
    with subprocess.Popen(["/bin/sleep", "1000"], stdout=output, start_new_session=True) as writer:
        os.close(output)
        with pytest.raises(SpawnError, match=f"process {writer.pid};"):
            refuse_unread(tmp_path / "web", (), fifo)
        writer.kill()
    refuse_unread(tmp_path / "web", (), fifo)

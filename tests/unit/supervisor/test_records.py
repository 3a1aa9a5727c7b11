"""What a successor is told of the processes that run, and when it must not start them again."""

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
from virtsupd.supervisor.records import Records

pytestmark = pytest.mark.process

WEB = Name("web/1")


@pytest.fixture
def records(tmp_path: Path) -> Records:
    return Records(tmp_path / "records")


def noted(records: Records, pid: int) -> None:
    """Record a start from its begin to its leader, without a cgroup."""
    records.begin(WEB, 1, None)
    records.note(WEB, pid, pid)


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    """Give a living process that leads a session of its own."""
    with subprocess.Popen(["/bin/sleep", "1000"], start_new_session=True) as process:
        try:
            yield process
        finally:
            process.kill()


def test_what_was_noted_is_read(records: Records, child: subprocess.Popen[bytes]) -> None:
    assert records.read(WEB) is None
    records.note(WEB, child.pid, child.pid)  # of a start that nobody began
    assert records.read(WEB) is None
    noted(records, child.pid)
    found = records.read(WEB)
    assert found is not None
    assert (found.leader, found.group) == (life_of(child.pid), child.pid)
    records.forget(WEB)
    assert records.read(WEB) is None
    records.forget(WEB)


def test_a_forgotten_record_is_overwritten_by_a_respawn_and_else_swept(
    tmp_path: Path, records: Records, child: subprocess.Popen[bytes]
) -> None:
    noted(records, child.pid)
    records.forget(WEB)
    noted(records, child.pid)
    records.sweep()
    assert records.read(WEB) is not None, "the service was started again"
    records.forget(WEB)
    records.sweep()
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_of_one_that_ended_meanwhile_the_begin_is_kept(records: Records) -> None:
    noted(records, 2**22 + 1)
    found = records.read(WEB)
    assert found is not None
    assert (found.generation, found.leader, found.cgroup) == (1, None, None)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"version": 2}', '{"version": 1}', '{"version": 1, "pid": "x"}']
)
def test_what_is_no_record_says_nothing(records: Records, tmp_path: Path, text: str) -> None:
    (tmp_path / "records").mkdir()
    (tmp_path / "records/web%2F1").write_text(text)
    assert records.read(WEB) is None
    records.refuse_leftovers(WEB, StopMode.GROUP, ())
    records.clear()
    assert not (tmp_path / "records").exists()


def test_a_leader_that_cannot_be_recorded_ends_nothing(
    tmp_path: Path, child: subprocess.Popen[bytes]
) -> None:
    (tmp_path / "records").write_text("a file")
    records = Records(tmp_path / "records")
    with pytest.raises(FileExistsError):
        records.begin(WEB, 1, None)
    (tmp_path / "records").unlink()
    records.begin(WEB, 1, None)
    (tmp_path / "records/web%2F1").unlink()
    (tmp_path / "records").rmdir()
    (tmp_path / "records").write_text("a file")
    records.note(WEB, child.pid, child.pid)
    assert records.read(WEB) is None
    records.clear()


@pytest.mark.parametrize("mode", [StopMode.GROUP, StopMode.PROCESS, StopMode.CGROUP])
def test_a_living_leader_is_an_obstacle_until_it_ends(
    records: Records, child: subprocess.Popen[bytes], mode: StopMode
) -> None:
    records.refuse_leftovers(WEB, mode, ())
    noted(records, child.pid)
    with pytest.raises(SpawnError) as refused:
        records.refuse_leftovers(WEB, mode, ())
    assert refused.value.stage == "leftovers"
    assert refused.value.is_permanent
    text = (
        f"process {child.pid} of an earlier virtsupd still runs; end what is left: kill {child.pid}"
    )
    assert str(refused.value) == text
    records.clear()
    assert records.read(WEB) is not None
    child.kill()
    child.wait()
    records.refuse_leftovers(WEB, mode, ())
    records.clear()
    assert records.read(WEB) is None


def test_of_a_group_every_member_counts_and_of_a_process_the_leader_alone(
    records: Records,
) -> None:
    script = ["/bin/sh", "-c", "sleep 1000 & echo $!; exec sleep 1000"]
    with subprocess.Popen(script, stdout=subprocess.PIPE, start_new_session=True) as leader:
        assert leader.stdout is not None
        member = int(leader.stdout.readline())
        noted(records, leader.pid)
        with pytest.raises(SpawnError, match=f"processes {min(leader.pid, member)}, "):
            records.refuse_leftovers(WEB, StopMode.GROUP, ())
        leader.kill()
        leader.wait()
        with pytest.raises(SpawnError, match=f"process {member} of"):
            records.refuse_leftovers(WEB, StopMode.GROUP, ())
        records.refuse_leftovers(WEB, StopMode.PROCESS, ())
        records.clear()
        assert records.read(WEB) is not None
        pidfd = os.pidfd_open(member)
        os.kill(member, 9)
        os.close(pidfd)


def test_a_number_that_is_somebody_elses_by_now_is_no_obstacle(
    records: Records, child: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    noted(records, child.pid)
    path = tmp_path / "records/web%2F1"
    text = path.read_text()
    life = life_of(child.pid)
    assert life is not None
    path.write_text(text.replace(str(life.started), str(life.started - 1)))
    records.refuse_leftovers(WEB, StopMode.GROUP, ())
    path.write_text(text.replace(life.epoch, "another boot"))
    records.refuse_leftovers(WEB, StopMode.GROUP, ())
    records.clear()
    assert not path.exists()


def test_in_a_cgroup_everybody_counts(records: Records, tmp_path: Path) -> None:
    with cgroup_tree(tmp_path) as tree:
        cgroup = tree.service(WEB)
        cgroup.make()
        records.refuse_leftovers(WEB, StopMode.CGROUP, (cgroup,))
        children = [subprocess.Popen(["/bin/sleep", "1000"]) for _ in range(12)]
        for child in children:
            (cgroup.path / "cgroup.procs").write_text(str(child.pid))
        with pytest.raises(SpawnError) as refused:
            records.refuse_leftovers(WEB, StopMode.CGROUP, (cgroup,))
        assert "…" in str(refused.value)
        assert str(refused.value).endswith(f"echo 1 > {cgroup.path}/cgroup.kill")
        # What else is in there are guests, under the other modes.
        records.refuse_leftovers(WEB, StopMode.PROCESS, (cgroup,))
        for child in children:
            child.kill()
            child.wait()


@pytest.mark.parametrize("mode", [StopMode.GROUP, StopMode.PROCESS, StopMode.CGROUP])
def test_what_was_born_after_a_record_was_begun_counts_and_what_was_there_does_not(
    records: Records, tmp_path: Path, mode: StopMode
) -> None:
    with cgroup_tree(tmp_path) as tree:
        cgroup = tree.service(WEB)
        cgroup.make()
        with subprocess.Popen(["/bin/sleep", "1000"]) as guest:
            (cgroup.path / "cgroup.procs").write_text(str(guest.pid))
            records.begin(WEB, 1, cgroup, cgroup.pids())
            if mode is not StopMode.CGROUP:
                records.refuse_leftovers(WEB, mode, ())
            with subprocess.Popen(["/bin/sleep", "1000"]) as born:
                (cgroup.path / "cgroup.procs").write_text(str(born.pid))
                # The successor was started elsewhere: none of its own groups is this one.
                with pytest.raises(SpawnError, match=str(born.pid)) as refused:
                    Records(tmp_path / "records").refuse_leftovers(WEB, mode, ())
                assert (str(guest.pid) in str(refused.value)) == (mode is StopMode.CGROUP)
                records.clear()
                assert records.read(WEB) is not None
                born.kill()
            guest.kill()
        records.refuse_leftovers(WEB, mode, ())


def test_a_leader_outside_of_its_cgroup_counts(
    records: Records, child: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    with cgroup_tree(tmp_path) as tree:
        cgroup = tree.service(WEB)
        cgroup.make()
        noted(records, child.pid)
        with pytest.raises(SpawnError, match=f"kill {child.pid}"):
            records.refuse_leftovers(WEB, StopMode.CGROUP, (cgroup,))


def test_suspects_are_named_with_their_program(
    records: Records, child: subprocess.Popen[bytes]
) -> None:
    records.begin(WEB, 1, None)
    life = life_of(child.pid)
    assert life is not None
    records.suspect(WEB, (life,))
    records.suspect(Name("other"), (life,))
    with pytest.raises(SpawnError) as refused:
        records.refuse_leftovers(WEB, StopMode.PROCESS, ())
    assert str(refused.value) == (
        f"it may have left process {child.pid} (sleep), and no cgroup tells; "
        f"end what is left: kill what is its own of {child.pid}"
    )
    child.kill()
    child.wait()
    records.refuse_leftovers(WEB, StopMode.PROCESS, ())

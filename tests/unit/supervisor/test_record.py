"""Where the processes of a start are, and which of them a next one must not be made beside."""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.checks import eventually
from tests.support.processes import cgroup_tree

from virtsupd.core.names import Name
from virtsupd.core.spec import LogSpec, StopMode
from virtsupd.process.lives import Life, epoch, life_of
from virtsupd.supervisor.record import Record, record_content, record_of

pytestmark = pytest.mark.process

numbers = st.integers(0, 2**40)
lives = st.builds(Life, numbers, numbers, st.just("an epoch"))
VALUES = {
    "generation": numbers,
    "cgroup": st.none() | st.sampled_from([Path("/sys/fs/cgroup/a b"), Path("/x")]),
    "before": st.lists(numbers).map(tuple),
    "began": numbers,
    "leader": st.none() | lives,
    "is_settled": st.booleans(),
    "group": numbers,
    "uid": numbers,
    "log": st.builds(LogSpec, st.sampled_from(["", "/a b"]), numbers, mode=st.just(0o600)),
    "log_offset": numbers,
    "mark": st.text(),
    "suspects": st.lists(lives).map(tuple),
}


@given(st.fixed_dictionaries(VALUES))
def test_a_record_is_read_as_it_was_written(values: dict[str, object]) -> None:
    record = Record(**values)  # type: ignore[arg-type]  # of the right types
    assert {field.name for field in fields(Record)} == set(VALUES)
    content = json.loads(json.dumps(record_content(record)))
    assert record_of(content | {"colour": "blue"}, "an epoch") == record


@pytest.mark.parametrize("damage", [{"before": 1}, {"leader": [1]}, {"leader": 1}, {"began": "x"}])
def test_what_is_no_record_is_refused(damage: dict[str, object]) -> None:
    content = record_content(Record(1, None))
    with pytest.raises((KeyError, TypeError, ValueError)):
        record_of(content | damage, "an epoch")
    with pytest.raises(KeyError):
        record_of({"generation": 1}, "an epoch")


@contextmanager
def sleeping(*command: str) -> Iterator[Record]:
    """Give the record of a process that leads a session, without a cgroup."""
    command = command or ("/bin/sleep", "1000")
    with subprocess.Popen(command, start_new_session=True, stdout=subprocess.PIPE) as process:
        try:
            life = life_of(process.pid)
            yield Record(1, None, leader=life, group=process.pid)
        finally:
            process.kill()


@pytest.mark.parametrize("mode", list(StopMode))
def test_a_living_leader_counts_until_it_ends(mode: StopMode) -> None:
    with sleeping() as record:
        assert record.leader is not None
        assert record.pids(mode) == (record.leader.pid,)
        os.kill(record.leader.pid, 9)
        os.waitid(os.P_PID, record.leader.pid, os.WEXITED | os.WNOWAIT)
        assert record.pids(mode) == (), "a zombie is in nobody's way"


@contextmanager
def member_left(tmp_path: Path) -> Iterator[tuple[Record, int]]:
    """Give the record of a leader that ends with the first SIGKILL, and a member of its group."""
    script = ("/bin/sh", "-c", "read line; sleep 1000 & echo $!; exec sleep 1000")
    with (
        cgroup_tree(tmp_path) as tree,
        subprocess.Popen(
            script, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
        ) as leader,
    ):
        assert leader.stdin is not None
        assert leader.stdout is not None
        cgroup = tree.service(Name("web"))
        cgroup.make()
        (cgroup.path / "cgroup.procs").write_text(str(leader.pid))
        leader.stdin.write(b"\n")
        leader.stdin.flush()
        member = int(leader.stdout.readline())
        yield Record(1, cgroup.path, leader=life_of(leader.pid), group=leader.pid), member
        leader.kill()
        os.kill(member, 9)
        leader.wait()
        eventually(lambda: not cgroup.pids(), "the cgroup is empty")


def test_of_a_group_every_member_counts_and_of_a_process_the_leader_alone(tmp_path: Path) -> None:
    with member_left(tmp_path) as (record, member):
        assert record.leader is not None
        leader = record.leader.pid
        assert record.pids(StopMode.GROUP) == tuple(sorted((leader, member)))
        assert record.pids(StopMode.PROCESS) == (leader,)
        os.kill(leader, 9)
        os.waitid(os.P_PID, leader, os.WEXITED | os.WNOWAIT)
        assert record.pids(StopMode.GROUP) == (member,)
        assert record.own_group() == leader
        assert record.pids(StopMode.PROCESS) == ()


def test_a_group_whose_leader_is_dead_is_ours_only_if_its_cgroup_says_so(tmp_path: Path) -> None:
    """Its number may be that of a stranger's session by now, whose first process has ended too."""
    with member_left(tmp_path) as (record, member):
        assert record.leader is not None
        os.kill(record.leader.pid, 9)
        os.waitid(os.P_PID, record.leader.pid, os.WEXITED | os.WNOWAIT)
        for elsewhere in (None, tmp_path):
            stranger = replace(record, cgroup=elsewhere)
            assert stranger.own_group() == 0
            assert member not in stranger.pids(StopMode.GROUP)


@pytest.mark.parametrize("mode", list(StopMode))
def test_a_number_that_is_somebody_elses_by_now_is_nobody(mode: StopMode) -> None:
    with sleeping() as record:
        assert record.leader is not None
        for other in (
            replace(record.leader, started=record.leader.started - 1),
            replace(record.leader, epoch="another boot"),
        ):
            stale = replace(record, leader=other, suspects=(other,))
            if other.epoch == epoch():
                assert stale.pids(mode) == ()
                assert stale.own_group() == 0
            else:
                assert stale.pids(StopMode.PROCESS) == ()


def test_without_a_leader_no_group_is_known() -> None:
    """Number 0 would be the group of the kernel's threads, and to kill(2) our own."""
    assert Record(1, None).own_group() == 0
    assert Record(1, None).pids(StopMode.GROUP) == ()


@pytest.mark.parametrize("mode", list(StopMode))
def test_what_was_born_since_counts_and_what_was_there_does_not(
    tmp_path: Path, mode: StopMode
) -> None:
    with cgroup_tree(tmp_path) as tree:
        cgroup = tree.service(Name("web"))
        cgroup.make()
        with subprocess.Popen(["/bin/sleep", "1000"]) as guest:
            (cgroup.path / "cgroup.procs").write_text(str(guest.pid))
            record = Record(1, cgroup.path, cgroup.pids())
            if mode is not StopMode.CGROUP:
                assert record.pids(mode) == ()
            with subprocess.Popen(["/bin/sleep", "1000"]) as born:
                (cgroup.path / "cgroup.procs").write_text(str(born.pid))
                found = record.pids(mode)
                assert born.pid in found
                assert (guest.pid in found) == (mode is StopMode.CGROUP)
                born.kill()
            guest.kill()
        assert record.pids(mode) == ()

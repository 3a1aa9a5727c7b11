"""Control groups on the real kernel."""

import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.checks import eventually
from tests.support.processes import cgroup_tree, is_populated, plan_for

from virtsupd.core.names import Name
from virtsupd.process.cgroup import Cgroup, CgroupTree, OwnCgroupError, place_of
from virtsupd.process.spawn import best_spawner

pytestmark = pytest.mark.process


def start_in(group: Cgroup, *command: str) -> int:
    directory = group.open()
    try:
        return best_spawner().spawn(replace(plan_for(*command), cgroup_fd=directory)).pid
    finally:
        os.close(directory)


def test_the_tree_lies_below_our_own_cgroup_and_goes_without_a_trace(tmp_path: Path) -> None:
    with cgroup_tree(tmp_path) as tree:
        assert tree.path.parent == place_of(os.getpid())
        assert tree.path.is_dir()
        again, _ = CgroupTree.find(None, tmp_path)
        assert again is not None
        assert again.path == tree.path
    assert not tree.path.exists()


def test_two_run_directories_never_share_a_tree(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    with cgroup_tree(tmp_path / "a") as first, cgroup_tree(tmp_path / "b") as second:
        assert first.path != second.path


@pytest.mark.parametrize("prefix", ["", "/", "../other", "a/../../b"])
def test_a_prefix_that_leads_elsewhere_is_refused(prefix: str, tmp_path: Path) -> None:
    tree, why_not = CgroupTree.find(prefix, tmp_path)
    assert tree is None
    assert "does not name a cgroup below" in why_not


def test_a_run_directory_that_is_missing_is_said(tmp_path: Path) -> None:
    tree, why_not = CgroupTree.find(None, tmp_path / "gone")
    assert tree is None
    assert "No such file" in why_not


def test_a_group_knows_its_processes_and_ends_them_all(tmp_path: Path) -> None:
    with cgroup_tree(tmp_path) as tree:
        group = tree.service(Name("web"))
        assert (group.pids(), is_populated(group)) == ((), False)
        group.make()
        pid = start_in(group, "/bin/sh", "-c", "setsid sleep 1000 & wait")
        eventually(lambda: len(group.pids()) == 2, "both are in the group")
        pids = group.pids()
        assert pid in pids
        assert all(group.contains(member) for member in pids)
        assert not group.contains(os.getpid())
        assert not group.remove()
        group.kill()
        assert os.waitpid(pid, 0)[1] == signal.SIGKILL
        eventually(lambda: not is_populated(group), "the group is empty")
        assert group.remove()
        assert group.remove()


def test_making_a_group_thaws_it(tmp_path: Path) -> None:
    with cgroup_tree(tmp_path) as tree:
        group = tree.service(Name("web"))
        group.make()
        (group.path / "cgroup.freeze").write_text("1")
        group.make()
        assert (group.path / "cgroup.freeze").read_text() == "0\n"
        assert os.waitpid(start_in(group, "/bin/true"), 0)[1] == 0


def test_groups_that_a_service_made_itself_belong_to_it(tmp_path: Path) -> None:
    with cgroup_tree(tmp_path) as tree:
        group, below = tree.service(Name("web")), Cgroup(tree.service(Name("web")).path / "inner")
        below.make()
        pid = start_in(below, "/bin/sleep", "1000")
        assert group.pids() == (pid,)
        assert is_populated(group)
        assert group.contains(pid)
        assert [service.path for service in tree.services()] == [group.path]
        group.kill()
        os.waitpid(pid, 0)
        assert group.remove()


def test_our_own_group_is_never_killed() -> None:
    own = place_of(os.getpid())
    assert own is not None
    with pytest.raises(OwnCgroupError):
        Cgroup(own).kill()


def test_killing_a_group_that_is_gone_does_nothing(tmp_path: Path) -> None:
    with cgroup_tree(tmp_path) as tree:
        tree.service(Name("never")).kill()
        assert tree.services() == ()


def test_a_start_is_not_killed_by_what_killed_the_last_one(tmp_path: Path) -> None:
    """The kernel kills who is born in a group that was killed as a whole (Linux 6.18)."""
    with cgroup_tree(tmp_path) as tree:
        first = tree.anew(Name("web"))
        pid = start_in(first, "/bin/sleep", "1000")
        first.kill()
        os.waitpid(pid, 0)
        second = tree.anew(Name("web"))
        pid = start_in(second, "/bin/sh", "-c", "exit 7")
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
        for group in tree.groups(Name("web")):
            eventually(group.remove, "every group of the service goes")


def test_a_group_is_found_though_those_before_it_are_gone(tmp_path: Path) -> None:
    """A service with processes in the third one was started beside, or was not adopted."""
    with cgroup_tree(tmp_path) as tree:
        web = Name("web")
        made = []
        for _ in range(3):
            group = tree.anew(web)
            made.append((group, start_in(group, "/bin/sleep", "1000")))
        for group, pid in made[:2]:
            os.kill(pid, 9)
            os.waitpid(pid, 0)
            eventually(group.remove, "an empty group goes")
        third, pid = made[2]
        assert [g.path for g in tree.groups(web)] == [third.path]
        successor = CgroupTree(tree.path)
        assert [g.path for g in successor.groups(web)] == [third.path]
        assert successor.anew(web).path == made[0][0].path
        assert [g.path for g in successor.groups(web)] == [made[0][0].path, third.path]
        assert successor.groups(Name("web2")) == ()
        third.kill()
        os.waitpid(pid, 0)
        for group in tree.groups(web):
            eventually(group.remove, "every group of the service goes")


def test_a_group_beside_the_first_belongs_to_the_service_too(tmp_path: Path) -> None:
    with cgroup_tree(tmp_path) as tree:
        first = tree.anew(Name("web"))
        pid = start_in(first, "/bin/sleep", "1000")
        second = tree.anew(Name("web"))
        assert second.path != first.path
        assert [g.path for g in tree.groups(Name("web"))] == [first.path, second.path]
        assert tree.groups(Name("other")) == ()
        first.kill()
        os.waitpid(pid, 0)
        for group in (first, second):
            eventually(group.remove, "every group of the service goes")

"""Cgroups between two lives of a service: used again, removed, or left to those who live in them."""

import subprocess
from pathlib import Path

import pytest
from tests.support.checks import eventually
from tests.support.processes import cgroup_tree

from virtsupd.core.names import Name
from virtsupd.supervisor.spare_cgroups import SpareCgroups

pytestmark = pytest.mark.process

WEB, APP = Name("web"), Name("app")


def test_an_idle_one_is_used_again_and_a_spent_one_is_not(tmp_path: Path) -> None:
    with cgroup_tree(tmp_path) as tree:
        spare = SpareCgroups()
        idle, spent = tree.service(WEB), tree.service(APP)
        for name, group in ((WEB, idle), (APP, spent)):
            group.make()
            spare.keep(name, group, is_spent=group is spent)
        assert spare.take(APP) is None
        assert spare.take(WEB) is idle
        assert spare.take(WEB) is None
        eventually(lambda: not spare.tidy(), "nothing is left to remove")
        assert idle.path.exists()
        assert not spent.path.exists()


def test_one_in_which_somebody_lives_is_left_alone(tmp_path: Path) -> None:
    with cgroup_tree(tmp_path) as tree, subprocess.Popen(["/bin/sleep", "1000"]) as guest:
        group = tree.service(WEB)
        group.make()
        (group.path / "cgroup.procs").write_text(str(guest.pid))
        spare = SpareCgroups()
        spare.keep(WEB, group, is_spent=False)
        assert not spare.tidy()
        assert group.path.exists()
        assert spare.take(WEB) is None
        guest.kill()

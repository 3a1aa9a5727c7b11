"""Names of control groups; the kernel's part is in tests/process/test_cgroup.py."""

import os
from pathlib import Path

import pytest

from virtsupd.core.names import Name
from virtsupd.process.cgroup import Cgroup, CgroupTree, mount_in, place_in, place_of

TREE = CgroupTree(Path("/sys/fs/cgroup/virtsupd-test-that-never-exists"))


@pytest.mark.parametrize("name", ["web", "a/b", "cgroup.procs", "a%2Fb", "..x", "@:+"])
def test_every_service_has_a_directory_of_its_own_right_below_the_tree(name: str) -> None:
    group = TREE.service(Name(name))
    assert group.path.parent == TREE.path
    assert group.path.name.endswith(".service")


def test_different_names_never_share_a_group() -> None:
    names = ["a/b", "a%2Fb", "a%252Fb", "a", "/" * 127 + "x", "/" * 127 + "y"]
    paths = {TREE.service(Name(name)).path for name in names}
    assert len(paths) == len(names)
    assert all(len(path.name) <= 255 for path in paths)


def test_a_group_that_was_never_made_is_empty_and_gone() -> None:
    group = TREE.service(Name("web"))
    assert group.pids() == ()
    assert not group.contains(os.getpid())
    assert group.remove()
    assert TREE.services() == ()
    with pytest.raises(FileNotFoundError):
        group.open()


def test_a_process_that_is_gone_is_nowhere() -> None:
    assert place_of(2**22 - 1) is None
    assert not Cgroup(Path("/")).contains(2**22 - 1)


MOUNTS = """\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
36 31 0:33 / /sys/fs/cgroup/devices rw shared:9 - cgroup cgroup rw,devices
38 31 0:35 /machine /sys/fs/cgroup/a\\040b rw,nosuid shared:4 master:2 - cgroup2 cgroup2 rw
"""


def test_the_mount_is_read_from_the_kernel_s_table() -> None:
    assert mount_in(MOUNTS) == (Path("/machine"), Path("/sys/fs/cgroup/a b"))
    assert mount_in("") is None
    assert mount_in(MOUNTS.replace("cgroup2", "cgroup")) is None


@pytest.mark.parametrize(
    ("memberships", "place"),
    [
        ("3:cpu:/x\n0::/machine/web\n", Path("/mnt/web")),
        ("0::/machine\n", Path("/mnt")),
        ("0::/machine/web (deleted)\n", Path("/mnt/web")),
        ("0::/elsewhere\n", None),
        ("0::/machine/../x\n", None),
        ("0::/../../outside\n", None),
        ("3:cpu:/x\n", None),
        ("", None),
    ],
)
def test_a_process_is_placed_below_the_mount_or_nowhere(memberships: str, place: Path) -> None:
    assert place_in(memberships, Path("/machine"), Path("/mnt")) == place

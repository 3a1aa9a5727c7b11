"""The node that mounts binfmt_misc, in namespaces of our own."""

import sys

import pytest
from tests.support.binfmt import DIRECTORY, Kernel, private_kernel

from virtsupd.binfmt.mount import has_own_tables

pytestmark = pytest.mark.component

SEE_TO = ("-I", "-m", "virtsupd.binfmt.mount")


def mounts(kernel: Kernel) -> int:
    lines = kernel.run("cat", "/proc/self/mountinfo").stdout.splitlines()
    return sum(" - binfmt_misc " in line for line in lines)


def test_a_user_namespace_gets_a_table_of_its_own_and_one_alone() -> None:
    with private_kernel(is_mounted=False) as kernel:
        before = mounts(kernel)
        assert "mounted for this user namespace" in kernel.python(*SEE_TO).stdout
        assert "was mounted" in kernel.python(*SEE_TO).stdout
        assert mounts(kernel) == before + 1
        kernel.run("sh", "-c", f"echo ':x:E::x::/bin/true:' >{DIRECTORY}/register")


def test_a_namespace_that_has_all_users_is_not_taken_for_that_of_the_host() -> None:
    with private_kernel(is_mounted=False, has_all_users=True) as kernel:
        assert "mounted for this user namespace" in kernel.python(*SEE_TO).stdout


def test_what_is_mounted_is_left_as_it_is() -> None:
    with private_kernel() as kernel:
        kernel.run("sh", "-c", f"echo ':x:E::x::/bin/true:' >{DIRECTORY}/register")
        before = mounts(kernel)
        assert "was mounted" in kernel.python(*SEE_TO).stdout
        assert mounts(kernel) == before
        assert kernel.run("ls", str(DIRECTORY)).stdout.split() == ["register", "status", "x"]


def test_a_child_does_not_enter_into_the_table_of_its_parent() -> None:
    """Its root could: what it sees there is writable for it."""
    with private_kernel() as kernel:
        script = (
            f"$0 -I -m virtsupd.binfmt.mount && echo ':x:E::x::/bin/true:' >{DIRECTORY}/register"
        )
        child = ["unshare", "--user", "--map-root-user", "--mount", "--propagation", "private"]
        kernel.run(*child, "sh", "-c", script, sys.executable)
        assert kernel.run("ls", str(DIRECTORY)).stdout.split() == ["register", "status"]


def test_without_a_mount_namespace_of_its_own_a_child_is_told_so() -> None:
    """The table of its parent is all that it sees, and it could write to it."""
    with private_kernel() as kernel:
        child = ["unshare", "--user", "--map-root-user"]
        done = kernel.run(*child, sys.executable, *SEE_TO, is_ok=False)
        assert done.returncode == 1
        assert "a mount namespace of its own, such as unshare --user --map-root-user --mount" in (
            done.stderr
        )


@pytest.mark.parametrize(
    ("release", "has"), [("6.6.87", False), ("6.7.0-rc1", True), ("6.18", True), ("5.10", False)]
)
def test_user_namespaces_have_tables_since_linux_6_7(release: str, *, has: bool) -> None:
    assert has_own_tables(release) is has


def test_a_directory_that_is_not_there_is_named() -> None:
    with private_kernel(is_mounted=False) as kernel:
        done = kernel.python(*SEE_TO, "/no/such/directory", is_ok=False)
    assert done.returncode == 1
    assert "cannot mount binfmt_misc at /no/such/directory" in done.stderr

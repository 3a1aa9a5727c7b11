"""The node that mounts binfmt_misc, in namespaces of our own."""

import sys

import pytest
from tests.support.binfmt import DIRECTORY, Kernel, private_kernel

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


def test_a_directory_that_is_not_there_is_named() -> None:
    with private_kernel(is_mounted=False) as kernel:
        done = kernel.python(*SEE_TO, "/no/such/directory", is_ok=False)
    assert done.returncode == 1
    assert "cannot mount binfmt_misc at /no/such/directory" in done.stderr

"""The tables that the kernel shows, and what is said of a host that lacks something."""

import pytest

from virtsupd.core.spec import HostCheck
from virtsupd.process.hostfacts import (
    Mount,
    _parse_mount,
    has_global_address,
    is_up,
    missing,
    missing_mount,
    mounts,
)


@pytest.mark.parametrize(
    ("line", "mount"),
    [
        ("22 27 0:21 / /proc rw,relatime - proc proc rw", Mount("/proc", "proc")),
        (
            "36 35 98:0 /a /b\\040c rw shared:1 master:2 - ext4 /dev/root rw,errors=continue",
            Mount("/b c", "ext4"),
        ),
    ],
)
def test_a_line_of_the_mount_table_is_read(line: str, mount: Mount) -> None:
    assert _parse_mount(line) == mount


def test_proc_is_mounted_here() -> None:
    assert Mount("/proc", "proc") in mounts()
    assert missing_mount("/proc", None) is None
    assert missing_mount("/proc", "proc") is None
    assert missing_mount("/proc", "tmpfs") == "proc is mounted at /proc, not tmpfs"
    assert missing_mount("/proc/self", None) == "nothing is mounted at /proc/self"


def test_an_interface_that_is_none_is_not_up() -> None:
    assert not is_up("virtsupd-none")


def test_each_check_answers_with_a_reason_or_none() -> None:
    assert {check: missing(check) or "" for check in HostCheck}.keys() == set(HostCheck)
    assert (missing(HostCheck.NETWORKING) is None) == has_global_address()
    assert (missing(HostCheck.LOOPBACK) is None) == is_up("lo")

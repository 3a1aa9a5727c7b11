"""What a disk image is, by how it begins and what may be done with it."""

import os
import pwd
from pathlib import Path

import pytest

from virtsupd.machine.image_facts import (
    UnfitImageError,
    account_of,
    demand_fit,
    format_of,
    garbage,
)

BOOTABLE = bytes(510) + b"\x55\xaa" + bytes(512)
ME = account_of(pwd.getpwuid(os.geteuid()).pw_name, None)


@pytest.mark.parametrize("head", [BOOTABLE[:512], b"QFI\xfb\x00\x00\x00\x03"])
def test_what_may_be_booted_is_no_garbage(head: bytes) -> None:
    assert garbage(head) is None


@pytest.mark.parametrize(
    ("head", "said"),
    [
        (b"", "empty"),
        (os.urandom(256) + bytes(256), "does not begin with a boot sector"),
        (b"short", "does not begin with a boot sector"),
        (b"<!DOCTYPE html>", "page of the web"),
        (b"\x1f\x8b\x08", "gzip"),
        (b"KDMV" + BOOTABLE[4:512], "vmdk"),
    ],
)
def test_garbage_is_called_what_it_is(head: bytes, said: str) -> None:
    assert said in (garbage(head) or "")


def test_a_disk_that_is_not_booted_from_needs_no_boot_sector() -> None:
    assert garbage(bytes(512), is_booted=False) is None
    assert garbage(b"", is_booted=False) == "it is empty"


def test_what_is_no_disk_is_refused_by_name(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    looping = tmp_path / "loop"
    looping.symlink_to(looping)
    for path, said in (
        (tmp_path, "it is a directory"),
        (fifo, "neither a file nor a block device"),
        (Path("/dev/null"), "neither a file nor a block device"),
        (tmp_path / "none", "no such file"),
        (looping, "symbolic links"),
    ):
        with pytest.raises(UnfitImageError, match=f"{path}: .*{said}"):
            demand_fit(path, ME, is_written=False)


def test_a_disk_is_fit_and_its_format_told(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.write_bytes(BOOTABLE)
    demand_fit(disk, ME, is_written=True)
    assert format_of(disk) == "raw"
    disk.write_bytes(b"QFI\xfb" + BOOTABLE)
    assert format_of(disk) == "qcow2"


def test_an_account_that_is_not_there_is_told() -> None:
    with pytest.raises(UnfitImageError, match="no account childhurd-none"):
        account_of("childhurd-none", None)
    with pytest.raises(UnfitImageError, match="no group kvm-none"):
        account_of("root", "kvm-none")

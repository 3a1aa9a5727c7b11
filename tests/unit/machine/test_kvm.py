"""Whether an account may open /dev/kvm: by its mode, its access control list, and whether it opens at all."""

import os
import struct
from pathlib import Path

import pytest

from virtsupd.errors import SpawnError
from virtsupd.machine.kvm import kvm_denied, with_kvm

OTHER = 64001
QEMU = ("qemu-system-i386", "-m", "512")
_VERSION = struct.pack("<I", 2)


def device(path: Path, mode: int, *, group: int = 0) -> str:
    path.write_bytes(b"")
    path.chmod(mode)
    if group:
        os.chown(path, -1, group)
    return str(path)


def entries(*found: tuple[int, int, int]) -> bytes:
    return _VERSION + b"".join(struct.pack("<HHI", *entry) for entry in found)


def test_without_the_device_it_is_said_which_module_is_missing(tmp_path: Path) -> None:
    assert "not loaded" in (kvm_denied(0, frozenset(), str(tmp_path / "kvm")) or "")


def test_a_device_that_does_not_open_is_no_kvm(tmp_path: Path) -> None:
    (tmp_path / "kvm").mkdir()
    assert "cannot be opened" in (kvm_denied(OTHER, frozenset(), str(tmp_path / "kvm")) or "")


def test_who_is_virtsupd_itself_has_just_opened_it(tmp_path: Path) -> None:
    assert kvm_denied(os.geteuid(), frozenset(), device(tmp_path / "kvm", 0o600)) is None


def test_everybody_may(tmp_path: Path) -> None:
    assert kvm_denied(OTHER, frozenset({OTHER}), device(tmp_path / "kvm", 0o666)) is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives a file to another group")
def test_the_group_decides(tmp_path: Path) -> None:
    path = device(tmp_path / "kvm", 0o660, group=107)
    assert kvm_denied(OTHER, frozenset({OTHER, 107}), path) is None
    why = kvm_denied(OTHER, frozenset({OTHER}), path)
    assert why is not None
    assert "group 107" in why
    assert "chgrp kvm" in why
    assert kvm_denied(OTHER, frozenset({107}), device(tmp_path / "r", 0o640, group=107))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may name others in an access control list")
def test_an_access_control_list_lets_one_account_in(tmp_path: Path) -> None:
    path = device(tmp_path / "kvm", 0o660)
    nobody = 0xFFFFFFFF
    listed = entries(
        (0x01, 6, nobody), (0x02, 6, OTHER), (0x04, 0, nobody), (0x08, 6, 4711), (0x10, 6, nobody),
        (0x20, 0, nobody),
    )  # fmt: skip
    try:
        os.setxattr(path, "system.posix_acl_access", listed)
    except OSError as error:
        pytest.skip(f"the file system has no access control lists: {error}")
    assert kvm_denied(OTHER, frozenset({OTHER}), path) is None
    assert kvm_denied(OTHER + 1, frozenset({4711}), path) is None
    assert kvm_denied(OTHER + 1, frozenset({0}), path), "the mode shows the mask, not the group"


def test_the_command_gets_kvm_only_where_that_is_wanted() -> None:
    assert with_kvm(QEMU, kvm=False, account=(0, frozenset())) == QEMU


@pytest.mark.skipif(not Path("/dev/kvm").exists(), reason="there is no /dev/kvm here")
def test_auto_goes_without_where_true_refuses() -> None:
    stranger = (OTHER, frozenset({OTHER}))
    if kvm_denied(*stranger) is None:
        pytest.skip("everybody may open /dev/kvm here")
    assert with_kvm(QEMU, kvm="auto", account=stranger) == QEMU
    with pytest.raises(SpawnError, match="kvm = true"):
        with_kvm(QEMU, kvm=True, account=stranger)

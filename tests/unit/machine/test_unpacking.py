"""Compressed images."""

import gzip
import hashlib
import lzma
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from virtsupd.machine.image_report import Report
from virtsupd.machine.unpacking import UnpackError, digest_of, unpack
from virtsupd.process.own_notify import OwnNotify

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

DISK = os.urandom(100_000) + bytes(8 << 20) + os.urandom(70_000) + bytes(3 << 20)
PACK: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.compress,
    ".xz": lzma.compress,
    ".zst": zstd.compress,
    "": bytes,
}
REPORT = Report(OwnNotify(""), log=lambda _: None)


@pytest.mark.parametrize("packing", PACK)
def test_what_was_compressed_is_there_without_the_room_of_its_zeros(
    tmp_path: Path, packing: str
) -> None:
    packed, target = tmp_path / "disk.part", tmp_path / "disk.img"
    packed.write_bytes(PACK[packing](DISK))
    target.write_bytes(bytes(20 << 20))
    digest = unpack(packed, packing, target, REPORT)
    assert target.read_bytes() == DISK
    assert digest == hashlib.sha256(DISK).hexdigest() == digest_of(target, "sha256", REPORT)
    assert target.stat().st_blocks * 512 < 1 << 20


@pytest.mark.parametrize("packing", [".gz", ".xz", ".zst"])
def test_several_pieces_of_compression_are_one_image(tmp_path: Path, packing: str) -> None:
    packed, target = tmp_path / "disk.part", tmp_path / "disk.img"
    packed.write_bytes(PACK[packing](DISK[:5000]) + PACK[packing](DISK[5000:]))
    unpack(packed, packing, target, REPORT)
    assert target.read_bytes() == DISK


@pytest.mark.parametrize("packing", [".gz", ".xz", ".zst"])
@pytest.mark.parametrize("flaw", ["cut off", "garbage"])
def test_a_damaged_file_is_told_and_leaves_nothing(tmp_path: Path, packing: str, flaw: str) -> None:
    packed, target = tmp_path / "disk.part", tmp_path / "disk.img"
    whole = PACK[packing](DISK)
    packed.write_bytes(whole[:-50_000] if flaw == "cut off" else b"no such thing" * 9)
    with pytest.raises(UnpackError, match="cannot unpack"):
        unpack(packed, packing, target, REPORT)
    assert not target.exists()


def test_nothing_is_made_of_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        unpack(tmp_path / "none", "", tmp_path / "disk.img", REPORT)
    assert not (tmp_path / "disk.img").exists()

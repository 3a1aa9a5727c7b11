"""Locks as QEMU holds them on an image, held here by another opening of the file."""

import fcntl
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from virtsupd.machine.image_locks import in_use, users_of

READS, WRITES, LETS_READ, LETS_WRITE = 100, 101, 200, 201


@contextmanager
def locked(path: Path, *places: int) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        for place in places:
            wanted = struct.pack("hhqqi4x", fcntl.F_RDLCK, os.SEEK_SET, place, 1, 0)
            fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, wanted)
        yield
    finally:
        os.close(descriptor)


@pytest.mark.parametrize(
    ("places", "reading", "writing"),
    [
        ((), None, None),
        ((READS,), None, None),
        ((READS, LETS_WRITE), None, "another QEMU reads it"),
        ((READS, WRITES), "another QEMU writes to it", "another QEMU writes to it"),
        ((LETS_READ,), "suffers no readers", "suffers no readers"),
    ],
)
def test_a_second_qemu_is_refused_where_qemu_would_refuse_it(
    tmp_path: Path, places: tuple[int, ...], reading: str | None, writing: str | None
) -> None:
    disk = tmp_path / "disk"
    disk.write_bytes(bytes(512))
    with locked(disk, *places):
        descriptor = os.open(disk, os.O_RDONLY | os.O_CLOEXEC)
        try:
            for is_written, said in ((False, reading), (True, writing)):
                found = in_use(descriptor, is_written=is_written)
                assert found is None if said is None else said in (found or "")
        finally:
            os.close(descriptor)


def test_a_file_that_is_not_there_has_no_users(tmp_path: Path) -> None:
    assert users_of(tmp_path / "none") == ()

"""The end of a compressed file, frame by frame from the last."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from backports import zstd

from virtsupd.process.log_frames import end_of_compressed

FRAMES = [zstd.compress(text) for text in (b"one\ntw", b"o\nthree\n", b"four\n")]


@contextmanager
def opened(directory: Path, content: bytes) -> Iterator[int]:
    file = directory / "a.log.1.zst"
    file.write_bytes(content)
    descriptor = os.open(file, os.O_RDONLY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@pytest.mark.parametrize(
    ("lines", "room", "expected"),
    [
        (0, 99, b"four\n"),
        (1, 99, b"o\nthree\nfour\n"),
        (9, 99, b"one\ntwo\nthree\nfour\n"),
        (9, 4, b"four\n"),
        (9, 0, b""),
    ],
)
async def test_no_more_than_needed_or_allowed_is_decompressed(
    tmp_path: Path, lines: int, room: int, expected: bytes
) -> None:
    with opened(tmp_path, b"".join(FRAMES)) as descriptor:
        assert await end_of_compressed(descriptor, lines, room) == expected


async def test_what_precedes_a_frame_that_is_cut_short_is_read(tmp_path: Path) -> None:
    with opened(tmp_path, b"".join(FRAMES)[:-2]) as descriptor:
        assert await end_of_compressed(descriptor, 1, 99) == b"o\nthree\n"


@pytest.mark.parametrize(
    "content",
    [zstd.compress(bytes(17 << 20)), os.urandom(17 << 20), zstd.compress(b"") * 70_000],
    ids=["large frame", "no frame", "many frames"],
)
async def test_what_would_cost_too_much_is_refused(tmp_path: Path, content: bytes) -> None:
    with (
        opened(tmp_path, content) as descriptor,
        pytest.raises(OSError, match=r"File too large"),
    ):
        await end_of_compressed(descriptor, 9, 1 << 20)


async def test_a_damaged_frame_is_an_error_of_the_file(tmp_path: Path) -> None:
    frame = bytearray(zstd.compress(os.urandom(100) * 50, options=CHECKED))
    frame[-1] ^= 1
    with opened(tmp_path, bytes(frame)) as descriptor, pytest.raises(OSError, match="damaged"):
        await end_of_compressed(descriptor, 9, 1 << 20)


CHECKED: dict[int, int] = {zstd.CompressionParameter.checksum_flag: 1}

"""What is known of an image."""

import os
from pathlib import Path

import pytest

from virtsupd.machine.image_record import Record, note, read_record, record_file


@pytest.fixture
def image(tmp_path: Path) -> Path:
    file = tmp_path / "hurd.img"
    file.write_bytes(b"disk")
    return file


def test_a_record_comes_back_and_fits_the_file_under_its_next_name(image: Path) -> None:
    part = image.with_name("hurd.img.part")
    image.rename(part)
    record = Record.now(part, "https://x.example", "sha256:0", "sha256:1", 5.0)
    note(record, image)
    part.rename(image)
    assert read_record(image) == record
    assert record.fits(image)


def test_a_file_that_has_changed_does_not_fit(image: Path) -> None:
    record = Record.now(image, "", "", "", 5.0)
    other = image.with_name("other")
    other.write_bytes(b"disk")
    facts = image.stat()
    os.utime(other, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert not record.fits(other), "of the same size and time, but another file"
    image.write_bytes(b"DISK")
    os.utime(image, ns=(facts.st_atime_ns, facts.st_mtime_ns + 1))
    assert not record.fits(image)
    image.unlink()
    assert not record.fits(image)


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"\xff", b'{"origin": 5}'])
def test_a_damaged_record_is_none(image: Path, content: bytes) -> None:
    assert read_record(image) is None
    record_file(image).write_bytes(content)
    assert read_record(image) is None

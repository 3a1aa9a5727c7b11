"""ELF files of all shapes, whole, damaged and hostile."""

import os
import socket
import struct
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.elf import AARCH64, elf, executable

from virtsupd.binfmt.elf import Elf, ElfError, own, parsed_head, read

LOADER = "/lib/ld-linux-aarch64.so.1"
SHAPES = [(32, False), (32, True), (64, False), (64, True)]


def written(tmp_path: Path, content: bytes) -> str:
    return str(executable(tmp_path / "program", content))


@pytest.mark.parametrize(("bits", "is_big_endian"), SHAPES)
def test_both_classes_and_both_orders_are_read(
    tmp_path: Path, bits: int, is_big_endian: bool
) -> None:
    content = elf(21, bits=bits, is_big_endian=is_big_endian, kind=3, osabi=3, loader=LOADER)
    found = read(written(tmp_path, content))
    assert found == Elf(bits, is_big_endian, 3, 3, 21, 0, LOADER)
    assert found.is_program


@pytest.mark.parametrize(("bits", "is_big_endian"), SHAPES)
def test_a_static_program_has_no_loader(tmp_path: Path, bits: int, is_big_endian: bool) -> None:
    content = elf(bits=bits, is_big_endian=is_big_endian)
    assert read(written(tmp_path, content)).loader is None


def test_it_is_said_in_words() -> None:
    found = parsed_head(elf(AARCH64, osabi=3, kind=1))
    assert found.text == "64-bit little-endian AArch64, GNU/Linux"
    assert found.type_name == "an object file, not linked yet"
    unknown = parsed_head(elf(9999, osabi=77, kind=99))
    assert unknown.text == "64-bit little-endian machine 9999, OSABI 77"
    assert unknown.type_name == "a file of type 99"


def test_a_real_dynamic_program_has_the_loader_that_the_kernel_calls() -> None:
    python = os.path.realpath(sys.executable)
    loader = read(python).loader
    assert loader is None or Path(loader).exists()
    assert read(python).machine == own().machine


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "no ELF file"),
        (b"#!/bin/sh\n", "no ELF file"),
        (b"\x7fELF", "ends within its ELF header"),
        (elf()[:50], "ends within its ELF header"),
        (elf(bits=32)[:44], "ends within its ELF header"),
        (b"\x7fELF\x03\x01" + bytes(58), "ELF class 3"),
        (b"\x7fELF\x02\x07" + bytes(58), "byte order 7"),
        (elf(loader=LOADER)[:100], "ends before what it points to"),
        (elf(loader=LOADER)[:-4], "ends before what it points to"),
        (elf(loader=LOADER)[:-1] + b"x", "has no end"),
        (elf(loader="/" + "x" * 5000), "has 5002 bytes"),
    ],
)
def test_what_is_damaged_is_named(tmp_path: Path, content: bytes, why: str) -> None:
    with pytest.raises(ElfError, match=why):
        read(written(tmp_path, content))


@pytest.mark.parametrize(
    ("position", "value", "why"),
    [
        (32, struct.pack("<Q", 2**64 - 1), "points to what is not in it"),
        (32, struct.pack("<Q", 2**40), "ends before what it points to"),
        (54, struct.pack("<H", 57), "size that no kernel takes"),
        (56, struct.pack("<H", 65535), "size that no kernel takes"),
        (72, struct.pack("<Q", 2**63), "points to what is not in it"),
        (96, struct.pack("<Q", 2**62), "bytes"),
    ],
)
def test_lies_about_places_and_sizes_cost_nothing(
    tmp_path: Path, position: int, value: bytes, why: str
) -> None:
    content = bytearray(elf(loader=LOADER))
    content[position : position + len(value)] = value
    with pytest.raises(ElfError, match=why):
        read(written(tmp_path, bytes(content)))


def test_no_file_makes_it_raise_anything_else(tmp_path: Path) -> None:
    path = tmp_path / "any"

    @given(st.binary(max_size=200), st.sampled_from([b"", b"\x7fELF\x01\x01", b"\x7fELF\x02\x02"]))
    def some_file(content: bytes, start: bytes) -> None:
        path.write_bytes(start + content)
        with suppress(ElfError):
            read(str(path))

    some_file()


def test_what_is_no_regular_file_is_not_even_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        kinds = {"fifo": "a FIFO", "socket": "a socket", ".": "a directory"}
        for name, kind in kinds.items():
            with pytest.raises(ElfError, match=kind):
                read(str(tmp_path / name))
    with pytest.raises(ElfError, match="a device"):
        read("/dev/null")
    with pytest.raises(FileNotFoundError):
        read(str(tmp_path / "absent"))

"""What a file is that somebody wants to execute."""

import os
from contextlib import closing
from pathlib import Path

import pytest
from tests.support.elf import elf, executable

from virtsupd.binfmt.programs import Program, ProgramError, described, look_at
from virtsupd.binfmt.roots import Root


def looked(path: Path | str, root: str = "/") -> Program:
    with closing(Root(root)) as opened:
        return look_at(str(path), opened)


def kind(tmp_path: Path, content: bytes) -> str:
    return described(looked(executable(tmp_path / "x", content)))


def interpreter(tmp_path: Path, content: bytes) -> str:
    return looked(executable(tmp_path / "x", content)).interpreter


def test_an_elf_file_is_said_with_machine_type_and_loader(tmp_path: Path) -> None:
    said = kind(tmp_path, elf(loader="/lib/ld.so.9"))
    assert said == (
        "ELF, 64-bit little-endian AArch64, System V, a program, loaded by /lib/ld.so.9"
    )


def test_of_a_damaged_one_what_can_be_known_is_kept(tmp_path: Path) -> None:
    found = looked(executable(tmp_path / "x", elf(loader="/lib/ld.so.9")[:-1]))
    assert found.elf is not None
    assert "ends before" in found.elf_fault
    assert kind(tmp_path, elf()[:30]) == "a damaged ELF file"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "an empty file"),
        (b"text", "neither an ELF file nor a script with #!"),
        (b"#!/bin/sh\n", "a script for /bin/sh"),
        (b"#! \n", "a script for a program that its first line does not name"),
    ],
)
def test_what_is_no_elf_file_is_said(tmp_path: Path, content: bytes, said: str) -> None:
    assert kind(tmp_path, content) == said


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (b"#!/bin/sh", "/bin/sh"),
        (b"#! \t/bin/env\tpython3 -x\n", "/bin/env"),
        (b"#!/bin/sh\0rest\n", "/bin/sh"),
        (b"#!" + b"/" * 300, ""),
        (b"#!/bin/sh " + b"x" * 300, "/bin/sh"),
        (b"#!\n/bin/sh\n", ""),
        (b"/bin/sh\n", ""),
    ],
)
def test_a_script_names_its_program_as_the_kernel_reads_it(
    tmp_path: Path, content: bytes, name: str
) -> None:
    assert interpreter(tmp_path, content) == name


def test_only_the_head_is_kept_and_the_rights_are(tmp_path: Path) -> None:
    found = looked(executable(tmp_path / "x", b"x" * 1000, 0o4711))
    assert len(found.head) == 256
    assert found.mode & 0o7777 == 0o4711
    assert found.uid == os.geteuid()
    assert looked("/proc/version").is_noexec == bool(os.statvfs("/proc").f_flag & os.ST_NOEXEC)


def test_what_is_no_regular_file_is_refused_and_never_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for path, why in {
        str(tmp_path): "a directory, not a file",
        str(tmp_path / "fifo"): "a FIFO, not a file",
        "/dev/null": "a device, not a file",
        str(tmp_path / "absent"): "no such file or directory",
    }.items():
        with pytest.raises(ProgramError, match=why):
            looked(path)


def test_a_path_within_a_root_is_told_from_one_outside(tmp_path: Path) -> None:
    path = executable(tmp_path / "bin/x", elf())
    assert looked("/bin/x", str(tmp_path)).is_elf
    with pytest.raises(ProgramError, match="FILE is its path within that root"):
        looked(path, str(tmp_path))

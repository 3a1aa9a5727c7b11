"""What would become of a program, by files and a table of entries."""

import os
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.elf import AARCH64, dynamic, elf, executable, native

from virtsupd.binfmt.entries import Entry
from virtsupd.binfmt.explaining import KERNEL, Explanation, Table, explain
from virtsupd.binfmt.platforms import host_family, lookup_qemu_platforms
from virtsupd.binfmt.programs import look_at
from virtsupd.binfmt.proof import program
from virtsupd.binfmt.roots import Root
from virtsupd.binfmt.settings import Settings

IDENTITY = (1, 1)
LOADER = "/lib/ld-of-aarch64.so"
SETTINGS = Settings(platforms=("aarch64",), record="/no/record")

pytestmark = pytest.mark.skipif(
    host_family(os.uname().machine) in {"arm", "s390x"}, reason="its programs are foreign here"
)


def entry(name: str, *, flags: str = "F", interpreter: str = "/qemu", is_on: bool = True) -> Entry:
    [platform] = lookup_qemu_platforms(name)
    magic, mask = platform.magic, platform.mask
    return Entry(platform.entry, IDENTITY, is_on, interpreter, flags, 0, magic, mask)


def explained(
    root: Path,
    content: bytes,
    *entries: Entry,
    mode: int = 0o755,
    is_on: bool = True,
    settings: Settings = SETTINGS,
) -> Explanation:
    executable(root / "program", content, mode)
    with closing(Root(str(root))) as opened:
        return explain(look_at("/program", opened), opened, Table(is_on, entries), settings)


def the_problem(found: Explanation) -> str:
    assert not found.runs
    [problem] = found.problems
    return problem


def test_the_first_entry_that_fits_and_is_on_runs_it(tmp_path: Path) -> None:
    off = replace(entry("aarch64"), name="off", is_enabled=False)
    later = replace(entry("aarch64"), name="later")
    found = explained(tmp_path, program("aarch64"), entry("arm"), off, entry("aarch64"), later)
    assert (found.by, found.interpreter, found.flags) == ("qemu-aarch64", "/qemu", "F")
    assert found.matching == [("off", False), ("qemu-aarch64", True), ("later", True)]
    assert found.runs
    assert found.notes == []


def test_an_entry_comes_before_the_kernels_own_loader(tmp_path: Path) -> None:
    wide = Entry("wide", IDENTITY, True, "/qemu", "F", 0, b"\x7fELF", b"\xff" * 4)
    found = explained(tmp_path, native(), wide)
    assert found.by == "wide"
    assert "an entry comes before the kernel's own loader" in found.notes[0]
    assert explained(tmp_path, native()).by == KERNEL


def test_a_loader_of_its_own_has_to_be_in_its_root(tmp_path: Path) -> None:
    content = dynamic(program("aarch64"), LOADER)
    said = the_problem(explained(tmp_path, content, entry("aarch64")))
    assert f"its loader {LOADER} is not there in {tmp_path}" in said
    assert "QEMU_LD_PREFIX" in said
    executable(tmp_path / LOADER[1:], native())
    assert "is for another machine" in the_problem(explained(tmp_path, content, entry("aarch64")))
    executable(tmp_path / LOADER[1:], program("aarch64"))
    assert explained(tmp_path, content, entry("aarch64")).runs


@pytest.mark.parametrize("place", ["etc/qemu-binfmt/aarch64", "usr/gnemul/qemu-aarch64"])
def test_where_qemu_itself_looks_for_loaders_one_counts(tmp_path: Path, place: str) -> None:
    executable(tmp_path / place / LOADER[1:], program("aarch64"))
    assert explained(tmp_path, dynamic(program("aarch64"), LOADER), entry("aarch64")).runs


def test_a_loader_that_cannot_be_looked_at_is_not_complained_of(tmp_path: Path) -> None:
    (tmp_path / LOADER[1:]).mkdir(parents=True)
    assert explained(tmp_path, dynamic(program("aarch64"), LOADER), entry("aarch64")).runs


def test_without_the_flag_f_the_interpreter_is_sought_in_the_root(tmp_path: Path) -> None:
    aarch64 = entry("aarch64", flags="", interpreter="/qemu-aarch64")
    said = the_problem(explained(tmp_path, program("aarch64"), aarch64))
    assert f"its interpreter /qemu-aarch64 is not there in {tmp_path}" in said
    executable(tmp_path / "qemu-aarch64", native("/lib/ld.so.9"))
    said = the_problem(explained(tmp_path, program("aarch64"), aarch64))
    assert "linked dynamically and its loader /lib/ld.so.9 is not there" in said
    executable(tmp_path / "lib/ld.so.9", native())
    assert explained(tmp_path, program("aarch64"), aarch64).runs


def test_a_dynamic_interpreter_has_no_loader_in_another_root(tmp_path: Path) -> None:
    outside = executable(tmp_path / "qemu", native("/lib/ld.so.9"))
    (tmp_path / "root").mkdir()
    fixed = entry("aarch64", interpreter=str(outside))
    assert "enter a static one" in the_problem(
        explained(tmp_path / "root", program("aarch64"), fixed)
    )


def test_who_may_not_execute_it_is_told(tmp_path: Path) -> None:
    found = explained(tmp_path, program("aarch64"), entry("aarch64"), mode=0o644)
    assert the_problem(found) == "it is not executable: chmod +x /program"


@pytest.mark.parametrize(
    ("mode", "flags", "said"),
    [
        (0o4755, "F", "its set-ID bits have no effect: it runs as whoever calls it"),
        (0o2755, "F", "its set-ID bits have no effect: it runs as whoever calls it"),
        (0o711, "F", "who may not read it cannot run it"),
    ],
)
def test_rights_that_have_no_effect_are_noted(
    tmp_path: Path, mode: int, flags: str, said: str
) -> None:
    found = explained(tmp_path, program("aarch64"), entry("aarch64", flags=flags), mode=mode)
    assert found.runs
    [note] = found.notes
    assert note.startswith(said)


@pytest.mark.parametrize(
    ("mode", "whose"), [(0o4755, f"its owner, user {os.geteuid()}"), (0o2755, "its group")]
)
def test_with_the_flag_c_it_has_its_owners_rights(tmp_path: Path, mode: int, whose: str) -> None:
    found = explained(tmp_path, program("aarch64"), entry("aarch64", flags="FOC"), mode=mode)
    assert found.notes == [f"it runs as {whose}, since the entry has flag C"]


def test_what_may_only_be_executed_runs_with_the_flag_o(tmp_path: Path) -> None:
    found = explained(tmp_path, program("aarch64"), entry("aarch64", flags="FO"), mode=0o711)
    assert found.notes == []


def test_the_own_kind_needs_its_loader_too(tmp_path: Path) -> None:
    said = the_problem(explained(tmp_path, native("/lib/ld.so.9")))
    assert "its loader /lib/ld.so.9 is not there" in said
    assert "QEMU" not in said
    executable(tmp_path / "lib/ld.so.9", native())
    assert explained(tmp_path, native("/lib/ld.so.9")).runs
    assert "damaged" in the_problem(explained(tmp_path, native("/lib/ld.so.9")[:-1]))


def test_a_script_runs_if_what_it_names_does(tmp_path: Path) -> None:
    content = b"#!/bin/hello\n"
    said = the_problem(explained(tmp_path, content, entry("aarch64")))
    assert "the program that it names cannot be had: /bin/hello: no such file" in said
    executable(tmp_path / "bin/hello", program("aarch64"))
    found = explained(tmp_path, content, entry("aarch64"))
    assert found.then is not None
    assert (found.by, found.interpreter, found.then.by) == (KERNEL, "/bin/hello", "qemu-aarch64")
    assert found.runs
    assert not explained(tmp_path, content).runs
    assert "names no program" in the_problem(explained(tmp_path, b"#!" + b"x" * 300))
    assert "from the directory" in explained(tmp_path, b"#!bin/hello\n").notes[0]


def test_scripts_that_name_each_other_end(tmp_path: Path) -> None:
    found = explained(tmp_path, b"#!/program\n")
    assert not found.runs
    depth = 0
    last = found
    while last.then is not None:
        depth, last = depth + 1, last.then
    assert depth == 5
    assert "more often than the kernel follows" in last.problems[0]


def test_an_entry_counts_as_a_step_from_one_program_to_the_next(tmp_path: Path) -> None:
    for number in range(1, 5):
        executable(tmp_path / f"{number}", f"#!/{number - 1}\n".encode())
    executable(tmp_path / "0", program("aarch64"))
    assert explained(tmp_path, b"#!/3\n", entry("aarch64")).runs
    assert not explained(tmp_path, b"#!/4\n", entry("aarch64")).runs


def test_what_is_switched_off_is_named_with_the_next_step(tmp_path: Path) -> None:
    found = explained(tmp_path, program("aarch64"), entry("aarch64", is_on=False))
    assert found.problems == [
        "switched off is what would take it: qemu-aarch64",
        "switch it on: echo 1 >/proc/sys/fs/binfmt_misc/qemu-aarch64",
    ]
    found = explained(tmp_path, program("aarch64"), entry("aarch64"), is_on=False)
    assert "binfmt_misc is switched off as a whole, or qemu-aarch64" in the_problem(found)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (program("aarch64"), "virtsupctl start qemu-binfmt"),
        (program("s390x"), 'add "s390x" to platforms of [qemu_binfmt]; its emulator is qemu-s390x'),
        (elf(22, is_big_endian=True, osabi=9), "not taken for s390x, as its OSABI is 9"),
        (elf(50), "no platform for its machine: 64-bit little-endian Intel Itanium"),
        (elf(AARCH64, kind=1), "it is an object file, not linked yet: nothing runs that"),
        (elf(AARCH64)[:30], "it is damaged: it ends within its ELF header"),
        (b"text", "no entry fits it; a shell may still try it as a script"),
        (b"", "no entry fits it; a shell"),
    ],
)
def test_what_no_entry_takes_is_told_what_is_missing(
    tmp_path: Path, content: bytes, said: str
) -> None:
    found = explained(tmp_path, content)
    assert said in the_problem(found)
    assert (found.by, found.interpreter) == ("", "")


def test_the_other_bytes_are_named_where_they_would_take_it(tmp_path: Path) -> None:
    marked = elf(22, is_big_endian=True, osabi=3)
    found = explained(tmp_path, marked, settings=replace(SETTINGS, bytes="guix"))
    assert 'with bytes = "debian" it is one of s390x' in the_problem(found)


def test_a_damaged_program_of_an_entry_is_told(tmp_path: Path) -> None:
    found = explained(tmp_path, program("aarch64")[:30], entry("aarch64"))
    assert found.by == "qemu-aarch64"
    assert "damaged" in the_problem(found)


def test_an_object_file_of_the_own_kind_does_not_run(tmp_path: Path) -> None:
    content = bytearray(native())
    content[16:18] = (1).to_bytes(2, "big" if content[5] == 2 else "little")
    assert "nothing runs that" in the_problem(explained(tmp_path, bytes(content)))

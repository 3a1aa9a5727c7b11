"""Which emulator is taken, and why another is not."""

import os
from pathlib import Path

import pytest
from tests.support.elf import elf, executable, native

from virtsupd.binfmt.interpreters import InterpreterError, check, find
from virtsupd.binfmt.platforms import QemuPlatform, lookup_qemu_platforms
from virtsupd.binfmt.proof import program

LOADER = "/lib/ld-linux.so.9"


def platform(name: str) -> QemuPlatform:
    [found] = lookup_qemu_platforms(name)
    return found


def put(prefix: Path, name: str, content: bytes, mode: int = 0o755) -> str:
    return str(executable(prefix / "bin" / name, content, mode))


def refusal(prefix: Path | str, name: str = "aarch64", *, is_fixed: bool = True) -> str:
    with pytest.raises(InterpreterError) as caught:
        find(platform(name), str(prefix), is_fixed=is_fixed)
    return str(caught.value)


def test_the_name_that_says_static_comes_first(tmp_path: Path) -> None:
    plain = put(tmp_path, "qemu-aarch64", native())
    assert find(platform("aarch64"), str(tmp_path), is_fixed=True) == plain
    named = put(tmp_path, "qemu-aarch64-static", native())
    assert find(platform("aarch64"), f"{tmp_path}/", is_fixed=True) == named


def test_qemu_has_names_of_its_own(tmp_path: Path) -> None:
    path = put(tmp_path, "qemu-aarch64_be", native())
    assert find(platform("aarch64be"), str(tmp_path), is_fixed=True) == path
    path = put(tmp_path, "qemu-i386-static", native())
    assert find(platform("i486"), str(tmp_path), is_fixed=True) == path


def test_a_dynamic_one_is_passed_over_for_a_static_one(tmp_path: Path) -> None:
    put(tmp_path, "qemu-aarch64-static", native(LOADER))
    path = put(tmp_path, "qemu-aarch64", native())
    assert find(platform("aarch64"), str(tmp_path), is_fixed=True) == path


def test_a_dynamic_one_alone_is_refused_with_the_reason_and_the_next_step(tmp_path: Path) -> None:
    path = put(tmp_path, "qemu-aarch64", native(LOADER))
    said = refusal(tmp_path)
    assert f"{path}: is linked dynamically and needs {LOADER}" in said
    assert "with flag F it has to be static" in said
    assert "install" in said or "build" in said or "set qemu" in said


def test_without_the_flag_a_dynamic_one_or_a_script_serves(tmp_path: Path) -> None:
    path = put(tmp_path, "qemu-aarch64", native(LOADER))
    assert find(platform("aarch64"), str(tmp_path), is_fixed=False) == path
    path = put(tmp_path, "qemu-arm", b"#!/bin/sh\n")
    assert find(platform("arm"), str(tmp_path), is_fixed=False) == path
    assert "no ELF file" in refusal(tmp_path, "arm")


def test_none_at_all_names_what_was_sought_and_where(tmp_path: Path) -> None:
    said = refusal(tmp_path)
    assert said.startswith("'aarch64': there is neither qemu-aarch64-static nor qemu-aarch64 in")
    assert str(tmp_path / "bin") in said


def test_a_prefix_is_the_only_place(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    for name in ("arm", "i386", "x86_64"):
        assert "there is neither" in refusal(tmp_path, name)


def test_a_foreign_one_would_need_another_to_run_it(tmp_path: Path) -> None:
    content = program("s390x" if os.uname().machine != "s390x" else "alpha")
    put(tmp_path, "qemu-aarch64", content)
    assert "is itself a program for another machine (64-bit" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("content", "mode", "why"),
    [
        (native(), 0o644, "is not executable"),
        (native(), 0o777, "everybody may write to it"),
        (elf(kind=1), 0o755, "is an object file"),
        (b"text", 0o755, "no ELF file"),
    ],
)
def test_what_cannot_be_run_or_trusted_is_refused(
    tmp_path: Path, content: bytes, mode: int, why: str
) -> None:
    path = put(tmp_path, "qemu-aarch64", content, mode)
    assert f"{path}: " in refusal(tmp_path)
    assert why in refusal(tmp_path)
    with pytest.raises(InterpreterError, match=why):
        check(path, is_fixed=True)


def test_a_directory_of_its_name_is_refused_and_nothing_waits_for_a_fifo(tmp_path: Path) -> None:
    (tmp_path / "bin/qemu-aarch64-static").mkdir(parents=True)
    os.mkfifo(tmp_path / "bin/qemu-aarch64")
    said = refusal(tmp_path)
    assert "a directory, not a file that could be a program" in said
    assert "a FIFO" in said


def test_a_link_is_kept_as_it_was_found(tmp_path: Path) -> None:
    target = put(tmp_path, "qemu", native())
    link = tmp_path / "bin/qemu-aarch64"
    link.symlink_to(target)
    assert find(platform("aarch64"), str(tmp_path), is_fixed=True) == str(link)
    check(str(link), is_fixed=True)


@pytest.mark.parametrize(
    ("prefix", "why"),
    [
        ("usr", "no absolute path"),
        ("/a:b", "cannot be entered"),
        ("/a\nb", "cannot be entered"),
        ("/a\0b", "cannot be entered"),
    ],
)
def test_a_prefix_that_no_line_could_hold_is_refused(prefix: str, why: str) -> None:
    assert why in refusal(prefix)


def test_a_file_that_is_gone_is_named() -> None:
    with pytest.raises(InterpreterError, match=r"^/no/such/qemu: no such file or directory$"):
        check("/no/such/qemu", is_fixed=True)

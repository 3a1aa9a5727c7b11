"""What explain and table say, held against what the kernel does, in a table of our own."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.binfmt import DIRECTORY, Kernel, private_kernel
from tests.support.binfmt_settings import registration, settings_file
from tests.support.elf import dynamic, elf, executable, native

from virtsupd.binfmt.elf import own, parsed_head
from virtsupd.binfmt.entries import Registration
from virtsupd.binfmt.platforms import NAMES
from virtsupd.binfmt.proof import ENDS_WITH, program

pytestmark = pytest.mark.component

LOADER = "/lib/ld-of-aarch64.so"
EXECUTE = (
    "import os, sys\n"
    "os.chroot(sys.argv[1]); os.chdir('/')\n"
    "try: os.execv(sys.argv[2], [sys.argv[2]])\n"
    "except OSError as error: sys.exit(100)\n"
)


def proof_of_the_host() -> bytes:
    """Return the program that ends as all proofs do and needs no entry here."""
    return next(
        program(name) for name in NAMES if parsed_head(program(name)).machine == own().machine
    )


@pytest.fixture
def kernel() -> Iterator[Kernel]:
    with private_kernel() as found:
        for name in ("arm", "aarch64"):
            found.register(registration(name).line)
        yield found


def write(kernel: Kernel, name: str, what: str) -> None:
    kernel.run("sh", "-c", f"echo {what} >{DIRECTORY}/{name}")


def asked(kernel: Kernel, tmp_path: Path, action: str, *words: str) -> Any:
    file = settings_file(tmp_path, "arm", "aarch64")
    module = f"virtsupd.services.binfmt_{action}"
    return json.loads(kernel.python("-I", "-m", module, file, "--json", *words).stdout)


def agree(kernel: Kernel, tmp_path: Path, root: Path, path: str) -> dict[str, Any]:
    """Explain a program, execute it, and see that it ran if that was said; return what was said."""
    said: dict[str, Any] = asked(kernel, tmp_path, "explain", "--root", str(root), path)
    done = kernel.python("-I", "-c", EXECUTE, str(root), path, is_ok=False)
    assert said["runs"] == (done.returncode == ENDS_WITH), f"{said} but {done}"
    return said


@pytest.mark.parametrize(
    ("name", "content", "runs"),
    [
        ("arm", program("arm"), True),
        ("aarch64", program("aarch64"), True),
        ("aarch64-script", b"#! /bin/aarch64 x\n", True),
        ("script-of-script", b"#!/bin/aarch64-script\n", True),
        ("loop", b"#!/bin/loop\n", False),
        ("script-of-nothing", b"#!/bin/nothing\n", False),
        ("s390x", program("s390x"), False),
        ("object", elf(kind=1), False),
        ("cut", program("aarch64")[:40], False),
        ("native-without-loader", native("/lib/absent.so"), False),
        ("dynamic-without-loader", dynamic(program("aarch64"), "/lib/absent.so"), False),
        ("dynamic", dynamic(program("aarch64"), LOADER), True),
        ("text", b"text", False),
        ("empty", b"", False),
    ],
)
def test_what_explain_says_is_what_the_kernel_does_in_a_chroot(
    kernel: Kernel, tmp_path: Path, name: str, content: bytes, runs: bool
) -> None:
    root = tmp_path / "root"
    executable(root / "bin/aarch64", program("aarch64"))
    executable(root / "bin/aarch64-script", b"#!/bin/aarch64\n")
    executable(root / LOADER[1:], program("aarch64"))
    executable(root / "bin" / name, content)
    assert agree(kernel, tmp_path, root, f"/bin/{name}")["runs"] == runs


@pytest.mark.parametrize(
    ("last", "scripts", "runs"),
    [
        (program("aarch64"), 4, True),
        (program("aarch64"), 5, False),
        (proof_of_the_host(), 5, True),
        (proof_of_the_host(), 6, False),
    ],
)
def test_scripts_are_followed_as_far_as_the_kernel_does(
    kernel: Kernel, tmp_path: Path, last: bytes, scripts: int, runs: bool
) -> None:
    executable(tmp_path / "root/0", last)
    for number in range(scripts):
        executable(tmp_path / f"root/{number + 1}", f"#!/{number}\n".encode())
    assert agree(kernel, tmp_path, tmp_path / "root", f"/{scripts}")["runs"] == runs


def test_a_file_that_is_not_executable_or_on_noexec_does_not_run(
    kernel: Kernel, tmp_path: Path
) -> None:
    path = executable(tmp_path / "arm", program("arm"), 0o644)
    assert "chmod +x" in agree(kernel, tmp_path, Path("/"), str(path))["problems"][0]
    place = tmp_path / "mounted"
    place.mkdir()
    kernel.run("mount", "-t", "tmpfs", "-o", "noexec", "none", str(place))
    kernel.run("install", "-m", "755", str(path), str(place / "arm"))
    assert "noexec" in agree(kernel, tmp_path, Path("/"), str(place / "arm"))["problems"][0]


def test_without_the_flag_f_the_interpreter_has_to_be_in_the_chroot(
    kernel: Kernel, tmp_path: Path
) -> None:
    write(kernel, "qemu-aarch64", "-1")
    kernel.register(registration("aarch64", flags="P").line)
    root = tmp_path / "root"
    executable(root / "aarch64", program("aarch64"))
    assert "is not there" in agree(kernel, tmp_path, root, "/aarch64")["problems"][0]
    emulator = registration("aarch64").interpreter
    executable(root / emulator[1:], Path(emulator).read_bytes())
    assert agree(kernel, tmp_path, root, "/aarch64")["runs"]


def test_of_two_entries_for_one_platform_the_newer_one_that_is_on_is_taken(
    kernel: Kernel, tmp_path: Path
) -> None:
    path = str(executable(tmp_path / "arm", program("arm")))
    arm = registration("arm")
    newer = Registration("aaa", arm.magic, arm.mask, "/bin/true", "")
    kernel.register(newer.line)
    said = asked(kernel, tmp_path, "explain", path)
    assert said["by"] == "aaa"
    assert kernel.run(path).returncode == 0, "true ended it"
    table = asked(kernel, tmp_path, "table")
    assert [(row["name"], row["hidden_by"]) for row in table["entries"]] == [
        ("aaa", None),
        ("qemu-aarch64", None),
        ("qemu-arm", "aaa"),
    ]
    write(kernel, "aaa", "0")
    assert agree(kernel, tmp_path, Path("/"), path)["by"] == "qemu-arm"
    write(kernel, "qemu-arm", "-1")
    kernel.register(arm.line)
    write(kernel, "aaa", "1")
    assert agree(kernel, tmp_path, Path("/"), path)["by"] == "qemu-arm"


def test_a_table_that_is_switched_off_runs_nothing(kernel: Kernel, tmp_path: Path) -> None:
    path = str(executable(tmp_path / "arm", program("arm")))
    write(kernel, "status", "0")
    said = agree(kernel, tmp_path, Path("/"), path)
    assert "switched off as a whole" in said["problems"][0]
    assert asked(kernel, tmp_path, "table")["is_on"] is False
    write(kernel, "status", "1")
    assert agree(kernel, tmp_path, Path("/"), path)["runs"]


def test_an_entry_comes_before_the_kernels_own_loaders(kernel: Kernel, tmp_path: Path) -> None:
    kernel.run("sh", "-c", f"printf ':sh:E::mine::/bin/true:' >{DIRECTORY}/register")
    path = executable(tmp_path / "script.mine", b"#!/bin/false\n")
    assert asked(kernel, tmp_path, "explain", str(path))["by"] == "sh"
    assert kernel.run(str(path)).returncode == 0


def test_the_root_of_a_process_can_be_looked_into(kernel: Kernel, tmp_path: Path) -> None:
    executable(tmp_path / "arm", program("arm"))
    root = f"/proc/{kernel.pid}/root"
    said = asked(kernel, tmp_path, "explain", "--root", root, str(tmp_path / "arm"))
    assert said["runs"]

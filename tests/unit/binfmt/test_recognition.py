"""Whose program a file is, by how it begins."""

import os
from pathlib import Path

import pytest
from tests.support.elf import AARCH64, ARM, elf, native

from virtsupd.binfmt.platforms import NAMES, QemuPlatform, host_family, lookup_qemu_platforms
from virtsupd.binfmt.proof import program
from virtsupd.binfmt.recognition import is_native, nearly, platforms_of, runs_itself

S390X = 22


def near(head: bytes) -> tuple[str, str]:
    found = nearly(head)
    assert found is not None
    platform, why = found
    return platform.name, why


@pytest.mark.parametrize("name", NAMES)
def test_a_program_is_of_its_platform(name: str) -> None:
    assert [platform.name for platform in platforms_of(program(name))] == [name]


def test_what_is_no_program_is_of_none() -> None:
    assert platforms_of(b"#!/bin/sh\n") == []
    assert platforms_of(elf(AARCH64, kind=1)) == []


def test_the_host_runs_its_own_family_whatever_the_system_that_is_marked() -> None:
    assert is_native(native())
    assert is_native(native()[:7] + b"\x09" + native()[8:])


@pytest.mark.parametrize("platform", lookup_qemu_platforms(*NAMES), ids=lambda one: one.name)
def test_a_platform_is_native_if_it_is_of_the_hosts_family(platform: QemuPlatform) -> None:
    is_own = platform.family == host_family(os.uname().machine)
    assert is_native(program(platform.name)) == is_own


@pytest.mark.parametrize(
    ("machine", "name", "has_32_bits", "runs"),
    [
        ("aarch64", "arm", True, True),
        ("aarch64", "arm", False, False),
        ("aarch64", "aarch64", False, True),
        ("aarch64", "armeb", True, False),
        ("aarch64_be", "armeb", False, False),
        ("armv7l", "arm", False, True),
        ("x86_64", "i386", False, True),
        ("x86_64", "arm", True, False),
    ],
)
def test_a_host_runs_its_own_family_but_not_all_of_arm_the_32_bits(
    machine: str, name: str, *, has_32_bits: bool, runs: bool
) -> None:
    [platform] = lookup_qemu_platforms(name)
    assert runs_itself(platform, machine, has_32_bits=has_32_bits) == runs


def test_asking_the_kernel_for_32_bits_changes_nothing() -> None:
    before = Path("/proc/self/personality").read_text()
    [arm] = lookup_qemu_platforms("arm")
    kernel_grants_them = os.uname().machine == "x86_64"
    assert runs_itself(arm, "aarch64") or not kernel_grants_them
    assert Path("/proc/self/personality").read_text() == before


def test_what_is_no_elf_file_is_not_native() -> None:
    assert not is_native(b"#!/bin/sh\n")
    assert not is_native(b"\x7fELF")


@pytest.mark.parametrize(
    ("head", "platform", "why"),
    [
        (elf(S390X, is_big_endian=True, osabi=9), "s390x", "its OSABI is 9"),
        (elf(ARM, bits=32, kind=1), "arm", "its type is 1"),
        (elf(ARM, bits=32, is_big_endian=True, kind=4), "armeb", "its type is 4"),
        (elf(AARCH64)[:8] + b"\x07" + elf(AARCH64)[9:], "aarch64", "its ABI version is 7"),
        (elf(AARCH64)[:6] + b"\x02" + elf(AARCH64)[7:], "aarch64", "its ELF version is 2"),
    ],
)
def test_what_nearly_fits_is_named_with_what_does_not(head: bytes, platform: str, why: str) -> None:
    assert near(head) == (platform, why)


def test_a_machine_of_no_platform_is_near_to_none() -> None:
    assert nearly(elf(50)) is None
    assert nearly(b"\x7fELF\x02\x01") is None

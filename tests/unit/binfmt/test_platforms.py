"""The platforms: names, bytes, families."""

import pytest

from virtsupd.binfmt.platforms import (
    NAMES,
    UnknownPlatformError,
    can_match,
    colliding,
    fits,
    host_family,
    is_qemu_platform,
    lookup_qemu_platforms,
)

ARM_HEAD = bytes.fromhex("7f454c46010101000000000000000000 0200 2800 01000000")


def test_names_are_looked_up_in_the_order_of_the_table_and_each_once() -> None:
    found = lookup_qemu_platforms("aarch64", "arm", "arm")
    assert [platform.name for platform in found] == ["arm", "aarch64"]
    assert all(map(is_qemu_platform, found))
    assert not is_qemu_platform("arm")


def test_all_platforms_of_the_specification_can_be_had() -> None:
    assert len(NAMES) == 34
    assert [platform.name for platform in lookup_qemu_platforms(*NAMES)] == list(NAMES)


def test_a_name_nobody_knows_is_an_error_that_names_the_nearest() -> None:
    with pytest.raises(UnknownPlatformError, match="no platform is named 'amr'; did you mean arm"):
        lookup_qemu_platforms("arm", "amr")
    with pytest.raises(UnknownPlatformError, match="known are i386, i486"):
        lookup_qemu_platforms("zzzzzz")


@pytest.mark.parametrize(
    ("head", "is_arm"),
    [
        (ARM_HEAD, True),
        (ARM_HEAD.replace(b"\x02\x00\x28", b"\x03\x00\x28"), True),  # position-independent
        (ARM_HEAD[:7] + b"\x03" + ARM_HEAD[8:], True),  # OSABI GNU
        (ARM_HEAD.replace(b"\x02\x00\x28", b"\x04\x00\x28"), False),  # a core dump
        (ARM_HEAD.replace(b"\x28", b"\x3e"), False),
        (ARM_HEAD[:18], False),
        (b"", False),
    ],
)
def test_a_program_is_known_by_its_head(head: bytes, *, is_arm: bool) -> None:
    (arm,) = lookup_qemu_platforms("arm")
    assert arm.matches(head) is is_arm


def test_what_a_short_file_lacks_counts_as_zeros() -> None:
    assert fits(b"\x7fELF\x00", b"\xff" * 5, b"\x7fELF")


def test_the_default_bytes_tell_all_platforms_apart_and_each_can_match() -> None:
    found = lookup_qemu_platforms(*NAMES)
    assert colliding(found) == []
    assert all(map(can_match, found))


def test_the_bytes_of_the_specification_collide_and_one_fits_nothing() -> None:
    found = lookup_qemu_platforms(*NAMES, bytes="guix")
    names = [(one.name, other.name) for one, other in colliding(found)]
    assert names == [("mips", "mipsn32"), ("mipsel", "mipsn32el")]
    assert [platform.name for platform in found if not can_match(platform)] == ["microblaze"]


@pytest.mark.parametrize(
    ("machine", "family"),
    [
        ("i386", "i386"),
        ("i486", "i386"),
        ("i586", "i386"),
        ("i686", "i386"),
        ("x86_64", "i386"),
        ("aarch64", "arm"),
        ("aarch64_be", "armeb"),
        ("armv4l", "arm"),
        ("armv5tel", "arm"),
        ("armv5tejl", "arm"),
        ("armv6l", "arm"),
        ("armv7l", "arm"),
        ("armv7ml", "arm"),
        ("armv8l", "arm"),
        ("armeb", "armeb"),
        ("armv5teb", "armeb"),
        ("armv5tejb", "armeb"),
        ("armv7b", "armeb"),
        ("armv8b", "armeb"),
        ("alpha", "alpha"),
        ("m68k", "m68k"),
        ("mips", "mips"),
        ("mips64", "mips"),
        ("ppc", "ppc"),
        ("ppc64", "ppc"),
        ("ppcle", "ppcle"),
        ("ppc64le", "ppcle"),
        ("riscv32", "riscv"),
        ("riscv64", "riscv"),
        ("s390", "s390x"),
        ("s390x", "s390x"),
        ("sh", "sh4"),
        ("sh4", "sh4"),
        ("sh4a", "sh4"),
        ("sparc", "sparc"),
        ("sparc64", "sparc"),
        ("loongarch64", "loongarch"),
        ("parisc", "hppa"),
        ("parisc64", "hppa"),
        ("openrisc", "or1k"),
        ("xtensa", "xtensa"),
        ("microblaze", "microblaze"),
        ("vax", ""),
    ],
)
def test_a_host_has_the_family_of_its_machine(machine: str, family: str) -> None:
    assert host_family(machine) == family


@pytest.mark.parametrize(
    ("name", "qemu"), [("arm", "arm"), ("aarch64be", "aarch64_be"), ("i486", "i386")]
)
def test_a_platform_knows_the_name_of_its_emulator(name: str, qemu: str) -> None:
    (platform,) = lookup_qemu_platforms(name)
    assert (platform.qemu, platform.entry) == (qemu, f"qemu-{name}")

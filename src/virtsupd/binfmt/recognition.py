"""Which platform a program is of, by how it begins, and whether the host runs it itself."""

import ctypes
import errno
import os
from collections.abc import Sequence
from typing import Final

from virtsupd.binfmt.elf import ElfError, own, parsed_head
from virtsupd.binfmt.platforms import (
    NAMES,
    ByteSet,
    QemuPlatform,
    host_family,
    lookup_qemu_platforms,
)

_ARM_64: Final = "aarch64"
_CLASS_AT, _CLASS_32 = 4, 1
_PER_LINUX32, _QUERY = 0x8, 0xFFFFFFFF
"""Of personality(2)."""
_TYPE_AT: Final = 16
_MACHINE_END: Final = 20
_CLASS_AND_ORDER: Final = slice(4, 6)
_FIELDS: Final = (
    (5, "its ELF class"),
    (6, "its byte order"),
    (7, "its ELF version"),
    (8, "its OSABI"),
    (9, "its ABI version"),
    (16, "its padding"),
    (18, "its type"),
    (20, "its machine"),
    (24, "its ELF version"),
)
"""Up to where a field of an ELF header goes."""


def platforms_of(head: bytes, byte_set: ByteSet = "debian") -> Sequence[QemuPlatform]:
    """Return the platforms whose programs begin like this: mostly one, or none."""
    return [
        platform
        for platform in lookup_qemu_platforms(*NAMES, bytes=byte_set)
        if platform.matches(head)
    ]


def is_native(head: bytes) -> bool:
    """Whether the host's own processor runs programs that begin like this."""
    try:
        found, ours = parsed_head(head), own()
    except (ElfError, OSError):
        return False
    if (found.bits, found.is_big_endian, found.machine) == (
        ours.bits,
        ours.is_big_endian,
        ours.machine,
    ):
        return True
    return any(map(runs_itself, platforms_of(_plain(head))))


def runs_itself(
    platform: QemuPlatform, machine: str | None = None, *, has_32_bits: bool | None = None
) -> bool:
    """Whether a host runs the programs of a platform without QEMU; None stands for what this one is.

    It does those of its own family. Only of 64-bit ARM there are many that have no 32 bits any more.
    """
    machine = os.uname().machine if machine is None else machine
    if platform.family != host_family(machine):
        return False
    if not machine.startswith(_ARM_64) or platform.magic[_CLASS_AT] != _CLASS_32:
        return True
    return _has_32_bits_of_arm() if has_32_bits is None else has_32_bits


def _has_32_bits_of_arm() -> bool:
    """Whether this aarch64 kernel would run programs of 32 bits: only then it lets one ask for them."""
    libc = ctypes.CDLL(None, use_errno=True)
    before = libc.personality(_QUERY)
    if libc.personality(_PER_LINUX32) >= 0:
        libc.personality(before)
        return True
    return ctypes.get_errno() != errno.EINVAL


def nearly(head: bytes, byte_set: ByteSet = "debian") -> tuple[QemuPlatform, str] | None:
    """Return the platform of whose machine a program is that does not fit all the same, and why.

    The reason completes "it is not taken for": "its OSABI is 3". None if no platform is of its machine.
    """
    near = [
        (len(differing), platform, differing[0])
        for platform in lookup_qemu_platforms(*NAMES, bytes=byte_set)
        if _is_of_machine(platform, head) and (differing := differences(platform, head))
    ]
    if not near:
        return None
    _, platform, position = min(near, key=lambda found: found[0])
    return platform, f"{_field(position)} is {_value(position, head)}"


def differences(platform: QemuPlatform, head: bytes) -> Sequence[int]:
    """Return where a program begins otherwise than those of the platform, as offsets in bytes."""
    padded = head.ljust(len(platform.magic), b"\0")
    compared = enumerate(zip(platform.magic, padded, platform.mask, strict=False))
    return [position for position, (one, other, bits) in compared if (one ^ other) & bits]


def _plain(head: bytes) -> bytes:
    """Return the head without what tells programs of one machine apart: system and padding."""
    return head[:7] + bytes(9) + head[16:]


def _is_of_machine(platform: QemuPlatform, head: bytes) -> bool:
    return (
        head[_CLASS_AND_ORDER] == platform.magic[_CLASS_AND_ORDER]
        and head[18:_MACHINE_END] == platform.magic[18:_MACHINE_END]
    )


def _field(position: int) -> str:
    return next((name for end, name in _FIELDS if position < end), "its ELF flags")


def _value(position: int, head: bytes) -> int:
    """Return the number that stands there: types have two bytes, in the file's own order."""
    if _TYPE_AT <= position < _TYPE_AT + 2:
        return parsed_head(head.ljust(64, b"\0")).type
    return head[position] if position < len(head) else 0

"""The smallest programs that show whether a platform's programs run: each ends with 42.

They are executables without a library, in one segment: ELF header, program header, instructions. The
instructions ask Linux to end the process, by the number that this has on the platform.

All were run by the emulators of Debian 12 (QEMU 7.2); none of them is called i486, whose program was
run by qemu-i386. No other emulator has run them, and no real processor but an x86.
"""

import struct
from dataclasses import dataclass
from typing import Final, Literal

from virtsupd.binfmt.platforms import UnknownPlatformError

ENDS_WITH: Final = 42
"""The exit status of all programs."""

_EXECUTABLE, _LOADED, _READ_AND_EXECUTE = 2, 1, 5
_ADDRESS: Final = 0x100_0000
"""Where the file is mapped: above what a kernel leaves free, below what any platform ends at."""
_ALIGNMENT: Final = 0x1_0000
"""The largest page of the platforms; the address is a multiple of it."""
_HEADERS: Final = {32: 52 + 32, 64: 64 + 56}
"""Bytes of both headers."""


@dataclass(frozen=True, slots=True)
class _Kind:
    """What makes a platform's program differ from the others."""

    bits: Literal[32, 64]
    order: Literal["<", ">"]
    """Of bytes in data, as `struct` has it."""
    machine: int
    """EM_…"""
    code: bytes
    """The instructions as they lie in memory."""
    flags: int = 0
    """What the loader, or QEMU where it chooses a processor, wants to know of the instructions."""
    has_descriptor: bool = False
    """The entry is not an instruction, but where the first one's address lies (ELFv1 of PowerPC)."""


def program(name: str) -> bytes:
    """Return the program of a platform, as a file's content.

    Raises:
        UnknownPlatformError: there is no platform of that name.
    """
    kind = _KINDS.get(name)
    if kind is None:
        raise UnknownPlatformError(name)
    start = _ADDRESS + _HEADERS[kind.bits]
    text = _descriptor(start) + kind.code if kind.has_descriptor else kind.code
    return _headers(kind, start, len(text)) + text


def _headers(kind: _Kind, entry: int, text_bytes: int) -> bytes:
    word, (head_bytes, segment_bytes) = ("Q", (64, 56)) if kind.bits == 64 else ("I", (52, 32))
    identity = (b"\x7fELF", kind.bits // 32, 1 if kind.order == "<" else 2, 1)
    places = (entry, head_bytes, 0)
    sizes = (head_bytes, segment_bytes, 1, 0, 0, 0)
    head = struct.pack(
        f"{kind.order}4sBBB9xHHI3{word}I6H",
        *identity,
        *(_EXECUTABLE, kind.machine, 1),
        *places,
        kind.flags,
        *sizes,
    )
    length = head_bytes + segment_bytes + text_bytes
    mapped = (0, _ADDRESS, _ADDRESS, length, length)
    if kind.bits == 64:
        segment = (_LOADED, _READ_AND_EXECUTE, *mapped, _ALIGNMENT)
        return head + struct.pack(f"{kind.order}II6Q", *segment)
    return head + struct.pack(f"{kind.order}8I", _LOADED, *mapped, _READ_AND_EXECUTE, _ALIGNMENT)


def _descriptor(start: int) -> bytes:
    """Return the function that follows: address of its code, table of contents, environment."""
    size = struct.calcsize(">3Q")
    return struct.pack(">3Q", start + size, 0, 0)


def _other_order(code: bytes, instruction_bytes: int) -> bytes:
    """Return the same instructions for a processor of the other byte order."""
    steps = range(0, len(code), instruction_bytes)
    return b"".join(code[at : at + instruction_bytes][::-1] for at in steps)


_hex = bytes.fromhex

_I386: Final = _hex(
    "b801000000"  # mov $1, %eax
    "bb2a000000"  # mov $42, %ebx
    "cd80"  # int $0x80
)
_X86_64: Final = _hex(
    "b83c000000"  # mov $60, %eax
    "bf2a000000"  # mov $42, %edi
    "0f05"  # syscall
)
_ALPHA: Final = _hex(
    "01001f20"  # lda $0, 1($31)
    "2a001f22"  # lda $16, 42($31)
    "83000000"  # callsys
)
_ARM: Final = _hex(
    "0170a0e3"  # mov r7, #1
    "2a00a0e3"  # mov r0, #42
    "000000ef"  # svc #0
)
_AARCH64: Final = _hex(
    "a80b80d2"  # mov x8, #93
    "400580d2"  # mov x0, #42
    "010000d4"  # svc #0
)
_SPARC: Final = _hex(
    "9010202a"  # mov 42, %o0
    "82102001"  # mov 1, %g1
    "91d02010"  # ta 0x10
)
_SPARC64: Final = _hex(
    "9010202a"  # mov 42, %o0
    "82102001"  # mov 1, %g1
    "91d0206d"  # ta 0x6d
)
_PPC: Final = _hex(
    "38000001"  # li 0, 1
    "3860002a"  # li 3, 42
    "44000002"  # sc
)
_M68K: Final = _hex(
    "7001"  # moveq #1, %d0
    "722a"  # moveq #42, %d1
    "4e40"  # trap #0
)
_MIPS: Final = _hex(
    "24020fa1"  # li $v0, 4001
    "2404002a"  # li $a0, 42
    "0000000c"  # syscall
)
_MIPSN32: Final = _hex(
    "240217aa"  # li $v0, 6058
    "2404002a"  # li $a0, 42
    "0000000c"  # syscall
)
_MIPS64: Final = _hex(
    "240213c2"  # li $v0, 5058
    "2404002a"  # li $a0, 42
    "0000000c"  # syscall
)
_SH4: Final = _hex(
    "01e3"  # mov #1, r3
    "2ae4"  # mov #42, r4
    "17c3"  # trapa #0x17
)
_S390X: Final = _hex(
    "a729002a"  # lghi %r2, 42
    "0a01"  # svc 1
)
_HPPA: Final = _hex(
    "341a0054"  # ldi 42, %r26
    "e4008200"  # ble 0x100(%sr2, %r0): the gateway, which is entered after the next instruction
    "34140002"  # ldi 1, %r20
)
_RISCV: Final = _hex(
    "9308d005"  # li a7, 93
    "1305a002"  # li a0, 42
    "73000000"  # ecall
)
_XTENSA: Final = _hex(
    "22a076"  # movi a2, 118
    "62a02a"  # movi a6, 42
    "005000"  # syscall
)
# The other byte order has the fields of an instruction in the other order too, each as it is.
_XTENSAEB: Final = _hex(
    "220a76"  # movi a2, 118
    "260a2a"  # movi a6, 42
    "000500"  # syscall
)
_MICROBLAZE: Final = _hex(
    "31800001"  # addik r12, r0, 1
    "30a0002a"  # addik r5, r0, 42
    "b9cc0008"  # brki r14, 8
)
_OR1K: Final = _hex(
    "18000000"  # l.movhi r0, 0: it is zero by convention alone
    "9d60005d"  # l.addi r11, r0, 93
    "9c60002a"  # l.addi r3, r0, 42
    "20000001"  # l.sys 1
)
_HEXAGON: Final = _hex(
    "a6cb0078"  # { r6 = #93 }
    "40c50078"  # { r0 = #42 }
    "04c00054"  # { trap0(#1) }
)
_LOONGARCH64: Final = _hex(
    "0b748102"  # li.w $a7, 93
    "04a88002"  # li.w $a0, 42
    "00002b00"  # syscall 0
)

_EABI5: Final = 0x0500_0000
_SPARC_32PLUS: Final = 0x100
_MIPS_O32, _MIPS_N32, _MIPS_3 = 0x1000, 0x20, 0x2000_0000
_SH4_CODE: Final = 9
_PARISC_1_1: Final = 0x0210
_ELFV1, _ELFV2 = 1, 2
_HEXAGON_V67: Final = 0x67
_LOONGARCH_DOUBLE_FLOAT: Final = 0x43

_KINDS: Final = {
    "i386": _Kind(32, "<", 3, _I386),
    "i486": _Kind(32, "<", 6, _I386),
    "x86_64": _Kind(64, "<", 62, _X86_64),
    "alpha": _Kind(64, "<", 0x9026, _ALPHA),
    "arm": _Kind(32, "<", 40, _ARM, _EABI5),
    # Without BE8 the instructions are big-endian too.
    "armeb": _Kind(32, ">", 40, _other_order(_ARM, 4), _EABI5),
    "sparc": _Kind(32, ">", 2, _SPARC),
    "sparc32plus": _Kind(32, ">", 18, _SPARC, _SPARC_32PLUS),
    "sparc64": _Kind(64, ">", 43, _SPARC64),
    "ppc": _Kind(32, ">", 20, _PPC),
    "ppc64": _Kind(64, ">", 21, _PPC, _ELFV1, has_descriptor=True),
    "ppc64le": _Kind(64, "<", 21, _other_order(_PPC, 4), _ELFV2),
    "m68k": _Kind(32, ">", 4, _M68K),
    "mips": _Kind(32, ">", 8, _MIPS, _MIPS_O32),
    "mipsel": _Kind(32, "<", 8, _other_order(_MIPS, 4), _MIPS_O32),
    "mipsn32": _Kind(32, ">", 8, _MIPSN32, _MIPS_N32 | _MIPS_3),
    "mipsn32el": _Kind(32, "<", 8, _other_order(_MIPSN32, 4), _MIPS_N32 | _MIPS_3),
    "mips64": _Kind(64, ">", 8, _MIPS64, _MIPS_3),
    "mips64el": _Kind(64, "<", 8, _other_order(_MIPS64, 4), _MIPS_3),
    "sh4": _Kind(32, "<", 42, _SH4, _SH4_CODE),
    "sh4eb": _Kind(32, ">", 42, _other_order(_SH4, 2), _SH4_CODE),
    "s390x": _Kind(64, ">", 22, _S390X),
    "aarch64": _Kind(64, "<", 183, _AARCH64),
    # Instructions are little-endian in both.
    "aarch64be": _Kind(64, ">", 183, _AARCH64),
    "hppa": _Kind(32, ">", 15, _HPPA, _PARISC_1_1),
    "riscv32": _Kind(32, "<", 243, _RISCV),
    "riscv64": _Kind(64, "<", 243, _RISCV),
    "xtensa": _Kind(32, "<", 94, _XTENSA),
    "xtensaeb": _Kind(32, ">", 94, _XTENSAEB),
    # Not the number that was assigned later (189): it is this one that the entries look for.
    "microblaze": _Kind(32, ">", 0xBAAB, _MICROBLAZE),
    "microblazeel": _Kind(32, "<", 0xBAAB, _other_order(_MICROBLAZE, 4)),
    "or1k": _Kind(32, ">", 92, _OR1K),
    "hexagon": _Kind(32, "<", 164, _HEXAGON, _HEXAGON_V67),
    "loongarch64": _Kind(64, "<", 258, _LOONGARCH64, _LOONGARCH_DOUBLE_FLOAT),
}

"""The platforms whose programs QEMU can run for the host, and how the kernel is to know them.

Magic and mask are compared with the beginning of a file: where the mask has a bit, the bits must be
equal. There are two sets. "debian" has what Debian 12 registers (binfmt.d of qemu-user-static 7.2),
which tells the two kinds of 32-bit MIPS apart and takes programs that are marked as using GNU
extensions; platforms without a file there have the bytes of QEMU's documentation. "guix" has those
of the specification of Guix, some of which collide, and one of which fits no program.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final, Literal, TypeGuard, get_args

from virtsupd.errors import VirtsupdError

ByteSet = Literal["debian", "guix"]
"""Whose magic and mask."""
BYTE_SETS: Final[tuple[str, ...]] = get_args(ByteSet)
HEAD_BYTES: Final = 128
"""How much of a file the kernel can compare (binfmt_misc.rst)."""

_ELF: Final = b"\x7fELF"
_ELF_MASK: Final = b"\xff" * len(_ELF)


class UnknownPlatformError(VirtsupdError):
    """A name is not that of a platform."""

    code = "unknown-platform"

    def __init__(self, name: str) -> None:
        nearest = get_close_matches(name, NAMES, n=3)
        hint = (
            f"did you mean {' or '.join(nearest)}?" if nearest else f"known are {', '.join(NAMES)}"
        )
        super().__init__(f"no platform is named {name!r}; {hint}")
        self.name = name


@dataclass(frozen=True, slots=True)
class QemuPlatform:
    """One kind of foreign programs."""

    name: str
    """As the specification names it: "arm", "aarch64" …"""
    family: str
    """What a processor of one family can run itself, it need not emulate."""
    magic: bytes
    """How its programs begin."""
    mask: bytes
    """As long as the magic; which bits of it count."""

    @property
    def entry(self) -> str:
        """The name of its entry in binfmt_misc."""
        return f"qemu-{self.name}"

    @property
    def qemu(self) -> str:
        """The part of QEMU's program name that stands for it."""
        return _QEMU_NAMES.get(self.name, self.name)

    def matches(self, head: bytes) -> bool:
        """Whether a file that begins like this is one of its programs, as the kernel sees it."""
        return fits(self.magic, self.mask, head)


def fits(magic: bytes, mask: bytes, head: bytes) -> bool:
    """Whether a file that begins like this has the magic, where the mask has bits.

    The kernel takes what is missing at a file's end for zeros.
    """
    padded = head.ljust(len(magic), b"\0")
    return all(not (a ^ b) & bits for a, b, bits in zip(magic, padded, mask, strict=False))


def is_qemu_platform(value: object) -> TypeGuard[QemuPlatform]:
    """Whether something is a platform."""
    return isinstance(value, QemuPlatform)


def lookup_qemu_platforms(*names: str, bytes: ByteSet = "debian") -> tuple[QemuPlatform, ...]:  # noqa: A002 - the key's name
    """Return the platforms of these names, each once, in the order of the table.

    Raises:
        UnknownPlatformError: a name is none.
    """
    for name in names:
        if name not in NAMES:
            raise UnknownPlatformError(name)
    return tuple(_platform(row, bytes) for row in _TABLE if row[0] in names)


def host_family(machine: str) -> str:
    """Return the family of a host by the machine that uname(2) tells; "" for one without platforms."""
    if machine in _FAMILIES:
        return _FAMILIES[machine]
    if _BIG_ARM.fullmatch(machine):
        return "armeb"
    starts = (family for start, family in _FAMILY_STARTS if machine.startswith(start))
    return next(starts, _FAMILY_BY_NAME.get(machine, ""))


def colliding(platforms: Iterable[QemuPlatform]) -> Sequence[tuple[QemuPlatform, QemuPlatform]]:
    """Return the pairs that claim the same programs: only one of each could ever run."""
    known = tuple(platforms)
    return [
        (one, other)
        for index, one in enumerate(known)
        for other in known[index + 1 :]
        if (one.magic, one.mask) == (other.magic, other.mask)
    ]


def can_match(platform: QemuPlatform) -> bool:
    """Whether an executable ELF file can fit: its type, 2 or 3, has to be where its byte order has it."""
    is_big = platform.magic[5] == _BIG_ENDIAN
    return platform.magic[_HIGH_TYPE if is_big else _HIGH_TYPE + 1] == 0


_BIG_ENDIAN: Final = 2
_HIGH_TYPE: Final = 16
"""Where the type's first byte is, the higher one where the byte order is big-endian."""

_QEMU_NAMES: Final = {"aarch64be": "aarch64_be", "i486": "i386"}

# Name, family, magic and mask of the specification, each without the four bytes of every ELF file.
_TABLE: Final = (
    ("i386", "i386", "01010100000000000000000002000300", "fffefefffffffffffffffffffeffffff"),
    ("i486", "i386", "01010100000000000000000002000600", "fffefe00fffffffffffffffffeffffff"),
    ("x86_64", "i386", "02010100000000000000000002003e00", "fffefe00fffffffffffffffffeffffff"),
    ("alpha", "alpha", "02010100000000000000000002002690", "fffefefffffffffffffffffffeffffff"),
    ("arm", "arm", "01010100000000000000000002002800", "ffffff00fffffffffffffffffeffffff"),
    ("armeb", "armeb", "01020100000000000000000000020028", "ffffff00fffffffffffffffffffeffff"),
    ("sparc", "sparc", "01020100000000000000000000020002", "fffffffffffffffffffffffffffeffff"),
    (
        "sparc32plus",
        "sparc",
        "01020100000000000000000000020012",
        "fffffffffffffffffffffffffffeffff",
    ),
    ("sparc64", "sparc", "0202010000000000000000000002002b", "ffffff00fffffffffffffffffffeffff"),
    ("ppc", "ppc", "01020100000000000000000000020014", "ffffff00fffffffffffffffffffeffff"),
    ("ppc64", "ppc", "02020100000000000000000000020015", "ffffff00fffffffffffffffffffeffff"),
    ("ppc64le", "ppcle", "02010100000000000000000002001500", "ffffff00fffffffffffffffffeffff00"),
    ("m68k", "m68k", "01020100000000000000000000020004", "fffffefefffffffffffffffffffeffff"),
    ("mips", "mips", "01020100000000000000000000020008", "ffffff00fffffffffffffffffffeffff"),
    ("mipsel", "mips", "01010100000000000000000002000800", "ffffff00fffffffffffffffffeffffff"),
    ("mipsn32", "mips", "01020100000000000000000000020008", "ffffff00fffffffffffffffffffeffff"),
    ("mipsn32el", "mips", "01010100000000000000000002000800", "ffffff00fffffffffffffffffeffffff"),
    ("mips64", "mips", "02020100000000000000000000020008", "ffffff00fffffffffffffffffffeffff"),
    ("mips64el", "mips", "02010100000000000000000002000800", "ffffff00fffffffffffffffffeffffff"),
    ("sh4", "sh4", "01010100000000000000000002002a00", "fffffffffffffffffffffffffeffffff"),
    ("sh4eb", "sh4", "0102010000000000000000000002002a", "fffffffffffffffffffffffffffeffff"),
    ("s390x", "s390x", "02020100000000000000000000020016", "fffffffffffffffffffffffffffeffff"),
    ("aarch64", "arm", "0201010000000000000000000200b700", "ffffff00fffffffffffffffffeffffff"),
    ("aarch64be", "armeb", "020201000000000000000000000200b7", "ffffff00fffffffffffffffffffeffff"),
    ("hppa", "hppa", "0102010000000000000000000002000f", "ffffff00fffffffffffffffffffeffff"),
    ("riscv32", "riscv", "0101010000000000000000000200f300", "ffffff00fffffffffffffffffeffffff"),
    ("riscv64", "riscv", "0201010000000000000000000200f300", "ffffff00fffffffffffffffffeffffff"),
    ("xtensa", "xtensa", "01010100000000000000000002005e00", "ffffff00fffffffffffffffffeffffff"),
    (
        "xtensaeb",
        "xtensaeb",
        "0102010000000000000000000002005e",
        "ffffff00fffffffffffffffffffeffff",
    ),
    (
        "microblaze",
        "microblaze",
        "0102010000000000000000000200baab",
        "ffffff00fffffffffffffffffeffffff",
    ),
    (
        "microblazeel",
        "microblazeel",
        "0101010000000000000000000200abba",
        "ffffff00fffffffffffffffffeffffff",
    ),
    ("or1k", "or1k", "0102010000000000000000000002005c", "ffffff00fffffffffffffffffffeffff"),
    ("hexagon", "hexagon", "0101010000000000000000000200a400", "ffffff00fffffffffffffffffeffffff"),
    (
        "loongarch64",
        "loongarch",
        "02010100000000000000000002000201",
        "fffffffc00fffffffffffffffeffffff",
    ),
)

# What Debian has instead; "" is the same magic.
_LITTLE_MIPS: Final = "01010100000000000000000002000800" + "00" * 16
_BIG_MIPS: Final = "01020100000000000000000000020008" + "00" * 19
_LITTLE_MIPS_MASK: Final = "ffffff00fefffffffffffffffeffffff" + "00" * 16 + "20"
_BIG_MIPS_MASK: Final = "ffffff00fefffffffffffffffffeffff" + "00" * 19 + "20"
_DEBIAN: Final = {
    "i386": ("", "fffefe00fffffffffffffffffeffffff"),
    "alpha": ("", "ffffff00fffffffffffffffffeffffff"),
    "sparc": ("", "fffffffcfffffffffffffffffffeffff"),
    "sparc32plus": ("", "fffffffcfffffffffffffffffffeffff"),
    "sparc64": ("", "fffffffcfffffffffffffffffffeffff"),
    "ppc": ("", "fffffffcfffffffffffffffffffeffff"),
    "ppc64": ("", "fffffffcfffffffffffffffffffeffff"),
    "ppc64le": ("", "fffffffcfffffffffffffffffeffff00"),
    "m68k": ("", "ffffff00fffffffffffffffffffeffff"),
    "mips64": ("", "ffffff00fefffffffffffffffffeffff"),
    "mips64el": ("", "ffffff00fefffffffffffffffeffffff"),
    "sh4": ("", "fffffffcfffffffffffffffffeffffff"),
    "sh4eb": ("", "fffffffcfffffffffffffffffffeffff"),
    "s390x": ("", "fffffffcfffffffffffffffffffeffff"),
    "microblaze": ("0102010000000000000000000002baab", "ffffff00fffffffffffffffffffeffff"),
    "mips": (_BIG_MIPS + "00", _BIG_MIPS_MASK),
    "mipsel": (_LITTLE_MIPS + "00", _LITTLE_MIPS_MASK),
    "mipsn32": (_BIG_MIPS + "20", _BIG_MIPS_MASK),
    "mipsn32el": (_LITTLE_MIPS + "20", _LITTLE_MIPS_MASK),
}

_FAMILY_BY_NAME: Final = {row[0]: row[1] for row in _TABLE}
NAMES: Final = tuple(_FAMILY_BY_NAME)
"""All names, in the order of the table."""

# uname(2)'s machine (UTS_MACHINE of the kernel's Makefiles, and what setarch(8) makes of it), where it
# is not the name of a platform. Those of 32-bit ARM end in their byte order, which is also what an
# aarch64 kernel tells programs of 32 bits: armv5tejl, armv7b, armv8l.
_FAMILIES: Final = {
    "i586": "i386",
    "i686": "i386",
    "aarch64_be": "armeb",
    "parisc": "hppa",
    "parisc64": "hppa",
    "ppcle": "ppcle",
    "openrisc": "or1k",
    "s390": "s390x",
    "loongarch32": "loongarch",
}
_FAMILY_STARTS: Final = (("armeb", "armeb"), ("arm", "arm"), ("sh", "sh4"), ("mips", "mips"))
_BIG_ARM: Final = re.compile("armv[0-9].*b")


def _platform(row: tuple[str, str, str, str], byte_set: ByteSet) -> QemuPlatform:
    name, family, magic, mask = row
    if byte_set == "debian" and name in _DEBIAN:
        own, mask = _DEBIAN[name]
        magic = own or magic
    return QemuPlatform(name, family, _ELF + _hex(magic), _ELF_MASK + _hex(mask))


def _hex(text: str) -> bytes:
    return bytes.fromhex(text)

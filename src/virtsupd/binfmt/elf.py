"""What an ELF file says of itself: for which machines it is, and what has to load it (elf(5)).

A file may be anybody's: sizes are bounded before anything is read, and whatever the kernel would not
accept either is an error.
"""

import os
import stat
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from virtsupd.errors import VirtsupdError

MAGIC: Final = b"\x7fELF"
EXECUTABLE, SHARED = 2, 3
"""The types of programs; a position-independent one is of the second."""

_HEADER_BYTES: Final = 64
_BITS: Final = {1: 32, 2: 64}
_ORDERS: Final = {1: "<", 2: ">"}
# type, machine, version, entry, phoff, shoff, flags, ehsize, phentsize, phnum
_HEADER: Final = {32: "HHIIIIIHHH", 64: "HHIQQQIHHH"}
_ENTRY_BYTES: Final = {32: 32, 64: 56}
# Where a program header has the offset and the size of what it speaks of.
_EXTENT: Final = {32: (4, 16, "I"), 64: (8, 32, "Q")}
_INTERPRETER: Final = 3
_MOST_HEADERS_BYTES: Final = 65536
"""The kernel takes no more (fs/binfmt_elf.c, load_elf_phdrs)."""
_LONGEST_PATH: Final = 4096

_TYPES: Final = {
    0: "a file without a type",
    1: "an object file, not linked yet",
    EXECUTABLE: "a program",
    SHARED: "a position-independent program or library",
    4: "a core dump",
}
_OSABIS: Final = {
    0: "System V",
    1: "HP-UX",
    2: "NetBSD",
    3: "GNU/Linux",
    6: "Solaris",
    8: "IRIX",
    9: "FreeBSD",
    12: "OpenBSD",
    97: "ARM",
    255: "standalone",
}
_MACHINES: Final = {
    2: "SPARC",
    3: "Intel 386",
    4: "Motorola 68000",
    6: "Intel 486",
    8: "MIPS",
    15: "HP PA-RISC",
    18: "SPARC V8+",
    20: "PowerPC",
    21: "64-bit PowerPC",
    22: "IBM S/390",
    40: "ARM",
    42: "SuperH",
    43: "SPARC V9",
    50: "Intel Itanium",
    62: "x86-64",
    92: "OpenRISC",
    93: "ARC",
    94: "Xtensa",
    164: "Hexagon",
    183: "AArch64",
    189: "MicroBlaze",
    243: "RISC-V",
    247: "BPF",
    258: "LoongArch",
    0x9026: "Alpha",
    0xBAAB: "MicroBlaze",
}


class ElfError(VirtsupdError):
    """A file is no ELF file that a kernel would run."""

    code = "not-elf"


@dataclass(frozen=True, slots=True)
class Elf:
    """What the file says."""

    bits: int
    """32 or 64."""
    is_big_endian: bool
    osabi: int
    type: int
    machine: int
    flags: int
    loader: str | None = None
    """The program that has to load it, by its path; None: it is static, or nobody looked."""

    @property
    def is_program(self) -> bool:
        """Whether its type is one that can be run."""
        return self.type in {EXECUTABLE, SHARED}

    @property
    def machine_name(self) -> str:
        """The machine in words."""
        return _MACHINES.get(self.machine, f"machine {self.machine}")

    @property
    def osabi_name(self) -> str:
        """The system in words."""
        return _OSABIS.get(self.osabi, f"OSABI {self.osabi}")

    @property
    def type_name(self) -> str:
        """What it is, in words."""
        return _TYPES.get(self.type, f"a file of type {self.type}")

    @property
    def text(self) -> str:
        """For which machines it is, in words."""
        order = "big-endian" if self.is_big_endian else "little-endian"
        return f"{self.bits}-bit {order} {self.machine_name}, {self.osabi_name}"


def parsed_head(head: bytes) -> Elf:
    """Return what the first bytes of a file say; its loader is not among them.

    Raises:
        ElfError: it is no ELF file, or its header is cut off.
    """
    return _header(head)[0]


def read(path: str) -> Elf:
    """Return what the file at a path says, loader included. Never waits, and opens regular files only.

    Raises:
        ElfError: it is no ELF file, or a damaged one.
        OSError: it cannot be read.
    """
    descriptor = open_regular(path)
    try:
        return read_open(descriptor)
    finally:
        os.close(descriptor)


def read_open(descriptor: int) -> Elf:
    """Return what an open file says, loader included.

    Raises:
        ElfError: it is no ELF file, or a damaged one.
        OSError: it cannot be read.
    """
    found, order, (offset, size, count) = _header(os.pread(descriptor, _HEADER_BYTES, 0))
    if count == 0 or not found.is_program:
        return found
    if size != _ENTRY_BYTES[found.bits] or size * count > _MOST_HEADERS_BYTES:
        raise ElfError("its program headers have a size that no kernel takes")
    table = _exactly(descriptor, size * count, offset)
    loader = _loader(descriptor, found.bits, order, table)
    return Elf(
        found.bits,
        found.is_big_endian,
        found.osabi,
        found.type,
        found.machine,
        found.flags,
        loader,
    )


def open_regular(path: str) -> int:
    """Open a file for reading if it is a regular one; return its descriptor, which is the caller's.

    A device, a FIFO or a directory is not opened: that alone can wait, or do something.

    Raises:
        ElfError: it is none.
        OSError: there is no such file, or it may not be read.
    """
    found = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        return reopened(found)
    finally:
        os.close(found)


def reopened(found: int) -> int:
    """Open for reading what a descriptor of O_PATH stands for, if it is a regular file.

    Raises:
        ElfError: it is none.
        OSError: it may not be read.
    """
    mode = os.fstat(found).st_mode
    if not stat.S_ISREG(mode):
        raise ElfError(f"{kind_of(mode)}, not a file that could be a program")
    return os.open(f"/proc/self/fd/{found}", os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)


def kind_of(mode: int) -> str:
    """Return in words what something is by its mode, as stat(2) has it."""
    kinds = {
        stat.S_IFREG: "a file",
        stat.S_IFDIR: "a directory",
        stat.S_IFIFO: "a FIFO",
        stat.S_IFSOCK: "a socket",
        stat.S_IFCHR: "a device",
        stat.S_IFBLK: "a device",
    }
    return kinds.get(stat.S_IFMT(mode), "something else")


def own() -> Elf:
    """Return what the program that runs this says: the host runs such programs itself.

    Raises:
        OSError: /proc is not mounted.
    """
    with Path("/proc/self/exe").open("rb") as file:
        return parsed_head(file.read(_HEADER_BYTES))


def _header(head: bytes) -> tuple[Elf, str, tuple[int, int, int]]:
    """Return what it says, its byte order, and the offset, size and number of its program headers."""
    if not head.startswith(MAGIC):
        raise ElfError("it is no ELF file")
    if len(head) < _HEADER_BYTES // 2:
        raise ElfError("it ends within its ELF header")
    bits, order = _BITS.get(head[4]), _ORDERS.get(head[5])
    if bits is None or order is None:
        raise ElfError(f"it has ELF class {head[4]} and byte order {head[5]}, which nothing has")
    shape = order + _HEADER[bits]
    if len(head) < 16 + struct.calcsize(shape):
        raise ElfError("it ends within its ELF header")
    kind, machine, _, _, offset, _, flags, _, size, count = struct.unpack_from(shape, head, 16)
    found = Elf(bits, order == ">", head[7], kind, machine, flags)
    return found, order, (offset, size, count)


def _loader(descriptor: int, bits: int, order: str, table: bytes) -> str | None:
    offset_at, size_at, letter = _EXTENT[bits]
    for start in range(0, len(table), _ENTRY_BYTES[bits]):
        if struct.unpack_from(f"{order}I", table, start)[0] != _INTERPRETER:
            continue
        [offset] = struct.unpack_from(order + letter, table, start + offset_at)
        [size] = struct.unpack_from(order + letter, table, start + size_at)
        if not 2 <= size <= _LONGEST_PATH:
            raise ElfError(f"the path of its loader has {size} bytes")
        path = _exactly(descriptor, size, offset)
        if path[-1] != 0:
            raise ElfError("the path of its loader has no end")
        return os.fsdecode(path.split(b"\0", 1)[0])
    return None


def _exactly(descriptor: int, size: int, offset: int) -> bytes:
    """Return so many bytes of the file."""
    try:
        found = os.pread(descriptor, size, offset)
    except (OverflowError, OSError) as error:  # an offset that is none
        raise ElfError("it points to what is not in it") from error
    if len(found) != size:
        raise ElfError("it ends before what it points to")
    return found

"""ELF files as small as they can be, with a loader if wanted."""

import struct
from pathlib import Path

from virtsupd.binfmt.elf import Elf, own

X86_64, AARCH64, ARM = 62, 183, 40


def elf(
    machine: int = AARCH64,
    *,
    bits: int = 64,
    is_big_endian: bool = False,
    kind: int = 2,
    osabi: int = 0,
    loader: str | None = None,
) -> bytes:
    """Return the bytes of one; it has no instructions."""
    order = ">" if is_big_endian else "<"
    identity = b"\x7fELF" + bytes([bits // 32, 1 + is_big_endian, 1, osabi]) + bytes(8)
    word, header, entry = ("Q", 64, 56) if bits == 64 else ("I", 52, 32)
    count = 0 if loader is None else 1
    shape = f"{order}HHI{word}{word}{word}IHHHHHH"
    fixed = struct.pack(shape, kind, machine, 1, 0, header, 0, 0, header, entry, count, 0, 0, 0)
    if loader is None:
        return identity + fixed
    path = loader.encode() + b"\0"
    start, size = header + entry, len(path)
    if bits == 64:
        program = struct.pack(f"{order}IIQQQQQQ", 3, 4, start, 0, 0, size, size, 1)
    else:
        program = struct.pack(f"{order}IIIIIIII", 3, start, 0, 0, size, size, 4, 1)
    return identity + fixed + program + path


def native(loader: str | None = None) -> bytes:
    """Return one of the host's own kind."""
    mine: Elf = own()
    return elf(mine.machine, bits=mine.bits, is_big_endian=mine.is_big_endian, loader=loader)


def executable(path: Path, content: bytes, mode: int = 0o755) -> Path:
    """Write a program and return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    path.chmod(mode)
    return path


def dynamic(program: bytes, loader: str) -> bytes:
    """Return a 64-bit little-endian program of one segment, changed so that a loader has to load it."""
    [table] = struct.unpack_from("<Q", program, 32)
    segment = program[table : table + 56]
    path = loader.encode() + b"\0"
    content = bytearray(program.ljust((len(program) + 7) & ~7, b"\0"))
    start = len(content) + 2 * 56
    size = len(path)
    headers = struct.pack("<IIQQQQQQ", 3, 4, start, 0, 0, size, size, 1) + segment
    content[32:40] = struct.pack("<Q", len(content))
    content[56:58] = struct.pack("<H", 2)
    return bytes(content) + headers + path

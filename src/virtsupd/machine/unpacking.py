"""Making a disk image of a compressed one, and the checksum of one that is there."""

import errno
import hashlib
import io
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final, Protocol

from virtsupd.machine.image_report import Report
from virtsupd.machine.image_source import ImageError

_PART_BYTES: Final = 1 << 20
_BLOCK_BYTES: Final = 1 << 16
"""Of zeros that are left out of the file, which a raw image is full of."""
_ZEROS: Final = bytes(_BLOCK_BYTES)


class UnpackError(ImageError):
    """A compressed image cannot be unpacked; what was made of it is gone."""

    code = "image-not-unpacked"


def unpack(packed: Path, packing: str, target: Path, report: Report) -> str:
    """Write what a compressed file holds to `target`, to the disk; return its SHA-256.

    `packing` is ".gz", ".xz" or ".zst"; "" copies. What stands at `target` is replaced.

    Raises:
        UnpackError: it is damaged, or there is no room.
        OSError: `packed` cannot be read, or `target` cannot be made.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    with ExitStack() as undo:
        undo.callback(target.unlink, missing_ok=True)
        file = undo.enter_context(os.fdopen(os.open(target, flags, 0o600), "wb", buffering=0))
        try:
            digits = _unpack(packed, packing, file, report)
            os.fsync(file.fileno())
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                text = f"cannot unpack {packed}: {target.parent} is full; make room"
                raise UnpackError(text) from error
            raise
        undo.pop_all()
        file.close()
    return digits


def _unpack(packed: Path, packing: str, file: io.FileIO, report: Report) -> str:
    digest = hashlib.sha256()
    total = packed.stat().st_size
    length = 0
    report.begin()
    with packed.open("rb") as below:
        opened = _open(below, packing)
        for piece in _pieces(opened, packed):
            digest.update(piece)
            _write_sparsely(file, piece, length)
            length += len(piece)
            report.progress("unpacking", below.tell(), total)
        opened.reader.close()
    file.truncate(length)
    return digest.hexdigest()


def _pieces(opened: "_Opened", packed: Path) -> Iterator[bytes]:
    try:
        while piece := opened.reader.read(_PART_BYTES):
            yield piece
    except opened.damages as error:
        raise UnpackError(f"cannot unpack {packed}: {error}") from error


class _Reader(Protocol):
    def read(self, size: int, /) -> bytes: ...
    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class _Opened:
    """What reads the content."""

    reader: _Reader
    damages: tuple[type[Exception], ...] = ()
    """What it raises if the compressed file is damaged or cut off."""


def _open(below: IO[bytes], packing: str) -> _Opened:
    """Open a compressed file; compressors are imported when they are needed."""
    if packing == ".gz":
        import gzip  # noqa: PLC0415 - see above
        import zlib  # noqa: PLC0415 - see above

        damages = (gzip.BadGzipFile, zlib.error, EOFError)
        return _Opened(gzip.GzipFile(fileobj=below), damages)
    if packing == ".xz":
        import lzma  # noqa: PLC0415 - see above

        return _Opened(lzma.LZMAFile(below), (lzma.LZMAError, EOFError))
    if packing == ".zst":
        return _open_zstd(below)
    return _Opened(below)


def _open_zstd(below: IO[bytes]) -> _Opened:
    if sys.version_info >= (3, 14):
        from compression import zstd  # noqa: PLC0415 - as above
    else:
        from backports import zstd  # noqa: PLC0415 - as above
    return _Opened(zstd.ZstdFile(below), (zstd.ZstdError, EOFError))


def _write_sparsely(file: io.FileIO, piece: bytes, at: int) -> None:
    view = memoryview(piece)
    for start in range(0, len(piece), _BLOCK_BYTES):
        block = view[start : start + _BLOCK_BYTES]
        if block != _ZEROS[: len(block)]:
            _write_all(file, block, at + start)


def _write_all(file: io.FileIO, content: memoryview, at: int) -> None:
    while content:
        count = os.pwrite(file.fileno(), content, at)
        content, at = content[count:], at + count


def digest_of(path: Path, kind: str, report: Report) -> str:
    """Return the checksum of a file in hexadecimal.

    Raises:
        OSError: it cannot be read.
    """
    digest = hashlib.new(kind)
    with path.open("rb") as file:
        total = os.fstat(file.fileno()).st_size
        report.begin()
        while piece := file.read(_PART_BYTES):
            digest.update(piece)
            report.progress(f"checking {path.name}:", file.tell(), total)
    return digest.hexdigest()

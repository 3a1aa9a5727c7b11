"""The last lines of a log, read from its end back into rotated and compressed files.

Whoever may look at a log may ask for its end as often as they like, so little is read and others get
their turn in between: never much more than a mebibyte is taken at a time, and no more than 16 MiB of
lines are looked through in all.
"""

import errno
import os
from collections import deque
from contextlib import closing, suppress
from itertools import count

import anyio.lowlevel

from virtsupd.process.regular import open_regular

_BLOCK_BYTES = 65536
_TURN_BYTES = 1 << 20
_MOST_BYTES = 16 << 20


async def tail(file: str, lines: int) -> list[str]:
    """Return the last `lines` lines, oldest first, going back into rotated files as far as needed.

    A last line without an end counts. What lies more than 16 MiB back is left out, and so is what
    cannot be read: a damaged file, or one that `open_regular` refuses with all that is older.
    """
    try:
        newest = open_regular(file)
    except OSError:
        newest = -1
    try:
        end = os.fstat(newest).st_size if newest >= 0 else 0
        return await tail_before(file, lines, newest, end)
    finally:
        if newest >= 0:
            os.close(newest)


async def tail_before(file: str, lines: int, newest: int, end: int) -> list[str]:
    """Return the last lines before the position `end` of the log that is open as `newest`.

    It need not be at `file` any more when it is read: lines are neither doubled nor mixed up by
    rotations meanwhile. A `newest` of -1 means that there is none; then rotated files are read.
    """
    found: list[bytes] = []
    room = _MOST_BYTES
    with closing(_Rotated(file, newest)) as rotated:
        descriptor, is_compressed = newest, False
        while (wanted := lines - len(found)) > 0 and room > 0:
            content = await _end_of(descriptor, end, wanted, room, is_compressed=is_compressed)
            room -= len(content)
            found = split(content)[-wanted:] + found
            if len(found) >= lines or (older := rotated.next()) is None:
                break
            descriptor, is_compressed = older
            end = os.fstat(descriptor).st_size
    return [decode(line) for line in found]


async def _end_of(
    descriptor: int, end: int, lines: int, room: int, *, is_compressed: bool
) -> bytes:
    """Return the end of a file with `lines` lines or a little more; nothing of what is unreadable."""
    with suppress(OSError):
        if is_compressed:
            from virtsupd.process import log_frames  # noqa: PLC0415 - only old lines need zstd

            return await log_frames.end_of_compressed(descriptor, lines, room)
        return await _end_of_plain(descriptor, end, lines, room)
    return b""


def split(content: bytes) -> list[bytes]:
    """Return the lines of `content`; the last may lack its end."""
    lines = content.split(b"\n")
    if not lines[-1]:
        lines.pop()
    return lines


def decode(line: bytes) -> str:
    """Return a line as text, whatever its bytes are."""
    return line.decode("utf-8", "replace")


class _Rotated:
    """The rotated files of a log, newest first, one open at a time."""

    def __init__(self, file: str, newest: int) -> None:
        """Begin with what is older than the log open as `newest`; -1: with all of them."""
        self._file = file
        self._descriptor = -1
        self._slots = count(0 if newest >= 0 else 1)
        self._seen = {_identity(newest)} if newest >= 0 else set()
        self._is_older = newest < 0

    def next(self) -> tuple[int, bool] | None:
        """Open the next and tell whether it is compressed; None when there is no more."""
        for slot in self._slots:
            self.close()
            try:
                self._descriptor, is_compressed = _open_slot(self._file, slot)
            except FileNotFoundError:
                if slot:
                    return None
                continue
            except OSError:
                return None
            # A rotation since the last look has given what was read then a higher number.
            is_new = (identity := _identity(self._descriptor)) not in self._seen
            self._seen.add(identity)
            if self._is_older and is_new:
                return self._descriptor, is_compressed
            self._is_older |= not is_new
        raise AssertionError("count ends never")

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = -1


def _open_slot(file: str, slot: int) -> tuple[int, bool]:
    """Open a log (0) or a rotated file by its number; say whether it is compressed.

    Raises:
        FileNotFoundError: nothing has that number.
        OSError: what has it cannot be read or is no regular file.
    """
    if not slot:
        return open_regular(file), False
    # A compressed file is complete once it has its name, and the plain one goes only then.
    for end in (".zst", "", ".zst"):
        with suppress(FileNotFoundError):
            return open_regular(f"{file}.{slot}{end}"), bool(end)
    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), f"{file}.{slot}")


def _identity(descriptor: int) -> tuple[int, int]:
    found = os.fstat(descriptor)
    return found.st_dev, found.st_ino


async def _end_of_plain(descriptor: int, end: int, lines: int, room: int) -> bytes:
    """Return the end of a file, from far enough back that `lines` lines are in it."""
    blocks: deque[bytes] = deque()
    start, ends = end, 0
    while start > 0 and ends <= lines and end - start < room:
        length = min(_BLOCK_BYTES, start)
        start -= length
        blocks.appendleft(os.pread(descriptor, length, start))
        ends += blocks[0].count(b"\n")
        if len(blocks) % (_TURN_BYTES // _BLOCK_BYTES) == 0:
            await anyio.lowlevel.checkpoint()
    return b"".join(blocks)

"""Reading a service's log files: which there are, their last lines, and lines as they are written."""

import os
from collections import deque
from collections.abc import AsyncGenerator, Iterable
from contextlib import suppress
from itertools import count

from virtsupd.process.filechanges import FileChanges

_BLOCK_BYTES = 65536
_RECENT_BYTES = 16384
_MOST_BYTES = 16 << 20
"""What is looked through for last lines at most, so that one endless line cannot fill the memory."""


def log_files(file: str) -> tuple[str, ...]:
    """Return the log and its rotated files that exist, newest first."""
    found = [file] if os.path.exists(file) else []  # noqa: PTH110 - strings in, strings out
    for slot in count(1):
        # A compressed file is complete once it has its name; a plain one beside it says the same.
        form = next(filter(os.path.exists, (f"{file}.{slot}.zst", f"{file}.{slot}")), None)
        if form is None:
            return tuple(found)
        found.append(form)
    raise AssertionError("count ends never")


def tail(file: str, lines: int) -> list[str]:
    """Return the last `lines` lines, oldest first, going back into rotated files as far as needed.

    A last line without an end counts. What is unreadable or gone is left out.
    """
    return _tail(file, lines, end=None)


def recent_lines(file: str, lines: int) -> tuple[float, list[str]]:
    """Return when the log was last written (Unix seconds) and its last lines, newest first.

    One look at the last 16 KiB of the file in use, never at rotated ones; of a line that began
    before, the end. Without a file that can be read: no lines.
    """
    try:
        written, content = _end_of(file, _RECENT_BYTES)
    except OSError:
        return 0.0, []
    last = _split(content)[-lines:] if lines else []
    return written, [_decode(line) for line in reversed(last)]


def follow(file: str, lines: int) -> AsyncGenerator[list[str], None]:
    """Return batches of complete lines: the last `lines` there are now, then each as it is written.

    Rotation is followed: the rest of the old file comes before the new one. The iterator waits for
    ever and is to be closed (aclose) by whoever stops listening. It costs nothing while nothing is
    written. A reader who is more than one rotation behind misses what lies between.
    """
    reader = _Reader(file)
    reader.skip_to_end()
    return _follow(file, reader, _tail(file, lines, end=reader.end))


async def _follow(
    file: str, reader: "_Reader", first: list[str]
) -> AsyncGenerator[list[str], None]:
    if first:
        yield first
    async with FileChanges(file) as changes:
        while True:
            changes.rearm()
            if batch := reader.read():
                yield batch
            elif not reader.has_more:
                await changes.wait()


class _Reader:
    """Complete lines from a position in one file on, and then those of its successors."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._fd = -1
        self._partial = b""
        self.end = 0
        self.has_more = False

    def __del__(self) -> None:
        self._close()

    def skip_to_end(self) -> None:
        """Begin after the last complete line that is there now."""
        self._open()
        if self._fd >= 0:
            size = os.fstat(self._fd).st_size
            self.end = size - len(_unfinished(self._fd, size))

    def read(self) -> list[str]:
        """Return the complete lines of the next 64 KiB; `has_more` tells whether to ask again."""
        self._open()
        self.has_more = False
        if self._fd < 0:
            return []
        block = os.pread(self._fd, _BLOCK_BYTES, self.end)
        self.end += len(block)
        if not block:
            self._move_on()
            return []
        self.has_more = True
        *complete, self._partial = (self._partial + block).split(b"\n")
        if len(self._partial) > _BLOCK_BYTES:
            complete.append(self._partial)
            self._partial = b""
        return [_decode(line) for line in complete]

    def _move_on(self) -> None:
        """At the end of a file: go to the one that took its name, or to the start of a truncated one."""
        ours = os.fstat(self._fd)
        try:
            there = os.stat(self._file)  # noqa: PTH116 - a string, looked at on every wakeup
        except OSError:
            return
        if (ours.st_dev, ours.st_ino) != (there.st_dev, there.st_ino):
            self._close()
        elif ours.st_size >= self.end:
            return
        # A rotation takes an unfinished line over into the new file, so ours of it is forgotten.
        self._partial = b""
        self.end = 0
        self.has_more = True

    def _open(self) -> None:
        if self._fd < 0:
            try:
                self._fd = os.open(self._file, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            except OSError:
                self._fd = -1

    def _close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1


def _tail(file: str, lines: int, *, end: int | None) -> list[str]:
    """Return the last lines before the position `end` of the log; None is its end."""
    found: list[bytes] = []
    for path in log_files(file):
        if len(found) >= lines:
            break
        limit = end if path == file else None
        with suppress(OSError):
            found = _last_lines(path, lines - len(found), end=limit) + found
    return [_decode(line) for line in found]


def _last_lines(path: str, lines: int, *, end: int | None) -> list[bytes]:
    if path.endswith(".zst"):
        return _last_lines_compressed(path, lines)
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        # Compressed a moment ago, perhaps.
        return _last_lines_compressed(path + ".zst", lines)
    try:
        stop = os.fstat(fd).st_size if end is None else end
        return _split(_read_back(fd, stop, lines))[-lines:]
    finally:
        os.close(fd)


def _read_back(fd: int, end: int, lines: int) -> bytes:
    """Return the end of a file, from far enough back that `lines` lines are in it."""
    blocks: deque[bytes] = deque()
    start, ends = end, 0
    while start > 0 and ends <= lines and end - start < _MOST_BYTES:
        length = min(_BLOCK_BYTES, start)
        start -= length
        blocks.appendleft(os.pread(fd, length, start))
        ends += blocks[0].count(b"\n")
    return b"".join(blocks)


def _end_of(file: str, length: int) -> tuple[float, bytes]:
    """Return when a file was last written and its last `length` bytes."""
    fd = os.open(file, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        found = os.fstat(fd)
        return found.st_mtime, os.pread(fd, length, max(found.st_size - length, 0))
    finally:
        os.close(fd)


def _last_lines_compressed(path: str, lines: int) -> list[bytes]:
    from backports import zstd  # noqa: PLC0415 - a compiled module that only old lines need

    last: deque[bytes] = deque(maxlen=lines)
    try:
        with zstd.open(path, "rb") as file:
            last.extend(_chomped(file))
    except (zstd.ZstdError, EOFError):
        # Damaged: what could be read of it is better than nothing.
        return list(last)
    return list(last)


def _chomped(lines: Iterable[bytes]) -> Iterable[bytes]:
    return (line.removesuffix(b"\n") for line in lines)


def _split(content: bytes) -> list[bytes]:
    """Return the lines of `content`; the last may lack its end."""
    lines = content.split(b"\n")
    if not lines[-1]:
        lines.pop()
    return lines


def _unfinished(fd: int, size: int) -> bytes:
    """Return what follows the last line end in the last 64 KiB."""
    end = os.pread(fd, _BLOCK_BYTES, max(size - _BLOCK_BYTES, 0))
    return end[end.rfind(b"\n") + 1 :]


def _decode(line: bytes) -> str:
    return line.decode("utf-8", "replace")

"""Reading a service's log files: which there are, a look at the end, and lines as they are written."""

import os
from collections.abc import AsyncGenerator
from itertools import count

from virtsupd.process.filechanges import FileChanges
from virtsupd.process.log_tail import decode, split, tail_before
from virtsupd.process.regular import open_regular

_BLOCK_BYTES = 65536
_RECENT_BYTES = 16384


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


def recent_lines(file: str, lines: int) -> tuple[float, list[str]]:
    """Return when the log was last written (Unix seconds) and its last lines, newest first.

    One look at the last 16 KiB of the file in use, never at rotated ones; of a line that began
    before, the end. Without a file that can be read: no lines.
    """
    try:
        written, content = _end_of(file, _RECENT_BYTES)
    except OSError:
        return 0.0, []
    last = split(content)[-lines:] if lines else []
    return written, [decode(line) for line in reversed(last)]


def follow(file: str, lines: int) -> AsyncGenerator[list[str], None]:
    """Return batches of complete lines: the last `lines` there are now, then each as it is written.

    Rotation is followed: the rest of the old file comes before the new one. The iterator waits for
    ever and is to be closed (aclose) by whoever stops listening. It costs nothing while nothing is
    written. A reader who is more than one rotation behind misses what lies between.
    """
    reader = _Reader(file)
    reader.skip_to_end()
    return _follow(file, reader, lines)


async def _follow(file: str, reader: "_Reader", lines: int) -> AsyncGenerator[list[str], None]:
    if first := await tail_before(file, lines, reader.descriptor, reader.end):
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
        self.descriptor = -1
        self._partial = b""
        self.end = 0
        self.has_more = False

    def __del__(self) -> None:
        self._close()

    def skip_to_end(self) -> None:
        """Begin after the last complete line that is there now."""
        self._open()
        if self.descriptor >= 0:
            size = os.fstat(self.descriptor).st_size
            self.end = size - len(_unfinished(self.descriptor, size))

    def read(self) -> list[str]:
        """Return the complete lines of the next 64 KiB; `has_more` tells whether to ask again."""
        self._open()
        self.has_more = False
        if self.descriptor < 0:
            return []
        block = os.pread(self.descriptor, _BLOCK_BYTES, self.end)
        self.end += len(block)
        if not block:
            self._move_on()
            return []
        self.has_more = True
        *complete, self._partial = (self._partial + block).split(b"\n")
        if len(self._partial) > _BLOCK_BYTES:
            complete.append(self._partial)
            self._partial = b""
        return [decode(line) for line in complete]

    def _move_on(self) -> None:
        """At the end of a file: go to the one that took its name, or to the start of a truncated one."""
        ours = os.fstat(self.descriptor)
        try:
            there = os.stat(self._file)  # noqa: PTH116 - a string, looked at on every wakeup
        except OSError:
            return
        if (ours.st_dev, ours.st_ino) != (there.st_dev, there.st_ino):
            self._close()
        elif ours.st_size >= self.end - len(self._partial):
            # Perhaps in the middle of a rotation, when just the unfinished line is gone.
            return
        # A rotation takes an unfinished line over into the new file, so ours of it is forgotten.
        self._partial = b""
        self.end = 0
        self.has_more = True

    def _open(self) -> None:
        if self.descriptor < 0:
            try:
                self.descriptor = open_regular(self._file)
            except OSError:
                self.descriptor = -1

    def _close(self) -> None:
        if self.descriptor >= 0:
            os.close(self.descriptor)
        self.descriptor = -1


def _end_of(file: str, length: int) -> tuple[float, bytes]:
    """Return when a file was last written and its last `length` bytes."""
    fd = open_regular(file)
    try:
        found = os.fstat(fd)
        return found.st_mtime, os.pread(fd, length, max(found.st_size - length, 0))
    finally:
        os.close(fd)


def _unfinished(fd: int, size: int) -> bytes:
    """Return what follows the last line end in the last 64 KiB."""
    end = os.pread(fd, _BLOCK_BYTES, max(size - _BLOCK_BYTES, 0))
    return end[end.rfind(b"\n") + 1 :]

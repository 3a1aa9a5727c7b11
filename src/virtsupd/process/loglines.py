"""Following a log file line by line, over rotations: for the readiness of services that only say it there."""

import contextlib
import os

from virtsupd.process.regular import open_regular

_PIECE_BYTES = 65536
_LINE_BYTES = 65536
_FIFO_BYTES = 1 << 20


class LogLines:
    """The lines written to a log file from `offset` on.

    The offset may lie up to 1 MiB behind the end of the file: that much may be on its way there and
    is passed over. When the file at `path` is another one than before, the rest of the old one is
    read first and then the new one. Two rotations between two calls hide what was in the file
    between. A line longer than 64 KiB comes in pieces. The file need not exist yet.
    """

    def __init__(self, path: str, offset: int) -> None:
        """Prepare to read; `offset` (bytes) holds for the file that is at `path` at first."""
        self._path = path
        self._descriptor = -1
        self._partial = b""
        self._offset = offset
        self._size = 0
        self._is_first = True

    def read_some(self) -> list[str] | None:
        """Return the lines that end in the next 64 KiB, decoded, without their ends; None if nothing is new."""
        if (piece := self._read_piece()) is None and self._was_replaced():
            piece = self._read_piece()
        return None if piece is None else self._split(piece)

    def close(self) -> None:
        """Close the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _open(self) -> None:
        if self._descriptor >= 0:
            return
        with contextlib.suppress(OSError):
            self._descriptor = open_regular(self._path)
            self._size = os.fstat(self._descriptor).st_size
            if self._is_first and self._offset > self._size + _FIFO_BYTES:
                self._offset = 0  # rotated or cut since the offset was noted
            self._is_first = False

    def _read_piece(self) -> bytes | None:
        self._open()
        if self._descriptor < 0:
            return None
        piece = os.pread(self._descriptor, _PIECE_BYTES, self._offset)
        self._offset += len(piece)
        self._size = max(self._size, os.fstat(self._descriptor).st_size)
        return piece or None

    def _split(self, piece: bytes) -> list[str]:
        *complete, self._partial = (self._partial + piece).split(b"\n")
        if len(self._partial) > _LINE_BYTES:
            complete.append(self._partial)
            self._partial = b""
        return [line.decode("utf-8", "replace") for line in complete]

    def _was_replaced(self) -> bool:
        """Go to the file that took the name of ours, or to the start of ours if it was cut."""
        if self._descriptor < 0:
            return False
        try:
            current = os.stat(self._path)  # noqa: PTH116 -- a string, looked at on every wakeup
        except OSError:
            return False
        ours = os.fstat(self._descriptor)
        if (current.st_dev, current.st_ino) != (ours.st_dev, ours.st_ino):
            # A rotation moves an unfinished line to the new file: what was read of it is passed over.
            self._offset = max(self._offset - ours.st_size, 0)
            self.close()
            return True
        if self._offset > self._size or current.st_size >= self._offset - len(self._partial):
            # Also in the middle of a rotation, when just the unfinished line is gone.
            return False
        self._offset = self._size = 0
        self._partial = b""
        return True

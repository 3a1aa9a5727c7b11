"""Following a log file line by line, over rotations: for the readiness of services that only say it there."""

import contextlib
import os

_PIECE_BYTES = 65536
_LINE_BYTES = 65536


class LogLines:
    """The lines written to a log file from `offset` on.

    When the file at `path` is another one than before, the rest of the old one is read first and
    then the new one from its start. Two rotations between two calls hide what was in the file
    between. A line longer than 64 KiB comes in pieces. The file need not exist yet.
    """

    def __init__(self, path: str, offset: int) -> None:
        """Prepare to read; `offset` (bytes) holds for the file that is at `path` at first."""
        self._path = path
        self._descriptor = -1
        self._partial = b""
        self._offset = offset

    def read_some(self) -> list[str] | None:
        """Return the lines that end in the next 64 KiB, decoded, without their ends; None if nothing is new."""
        if (piece := self._read_piece()) is None and self._was_replaced():
            self.close()
            self._offset = 0
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
            self._descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            os.lseek(
                self._descriptor, min(self._offset, os.fstat(self._descriptor).st_size), os.SEEK_SET
            )

    def _read_piece(self) -> bytes | None:
        self._open()
        if self._descriptor < 0:
            return None
        return os.read(self._descriptor, _PIECE_BYTES) or None

    def _split(self, piece: bytes) -> list[str]:
        *complete, self._partial = (self._partial + piece).split(b"\n")
        if len(self._partial) > _LINE_BYTES:
            complete.append(self._partial)
            self._partial = b""
        return [line.decode("utf-8", "replace") for line in complete]

    def _was_replaced(self) -> bool:
        if self._descriptor < 0:
            return False
        ours = os.fstat(self._descriptor)
        try:
            current = os.stat(self._path)  # noqa: PTH116 -- a string, looked at on every wakeup
        except OSError:
            return False
        if (current.st_dev, current.st_ino) != (ours.st_dev, ours.st_ino):
            return True
        return current.st_size < os.lseek(self._descriptor, 0, os.SEEK_CUR)

"""One service's output on its way from its FIFO into its log file.

Bytes are spliced: the kernel moves them, this process never holds them, so a kill at any instant
loses none. Before each batch the path is looked at, so a log that somebody renamed, removed or
truncated is noticed without being told: what is written next goes to the end of what is there.
"""

import errno
import fcntl
import os
import select
import time

from virtsupd.logkeeper import rotation
from virtsupd.logkeeper.messages import Settings

PIPE_BYTES = 1 << 20
_SMALLEST_SPLICE = 65536
_RETRY_SECONDS = 1.0
_ROTATION_RETRY_SECONDS = 10.0
_BEGUN = "user.virtsupd.begun"
"""Extended attribute: when the first byte was written, so that age outlives this process."""
# Kernels before 6.8 do not tell inotify of a splice: tail -f would see nothing.
_SPLICE_IS_SILENT = [
    int(n) for n in os.uname().release.rstrip("+").split("-")[0].split(".")[:2]
] < [6, 8]


class Log:
    """The FIFO, the file, and what hinders the way between them.

    `has_more` tells that the last batch was cut short by its size, not by the end of the output.
    `trouble` says why the file cannot be written ("" when it can); while it does, output is read
    and dropped, or left in the FIFO, as `on_full` says.
    """

    __slots__ = (
        "_begun",
        "_file",
        "_gap_bytes",
        "_gap_reason",
        "_gap_told",
        "_identity",
        "_retry_at",
        "_rotation_retry_at",
        "fifo",
        "has_more",
        "name",
        "rotation_trouble",
        "settings",
        "trouble",
        "wants_compression",
    )

    def __init__(self, name: str, settings: Settings) -> None:
        """Open the FIFO; the file is opened by the first `move`.

        Raises:
            OSError: the FIFO cannot be opened. Nothing is left open.
        """
        self.name = name
        self.settings = settings
        self.fifo = _open_fifo(settings.fifo)
        self.has_more = False
        self.trouble = ""
        self.rotation_trouble = ""
        self.wants_compression = settings.compress
        self._file = -1
        self._identity = (0, 0)
        self._begun = 0.0
        self._gap_bytes = 0
        self._gap_reason = ""
        self._gap_told = 0
        self._retry_at = 0.0
        self._rotation_retry_at = 0.0

    @property
    def is_blocked(self) -> bool:
        """Whether output waits in the FIFO for the file to be writable."""
        return bool(self.trouble) and self.settings.on_full == "block"

    @property
    def has_same_fifo(self) -> bool:
        """Whether the FIFO's path still names the FIFO that is open here."""
        try:
            there = os.stat(self.settings.fifo)
        except OSError:
            return False
        here = os.fstat(self.fifo)
        return (there.st_dev, there.st_ino) == (here.st_dev, here.st_ino)

    def is_abandoned(self) -> bool:
        """Whether nobody else can write to the FIFO, and nothing waits in it.

        The kernel tells only while we do not hold it for writing ourselves, so `fifo` is another
        descriptor afterwards. Its reading end stays open throughout: nothing in it is lost, and no
        writer notices.
        """
        try:
            reader = _open_again(self.fifo, os.O_RDONLY)
        except OSError:
            return False
        os.close(self.fifo)
        self.fifo = reader
        poll = select.poll()
        poll.register(reader, select.POLLIN)
        seen = poll.poll(0)
        try:
            self.fifo = _open_again(reader, os.O_RDWR)
        except OSError:
            return False
        os.close(reader)
        return seen == [(reader, select.POLLHUP)]

    def change(self, settings: Settings) -> None:
        """Take over other settings; output from now on goes where they say."""
        if settings.file != self.settings.file:
            self._close_file()
        elif self._file >= 0 and settings.mode != self.settings.mode:
            os.fchmod(self._file, settings.mode)
        self.settings = settings
        self.wants_compression = settings.compress
        self._retry_at = self._rotation_retry_at = 0.0

    def move(self) -> bool:
        """Move one batch; return whether there was anything to move."""
        if self.trouble and time.monotonic() < self._retry_at:
            return not self.is_blocked and self._discard()
        try:
            self._open_file()
            self._write_gap()
            return self._splice()
        except BlockingIOError:
            self.trouble = ""
            self.has_more = False
            return False
        except OSError as error:
            self.has_more = False
            self._fail(error)
            is_output_dropped = not self.is_blocked and self._discard()
            self._complain()
            return is_output_dropped

    def deadline(self) -> float:
        """Return when `on_time` has something to do, in monotonic seconds; 0 for never."""
        if self.trouble:
            return self._retry_at
        if not self.settings.max_age or not self._begun:
            return 0.0
        left = self._begun + self.settings.max_age - time.time()
        return max(time.monotonic() + left, self._rotation_retry_at)

    def on_time(self) -> None:
        """Try again what failed, or rotate a log that has become too old."""
        self.move()
        if not self.trouble and self._is_old():
            self.rotate()

    def rotate(self) -> None:
        """Rotate now, an unfinished last line going to the new file.

        Failure is kept in `rotation_trouble`, and the log is written on as it is.
        """
        settings = self.settings
        try:
            self._open_file()
            if not os.fstat(self._file).st_size:
                return
            fresh = rotation.rotate(
                settings.file, self._file, keep=settings.keep, mode=settings.mode
            )
        except OSError as error:
            self.rotation_trouble = f"log cannot be rotated: {settings.file}: {error.strerror}"
            self._rotation_retry_at = time.monotonic() + _ROTATION_RETRY_SECONDS
            return
        self._take_file(fresh)
        rotation.trim(settings.file, settings.keep)
        self.rotation_trouble = ""
        self.wants_compression = settings.compress

    def drain(self) -> None:
        """Move what is in the FIFO, giving up after as much as sixteen full ones."""
        for _ in range(16):
            if not self.move():
                return

    def close(self) -> None:
        """Let go of FIFO and file."""
        os.close(self.fifo)
        self._close_file()

    def _open_file(self) -> None:
        """See to it that the open file is the one the path names."""
        if self._file >= 0:
            try:
                there = os.stat(self.settings.file, follow_symlinks=False)
            except FileNotFoundError:
                pass
            else:
                if (there.st_dev, there.st_ino) == self._identity:
                    return
            self._close_file()
        self._take_file(rotation.open_log(self.settings.file, self.settings.mode))
        rotation.trim(self.settings.file, self.settings.keep)

    def _take_file(self, file: int) -> None:
        self._close_file()
        status = os.fstat(file)
        self._file = file
        self._identity = (status.st_dev, status.st_ino)
        self._begun = 0.0
        if status.st_size:
            self._begun = _read_begun(file, status.st_mtime)

    def _close_file(self) -> None:
        if self._file >= 0:
            os.close(self._file)
        self._file = -1

    def _splice(self) -> bool:
        """Move up to one FIFO's worth to the end of the file, then rotate if it is time; True.

        Raises:
            OSError: the file cannot take it; it stays in the FIFO.
        """
        limit = self.settings.max_size
        start = os.fstat(self._file).st_size
        asked = PIPE_BYTES
        if limit:
            asked = min(max(limit - start, _SMALLEST_SPLICE), PIPE_BYTES)
        moved = os.splice(self.fifo, self._file, asked, offset_dst=start)
        self.trouble = ""
        size = start + moved
        if _SPLICE_IS_SILENT:
            os.ftruncate(self._file, size)
        if not self._begun:
            self._begin()
        if limit and size >= limit:
            self._rotate_large(size)
        self.has_more = moved == asked
        return True

    def _rotate_large(self, size: int) -> None:
        """Rotate if the file ends in a line end, or has waited for one long enough."""
        if time.monotonic() < self._rotation_retry_at:
            return
        is_late = size >= self.settings.max_size + _SMALLEST_SPLICE
        if is_late or rotation.ends_in_line(self._file, size):
            self.rotate()

    def _begin(self) -> None:
        """Note the time of the first byte, in the file too if it can be."""
        self._begun = time.time()
        if self.settings.max_age:
            try:
                os.setxattr(self._file, _BEGUN, repr(self._begun).encode())
            except OSError:
                # Without attributes a successor takes the last change instead: later, not wrong.
                return

    def _is_old(self) -> bool:
        age = self.settings.max_age
        return bool(age and self._begun) and time.time() >= self._begun + age

    def _fail(self, error: OSError) -> None:
        reason = error.strerror or str(error)
        self._gap_reason = reason
        self._retry_at = time.monotonic() + _RETRY_SECONDS
        if error.errno != errno.ENOSPC:
            self._close_file()
        self._complain()

    def _complain(self) -> None:
        """Say what hinders and how much is lost by it; of the amount, each doubling is told."""
        self.trouble = f"log cannot be written: {self.settings.file}: {self._gap_reason}"
        if self._gap_bytes >= 2 * self._gap_told:
            self._gap_told = self._gap_bytes
        if self._gap_told:
            self.trouble += f"; at least {_size(self._gap_told)} of output dropped"

    def _discard(self) -> bool:
        """Read what is in the FIFO and drop it, counted."""
        try:
            dropped = len(os.read(self.fifo, PIPE_BYTES))
        except BlockingIOError:
            return False
        self._gap_bytes += dropped
        return True

    def _write_gap(self) -> None:
        """Say in the log how much is missing here, on a line of its own.

        Raises:
            OSError: there is still no room for it and a little more.
        """
        if not self._gap_bytes:
            return
        free = os.fstatvfs(self._file)
        if free.f_bfree * free.f_frsize < _SMALLEST_SPLICE:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        size = os.fstat(self._file).st_size
        line = f"[virtsupd: {self._gap_bytes} bytes of output dropped: {self._gap_reason}]\n"
        if not rotation.ends_in_line(self._file, size):
            line = "\n" + line
        os.pwrite(self._file, line.encode(), size)
        self._gap_bytes = self._gap_told = 0
        self.trouble = ""


def _open_fifo(path: str) -> int:
    fifo = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.fcntl(fifo, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    except OSError:
        # Above what the kernel grants (fs.pipe-max-size): it works with what it has, slower.
        return fifo
    return fifo


def _open_again(fd: int, access: int) -> int:
    """Open what `fd` stands for once more, whether or not it still has a path."""
    return os.open(f"/proc/self/fd/{fd}", access | os.O_NONBLOCK | os.O_CLOEXEC)


def _size(count: int) -> str:
    """Say a number of bytes, rounded down."""
    for unit, shift in (("MiB", 20), ("KiB", 10)):
        if count >> shift:
            return f"{count >> shift} {unit}"
    return f"{count} bytes"


def _read_begun(file: int, changed: float) -> float:
    """Return when the first byte of a log found here was written, as far as is known."""
    try:
        return float(os.getxattr(file, _BEGUN))
    except (OSError, ValueError):
        return changed

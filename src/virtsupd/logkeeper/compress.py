"""Compression of rotated files: one child at a time, at the lowest priority.

The child imports the compressor, writes a file of its own and ends; naming it and removing the plain
file is done here, so whichever of the two is killed, the lines are there in one form.
"""

import os
import stat
import sys

from virtsupd.logkeeper import rotation
from virtsupd.logkeeper.regular import open_regular

_HALF_DONE = ".virtsupd-zst"
_PART_BYTES = 1 << 20
"""Compressed each by itself, so that the last lines can be read without all that precedes them."""
_MODULE_MISSING = 3


class Compressor:
    """Logs whose rotated files are to be compressed, and the child that works on one of them."""

    def __init__(self, site: str) -> None:
        """Remember the directory that holds the zstd module ("": none is known)."""
        self._site = site
        self._keep_by_file: dict[str, int] = {}
        self._file = ""
        self._source = (0, 0)
        self._target = (0, 0)
        self._child = 0
        self.is_missing = False

    @property
    def is_busy(self) -> bool:
        """Whether a child is at work."""
        return bool(self._child)

    def add(self, file: str, keep: int) -> None:
        """Have the plain rotated files of `file` compressed, newest first."""
        if not self.is_missing:
            self._keep_by_file[file] = keep

    def start(self) -> int:
        """Begin the next compression; return a pidfd of the child, or -1 if there is none to do."""
        while self._keep_by_file and not self.is_busy:
            file, keep = self._keep_by_file.popitem()
            try:
                if plain := _next_plain(file, keep):
                    self._begin(file, plain)
                    self._keep_by_file[file] = keep
                    return os.pidfd_open(self._child)
            except OSError:
                # Gone, no log, or no room or no process for it: the next rotation asks again.
                self.kill()
        return -1

    def finish(self) -> str:
        """Take the ended child's work; return what the operator should know ("": nothing)."""
        _, status = os.waitpid(self._child, 0)
        self._child = 0
        code = os.waitstatus_to_exitcode(status)
        half_done = self._file + _HALF_DONE
        try:
            if code == 0:
                self._name(half_done)
                return ""
            rotation.remove(half_done)
        except OSError as error:
            self._keep_by_file.pop(self._file, None)
            return f"{self._file}: compressed file cannot be put in place: {error.strerror}"
        self._keep_by_file.pop(self._file, None)
        return self._explain(code)

    def kill(self) -> None:
        """End the child and remove what it wrote; the plain file stays."""
        if self.is_busy:
            os.kill(self._child, 9)
            self.finish()

    def _begin(self, file: str, plain: str) -> None:
        """Fork the child.

        Raises:
            OSError: a file cannot be opened, or no process made.
        """
        target = -1
        source = open_regular(plain, os.O_RDONLY)
        target = -1
        try:
            status = os.fstat(source)
            target = _open_target(file + _HALF_DONE, stat.S_IMODE(status.st_mode))
            self._file = file
            self._source = (status.st_dev, status.st_ino)
            written = os.fstat(target)
            self._target = (written.st_dev, written.st_ino)
            self._child = os.fork()
            if not self._child:
                _run_child(source, target, self._site)
        finally:
            os.close(source)
            if target >= 0:
                os.close(target)

    def _name(self, half_done: str) -> None:
        """Give the compressed file the number that its source has by now.

        Raises:
            OSError: it cannot be renamed, or is not what the child wrote; the plain file stays.
        """
        if rotation.identity(half_done) != self._target:
            raise OSError(0, "somebody replaced it")
        slot = 1
        while rotation.is_taken(self._file, slot):
            plain, compressed = rotation.forms(self._file, slot)
            if rotation.identity(plain) == self._source:
                os.rename(half_done, compressed)
                os.unlink(plain)
                return
            slot += 1
        rotation.remove(half_done)

    def _explain(self, code: int) -> str:
        if code != _MODULE_MISSING:
            return f"{self._file}: a rotated file could not be compressed and stays as it is"
        self.is_missing = True
        self._keep_by_file.clear()
        return "rotated logs stay uncompressed: the Python module backports.zstd is missing"


def _next_plain(file: str, keep: int) -> str:
    """Return the newest rotated file that is not compressed, "" if there is none."""
    for slot in range(1, keep + 1):
        plain, compressed = rotation.forms(file, slot)
        if os.path.lexists(plain):
            if not os.path.lexists(compressed):
                return plain
            os.unlink(plain)
    return ""


def _open_target(path: str, mode: int) -> int:
    rotation.remove(path)
    return open_regular(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)


def _run_child(source: int, target: int, site: str) -> None:
    """Compress and end the process; never returns, whatever happens."""
    code = 1
    try:
        os.dup2(source, 0)
        os.dup2(target, 1)
        # What the keeper holds must not seem alive through this child after the keeper's death.
        os.closerange(3, 65536)
        os.nice(19)
        code = compress(0, 1, site)
    finally:
        os._exit(code)


def compress(source: int, target: int, site: str) -> int:
    """Write `source` to `target` as zstd frames of 1 MiB each; return the exit code for it.

    The target gets the times of the source, whatever has its name by then.

    Raises:
        OSError: reading or writing failed; part of the target may be written.
    """
    if site:
        sys.path.append(site)
    try:
        if sys.version_info >= (3, 14):
            from compression import zstd  # noqa: PLC0415 - a megabyte that only this child needs
        else:
            from backports import zstd  # noqa: PLC0415 - a megabyte that only this child needs
    except ImportError:
        return _MODULE_MISSING
    while part := os.read(source, _PART_BYTES):
        write_all(target, zstd.compress(part))
    times = os.fstat(source)
    os.utime(target, ns=(times.st_atime_ns, times.st_mtime_ns))
    os.fsync(target)
    return 0


def write_all(target: int, content: bytes) -> None:
    """Write all of `content`."""
    while content:
        content = content[os.write(target, content) :]

"""Rotated files: their names, and renames that a kill between any two of them leaves repairable.

FILE is written; FILE.1 is the newest rotated one, then FILE.2 and so on, each plain or with ".zst".
Two more names exist for moments: FILE.virtsupd-new is the next FILE while a rotation is under way,
FILE.virtsupd-zst a compression that has not ended.
"""

import os
import stat

from virtsupd.logkeeper.regular import open_regular

MAX_LINE_BYTES = 65536
"""A line longer than this is cut by a rotation instead of being carried over to the next file."""

_FRESH = ".virtsupd-new"


def remove(path: str) -> None:
    """Remove a file that may be missing."""
    if os.path.lexists(path):
        os.unlink(path)


def forms(file: str, slot: int) -> tuple[str, str]:
    """Return the plain and the compressed name of the slot-th rotated file."""
    return f"{file}.{slot}", f"{file}.{slot}.zst"


def is_taken(file: str, slot: int) -> bool:
    """Whether a rotated file has that number."""
    return any(os.path.lexists(form) for form in forms(file, slot))


def open_log(file: str, mode: int) -> int:
    """Open a log for writing at its end, made if missing with its directories (0750).

    What a killed rotation left is repaired first.

    Raises:
        OSError: it cannot be opened, or `open_regular` refuses what is there.
    """
    os.makedirs(os.path.dirname(file), mode=0o750, exist_ok=True)
    _repair(file)
    fd = open_regular(file, os.O_RDWR | os.O_CREAT, mode)
    if stat.S_IMODE(os.fstat(fd).st_mode) != mode:
        os.fchmod(fd, mode)
    return fd


def rotate(file: str, fd: int, *, keep: int, mode: int) -> int:
    """Make FILE the newest rotated file and return the descriptor of an empty new one.

    An unfinished last line moves to the new file. `fd` stays open. A kill in the middle loses
    nothing: `open_log` finishes or undoes the rotation.

    Raises:
        OSError: nothing was rotated, `fd` is still the log.
    """
    size = os.fstat(fd).st_size
    unfinished = _unfinished_line(fd, size)
    remove(file + _FRESH)
    fresh = open_regular(file + _FRESH, os.O_RDWR | os.O_CREAT | os.O_EXCL, mode)
    try:
        _write_all(fresh, unfinished)
        _shift(file, keep)
        os.ftruncate(fd, size - len(unfinished))
        if keep:
            os.rename(file, forms(file, 1)[0])
        os.rename(file + _FRESH, file)
    except OSError:
        os.close(fresh)
        _repair(file)
        raise
    return fresh


def trim(file: str, keep: int) -> None:
    """Remove the rotated files beyond the `keep` newest, up to one that cannot be removed."""
    slot = keep + 1
    while is_taken(file, slot):
        try:
            for form in forms(file, slot):
                remove(form)
        except OSError:
            # Not ours to worry about: a directory, say, that somebody made there.
            return
        slot += 1


def identity(path: str) -> tuple[int, int]:
    """Return what tells this file from every other; (0, 0) if there is none."""
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return (0, 0)
    return (status.st_dev, status.st_ino)


def ends_in_line(fd: int, size: int) -> bool:
    """Whether the file is empty or its last byte ends a line."""
    return size == 0 or os.pread(fd, 1, size - 1) == b"\n"


def _unfinished_line(fd: int, size: int) -> bytes:
    """Return what follows the last line end; nothing if no line ends in the last 64 KiB."""
    start = max(size - MAX_LINE_BYTES, 0)
    end = os.pread(fd, size - start, start)
    return end[end.rfind(b"\n") + 1 :] if b"\n" in end else b""


def _write_all(fd: int, content: bytes) -> None:
    while content:
        content = content[os.write(fd, content) :]


def _shift(file: str, keep: int) -> None:
    """Free the number 1 by moving what is there up to the first gap, at most to `keep`."""
    gap = 1
    while gap < keep and is_taken(file, gap):
        gap += 1
    for form in forms(file, gap):
        remove(form)
    for slot in range(gap - 1, 0, -1):
        _move_up(file, slot)


def _move_up(file: str, slot: int) -> None:
    plain, compressed = forms(file, slot)
    next_plain, next_compressed = forms(file, slot + 1)
    if os.path.lexists(compressed):
        # Both forms are the same lines: a kill came between naming one and removing the other.
        remove(plain)
        os.rename(compressed, next_compressed)
    else:
        os.rename(plain, next_plain)


def _repair(file: str) -> None:
    """Finish or undo a rotation that was cut off.

    With FILE gone, FILE.virtsupd-new is the new log. With FILE there and shortened to its last line
    end, the unfinished line goes back to it. Else nothing had happened yet. What cannot be ours by
    its kind is removed.
    """
    fresh = file + _FRESH
    if not os.path.lexists(fresh):
        return
    try:
        source = open_regular(fresh, os.O_RDONLY)
    except OSError:
        remove(fresh)
        return
    try:
        if not os.path.lexists(file):
            os.rename(fresh, file)
            return
        _put_back(file, source)
    finally:
        os.close(source)
    remove(fresh)


def _put_back(file: str, source: int) -> None:
    target = open_regular(file, os.O_RDWR)
    try:
        size = os.fstat(target).st_size
        if size and ends_in_line(target, size):
            os.lseek(target, size, os.SEEK_SET)
            _write_all(target, os.read(source, MAX_LINE_BYTES))
    finally:
        os.close(target)

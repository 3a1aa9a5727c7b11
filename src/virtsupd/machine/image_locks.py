"""Who uses a disk image: the locks of QEMU on it, and the processes that have it open."""

import fcntl
import os
import struct
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePath
from typing import Final

from virtsupd.process.holders import arguments_of, program_of

_FLOCK: Final = struct.Struct("hhqqi4x")
_WRITES: Final = 101
_LETS_READ: Final = 200
_LETS_WRITE: Final = 201
"""Bytes of an image that QEMU locks: what it does (100 and on) and does not suffer (200 and on), in the
order of its permissions: to read what is consistent, to write."""


def in_use(descriptor: int, *, is_written: bool) -> str | None:
    """Return why a QEMU would not get its lock on an opened image; None if it would.

    `is_written` is whether the guest's writes go there. What cannot be locked is not in use.
    """
    if _is_locked(descriptor, _WRITES):
        return f"another QEMU writes to it{_users(descriptor)}; stop that one first"
    if _is_locked(descriptor, _LETS_READ):
        return f"another program suffers no readers of it{_users(descriptor)}; stop that one first"
    if is_written and _is_locked(descriptor, _LETS_WRITE):
        return f"another QEMU reads it{_users(descriptor)}, and suffers no writes; stop that one"
    return None


def _is_locked(descriptor: int, byte: int) -> bool:
    with suppress(OSError):
        asked = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, byte, 1, 0)
        answer = fcntl.fcntl(descriptor, fcntl.F_OFD_GETLK, asked)
        return bool(_FLOCK.unpack(answer)[0] != fcntl.F_UNLCK)
    return False


def users_of(path: Path) -> tuple[tuple[int, str], ...]:
    """Return pid and name of each process that has a file open, as far as we may look."""
    try:
        found = path.stat()
    except OSError:
        return ()
    return tuple(_openers(found))


def _users(descriptor: int) -> str:
    found = [f"{name} {pid}" for pid, name in _openers(os.fstat(descriptor))]
    return f" ({', '.join(found)})" if found else ""


def _openers(wanted: os.stat_result) -> Iterator[tuple[int, str]]:
    for place in Path("/proc").glob("[0-9]*"):
        if int(place.name) == os.getpid():
            continue
        with suppress(OSError):
            if any(_is_same(link, wanted) for link in (place / "fd").iterdir()):
                yield int(place.name), _name(int(place.name))


def _name(pid: int) -> str:
    words = arguments_of(pid)
    return PurePath(words[0]).name if words else program_of(pid)


def _is_same(link: Path, wanted: os.stat_result) -> bool:
    with suppress(OSError):
        return os.path.samestat(link.stat(), wanted)
    return False

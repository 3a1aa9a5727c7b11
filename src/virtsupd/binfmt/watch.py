"""What happens in directories, told by inotify(7).

The kernel tells of entries of its table that are made, removed or written to, whoever does it, a flush
of all among them (measured with Linux 6.18). It does not where the table was mounted by another kernel
interface that knows no inotify; then there is nothing to wait for.
"""

import ctypes
import os
import struct
from pathlib import Path
from typing import Final

_EVENT: Final = struct.Struct("iIII")  # watch, events, cookie, length of the name that follows
_BUFFER_BYTES: Final = 65536
# Of entries: written, made, removed. Of programs: attributes, written whole, moved here or away, removed.
_OF_ENTRIES: Final = 0x2 | 0x100 | 0x200
_OF_PROGRAMS: Final = 0x4 | 0x8 | 0x40 | 0x80 | 0x200
_OVERFLOW: Final = 0x4000
_LOST: Final = 0x2000 | 0x8000  # unmounted; the watch is gone
_IN_ONLYDIR: Final = 0x1000000
_EMULATORS: Final = b"qemu-"
"""How their names begin: what else happens among programs is no reason to look."""

_libc = ctypes.CDLL(None, use_errno=True)


class Watch:
    """One inotify instance: the table, and the directories of the emulators."""

    def __init__(self) -> None:
        """Open it.

        Raises:
            OSError: this user has too many already.
        """
        self.descriptor: int = _libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self.descriptor < 0:
            raise OSError(ctypes.get_errno(), "inotify_init1")
        self._table: int | None = None

    def watch_table(self, directory: Path) -> bool:
        """Watch the table; return whether the kernel will tell of it."""
        self._table = self._add(directory, _OF_ENTRIES)
        return self._table is not None

    def watch_programs(self, directories: set[Path]) -> None:
        """Watch directories of emulators as well; one that is not there is not waited for."""
        for directory in directories:
            self._add(directory, _OF_PROGRAMS)

    def read(self) -> tuple[bool, bool]:
        """Return whether something happened to the table, and to emulators."""
        table = programs = False
        while events := self._events():
            for watch, mask, name in events:
                is_lost, is_table = bool(mask & _OVERFLOW), watch == self._table
                table |= is_table or is_lost
                programs |= is_lost or (not is_table and name.startswith(_EMULATORS))
                if is_table and mask & _LOST:
                    self._table = None
        return table, programs

    def close(self) -> None:
        """Watch nothing any more."""
        os.close(self.descriptor)

    @property
    def is_told(self) -> bool:
        """Whether the kernel tells of the table."""
        return self._table is not None

    def _add(self, directory: Path, mask: int) -> int | None:
        found: int = _libc.inotify_add_watch(
            self.descriptor, os.fsencode(directory), mask | _IN_ONLYDIR
        )
        return found if found >= 0 else None

    def _events(self) -> list[tuple[int, int, bytes]]:
        try:
            data = os.read(self.descriptor, _BUFFER_BYTES)
        except BlockingIOError:
            return []
        found, at = [], 0
        while at < len(data):
            watch, mask, _, length = _EVENT.unpack_from(data, at)
            at += _EVENT.size + length
            found.append((watch, mask, data[at - length : at].rstrip(b"\0")))
        return found

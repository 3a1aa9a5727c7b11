"""What happens in directories, told by inotify(7).

The kernel tells of entries of its table that are made, removed or written to, whoever does it, a flush
of all among them (measured with Linux 6.18). It does not where the table was mounted by another kernel
interface that knows no inotify; then there is nothing to wait for.
"""

import ctypes
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_EVENT: Final = struct.Struct("iIII")  # watch, events, cookie, length of the name that follows
_BUFFER_BYTES: Final = 65536
# Of entries: written, made, removed. Of programs: attributes, written whole, moved here or away, made, removed.
_OF_ENTRIES: Final = 0x2 | 0x100 | 0x200
_OF_PROGRAMS: Final = 0x4 | 0x8 | 0x40 | 0x80 | 0x100 | 0x200
_OVERFLOW: Final = 0x4000
_LOST: Final = 0x2000 | 0x8000  # unmounted; the watch is gone
_IN_ONLYDIR: Final = 0x1000000
_EMULATORS: Final = b"qemu-"
"""How their names begin: what else happens among programs is no reason to look."""
_MOST_LINKS: Final = 40
"""More of them the kernel does not follow."""

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
        self._directories: set[Path] = set()
        self._bins: set[int] = set()
        self._links: set[tuple[int, bytes]] = set()
        """Links by which one comes to the directories, each with the watch of where it is."""

    def watch_table(self, directory: Path) -> bool:
        """Watch the table; return whether the kernel will tell of it."""
        self._table = self._add(directory, _OF_ENTRIES)
        return self._table is not None

    def watch_programs(self, directories: set[Path]) -> None:
        """Watch these directories of emulators, and the links on the way to them, and no others.

        One that is not there is not waited for.
        """
        before = self._bins | {watch for watch, _ in self._links}
        self._directories = directories
        self._bins, self._links = set(), set()
        for directory in directories:
            for place, name in _links(directory):
                watch = self._add(place, _OF_PROGRAMS)
                if watch is not None:
                    self._links.add((watch, os.fsencode(name)))
            watch = self._add(directory, _OF_PROGRAMS)
            if watch is not None:
                self._bins.add(watch)
        for watch in before - self._bins - {watch for watch, _ in self._links}:
            _libc.inotify_rm_watch(self.descriptor, watch)

    def read(self) -> tuple[bool, bool]:
        """Return whether something happened to the table, and to emulators."""
        table = programs = False
        while events := self._events():
            for watch, mask, name in events:
                is_lost, is_table = bool(mask & _OVERFLOW), watch == self._table
                table |= is_table or is_lost
                programs |= is_lost or self._is_of_programs(watch, name)
                if is_table and mask & _LOST:
                    self._table = None
        if programs:
            self.watch_programs(self._directories)
        return table, programs

    def _is_of_programs(self, watch: int, name: bytes) -> bool:
        is_emulator = watch in self._bins and name.startswith(_EMULATORS)
        return is_emulator or (watch, name) in self._links

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


def _links(path: Path) -> Iterator[tuple[Path, str]]:
    """Yield each link on the way to a path: where it is, and its name. It is followed after that."""
    place, rest = Path("/"), list(reversed(path.parts[1:]))
    followed = 0
    while rest and followed < _MOST_LINKS:
        name = rest.pop()
        here = place.parent if name == ".." else place / name
        if not os.path.islink(here):  # noqa: PTH114 - False, too, where nobody may look
            place = here
            continue
        yield place, name
        followed += 1
        try:
            target = here.readlink()
        except OSError:  # it has just been removed
            return
        place = Path("/") if target.is_absolute() else place
        rest += reversed(target.parts[1:] if target.is_absolute() else target.parts)

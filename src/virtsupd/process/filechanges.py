"""Waiting for files: one inotify(7) instance for all who wait, whatever their number.

It is shared because the kernel gives a user only 128 instances by default, and because closing one
waits for an RCU grace period: 7 ms at the median and 21 ms at worst were measured, with the event
loop standing still. So watches come and go on one instance, and when nobody waits any more, a
thread that lives for that one call closes it.
"""

import asyncio
import contextlib
import ctypes
import os
import struct
import threading
from collections.abc import Iterator
from os.path import abspath, exists, isdir, lexists, realpath, split
from typing import ClassVar
from weakref import WeakKeyDictionary

from virtsupd.process.wakeups import Changes

_EVENT = struct.Struct("iIII")  # watch, events, cookie, length of the name that follows
_BUFFER_BYTES = 65536

# In a directory: made, moved here. Of the path itself: written, attributes (so: unlinked while open),
# closed after writing. Of both, and of each directory or link on the way: removed, moved. Added to what
# others watch of the same inode.
_IN_IGNORED = 0x8000
_IN_DONT_FOLLOW = 0x2000000
_IN_MASK_ADD = 0x20000000
_IN_SELF = 0x400 | 0x800 | _IN_MASK_ADD
_IN_DIRECTORY = 0x100 | 0x80 | _IN_SELF
_IN_FILE = 0x2 | 0x4 | 0x8 | _IN_SELF
_IN_ENTRY = _IN_SELF | _IN_DONT_FOLLOW

_Target = tuple[str, str, int]
"""What to watch, the name in it that matters ("": itself), and what about it."""

_SILENT = ("/proc/", "/sys/")
"""What the kernel changes there itself, inotify does not report."""


class FileChanges(Changes):
    """Something happened to a path: it, or a directory or link on the way to it, was made, written or moved.

    The path and its parents need not exist. A path through a symbolic link is watched both where
    it is written and where it leads in the end. What happens to its neighbours wakes nobody.
    """

    def __init__(self, path: str) -> None:
        """Prepare to watch `path`; nothing is opened yet."""
        super().__init__()
        self._path = abspath(path)  # noqa: PTH100 -- keeps links, as resolve() does not
        self._inotify: _Inotify | None = None
        self._watches: set[int] = set()
        self._is_refused = False

    def rearm(self) -> None:
        """Forget the changes so far and watch the path and the deepest directories that exist now."""
        super().rearm()
        if self._inotify is None:
            return
        # All anew: a directory that is only on the way now need not tell of what is made in it.
        self._forget()
        targets: set[_Target] = set()
        # What is made between the search and its watch would be missed: search until nothing is new.
        while targets != (found := set(self._targets())):
            targets = found
            given = {target: self._inotify.watch(self, *target) for target in targets}
            self._watches.update(given.values())
            # Who may not look at what is on the way misses little: its moves.
            self._is_refused = any(given[target] < 0 for target in given if target[2] != _IN_ENTRY)

    def _is_told(self) -> bool:
        return not self._is_refused and not is_silent(self._path)

    def _targets(self) -> Iterator[_Target]:
        real = realpath(self._path)
        for way in (self._path, real):
            yield *_next_step(way), _IN_DIRECTORY
            yield from ((entry, "", _IN_ENTRY) for entry in _entries(way))
        if exists(real):  # noqa: PTH110 -- has an answer for every text
            yield real, "", _IN_FILE

    def _listen(self) -> None:
        self._inotify = _Inotify.of_running_loop()
        self._inotify.enter(self)

    def _stop(self) -> None:
        if self._inotify is not None:
            self._forget()
            self._inotify.leave(self)
            self._inotify = None

    def _forget(self) -> None:
        if self._inotify is not None:
            for watch in self._watches:
                self._inotify.unwatch(self, watch)
        self._watches = set()


class _Inotify:
    """The instance of one event loop: who waits for what, by watch."""

    _by_loop: ClassVar[WeakKeyDictionary[asyncio.AbstractEventLoop, "_Inotify"]] = (
        WeakKeyDictionary()
    )

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._users: set[FileChanges] = set()
        self._waiting: dict[int, set[tuple[FileChanges, str]]] = {}
        self._descriptor: int = _libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self._descriptor < 0:
            raise OSError(ctypes.get_errno(), "inotify_init1")
        loop.add_reader(self._descriptor, self._read)

    @classmethod
    def of_running_loop(cls) -> "_Inotify":
        """Return the instance of this loop, made if need be."""
        loop = asyncio.get_running_loop()
        if loop not in cls._by_loop:
            cls._by_loop[loop] = cls(loop)
        return cls._by_loop[loop]

    def enter(self, user: FileChanges) -> None:
        """Keep the instance as long as this user stays."""
        self._users.add(user)

    def leave(self, user: FileChanges) -> None:
        """Close the instance after the last user."""
        self._users.discard(user)
        if not self._users:
            del self._by_loop[self._loop]
            self._loop.remove_reader(self._descriptor)
            threading.Thread(
                target=os.close, args=(self._descriptor,), name="inotify-close"
            ).start()

    def watch(self, user: FileChanges, path: str, name: str, events: int) -> int:
        """Tell `user` of changes to a path ("") or to a name in a directory; -1 if the kernel refuses."""
        watch: int = _libc.inotify_add_watch(self._descriptor, os.fsencode(path), events)
        if watch >= 0:
            self._waiting.setdefault(watch, set()).add((user, name))
        return watch

    def unwatch(self, user: FileChanges, watch: int) -> None:
        """Tell `user` no more of what this watch is about."""
        waiting = {entry for entry in self._waiting.get(watch, ()) if entry[0] is not user}
        if waiting:
            self._waiting[watch] = waiting
        elif self._waiting.pop(watch, None) is not None:
            _libc.inotify_rm_watch(self._descriptor, watch)

    def _read(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._tell(os.read(self._descriptor, _BUFFER_BYTES))

    def _tell(self, packet: bytes) -> None:
        at = 0
        while at < len(packet):
            watch, events, _, length = _EVENT.unpack_from(packet, at)
            at += _EVENT.size + length
            name = os.fsdecode(packet[at - length : at].rstrip(b"\0"))
            for user in self._concerned(watch, name):
                user.changed()
            if events & _IN_IGNORED:
                self._waiting.pop(watch, None)

    def _concerned(self, watch: int, name: str) -> set[FileChanges]:
        if watch < 0:  # events were lost: anything may have happened
            return set(self._users)
        # An event without a name is about the watched one itself.
        return {user for user, wanted in self._waiting.get(watch, ()) if name in ("", wanted)}


def is_silent(path: str) -> bool:
    """Whether the kernel does not tell of what changes at a path: it is in /proc or /sys."""
    return path.startswith(_SILENT)


def _next_step(path: str) -> tuple[str, str]:
    """Return the directory nearest to `path`, itself excluded, that exists, and the next name on the way."""
    directory, name = split(path)
    while not isdir(directory):  # noqa: PTH112 -- as above
        directory, name = split(directory)
    return directory, name or "."


def _entries(path: str) -> Iterator[str]:
    """Yield `path` and each directory or link on the way to it that exists, but the root."""
    while (above := split(path)[0]) != path:
        if lexists(path):
            yield path
        path = above


_libc = ctypes.CDLL(None, use_errno=True)

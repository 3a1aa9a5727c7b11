"""Waiting for the kernel to say that something may have changed: files, mounts, network interfaces.

The pattern is always the same and loses nothing: arm, look, wait, look again.

    async with FileChanges(path) as changes:
        found = await changes.until(look)

A `Changes` never says what changed, only that it is worth another look. Where the kernel refuses
its service (no inotify instance left, no netlink in the sandbox) it falls back on a look at
growing intervals, so a probe works everywhere and merely costs more there.
"""

import asyncio
import contextlib
import ctypes
import math
import os
import select
import socket
from collections.abc import Callable
from types import TracebackType
from typing import Self, TypeVar

import anyio

T = TypeVar("T")

_FIRST_PAUSE_SECONDS = 0.01
_LONGEST_PAUSE_SECONDS = 1.0
_UNSETTLED_PAUSE_SECONDS = 0.001
_LONGEST_UNSETTLED_PAUSE_SECONDS = 0.25

# inotify(7). In a directory: created, moved here. Of the path: written, attributes (so: unlinked while
# open), closed after writing. Of both: removed, moved.
_IN_DIRECTORY = 0x100 | 0x80 | 0x400 | 0x800
_IN_FILE = 0x2 | 0x4 | 0x8 | 0x400 | 0x800
_REFUSED = -1
_SILENT = ("/proc/", "/sys/")
"""What the kernel changes there itself, inotify does not report."""

_RTMGRP_LINK_AND_ADDRESSES = 0x1 | 0x10 | 0x100


class Pause:
    """A growing interval between attempts: `first_seconds`, doubled each time up to `longest_seconds`."""

    def __init__(self, first_seconds: float, longest_seconds: float) -> None:
        """Begin with the shortest interval."""
        self._first_seconds = first_seconds
        self._longest_seconds = longest_seconds
        self._seconds = first_seconds

    def take(self) -> float:
        """Return the interval that is due (seconds), and lengthen the next."""
        seconds = self._seconds
        self._seconds = min(seconds * 2, self._longest_seconds)
        return seconds

    def reset(self) -> None:
        """Begin again with the shortest."""
        self._seconds = self._first_seconds


class Changes:
    """A descriptor that becomes readable at a change; base of the kinds below.

    Used as an asynchronous context manager on the event loop's thread; leaving it closes the
    descriptor.
    """

    def __init__(self) -> None:
        """Prepare; nothing is opened before the context is entered."""
        self._event = anyio.Event()
        self._descriptor = -1
        self._fallback = Pause(_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS)

    async def __aenter__(self) -> Self:
        """Begin to listen: whatever changes from now on ends a `wait`."""
        try:
            self._descriptor = self._open()
        except OSError:
            self._descriptor = -1  # what cannot listen looks again and again instead
        else:
            # A reader that stays registered: one registered for each wait would let epoll consume
            # a change of the mount table between look and wait.
            asyncio.get_running_loop().add_reader(self._descriptor, self._wake)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop listening."""
        if self._descriptor >= 0:
            asyncio.get_running_loop().remove_reader(self._descriptor)
        self._close()

    async def until(
        self, look: Callable[[], T | None], *, is_unsettled: Callable[[], bool] = lambda: False
    ) -> T:
        """Return the first thing that `look` finds; it is asked at once and after each change.

        While `is_unsettled`, the next step is one that the kernel does not report (bind(2) makes a
        file, the listen(2) after it does not): then it is asked again after 1 ms, growing to 250 ms.
        """
        pause = Pause(_UNSETTLED_PAUSE_SECONDS, _LONGEST_UNSETTLED_PAUSE_SECONDS)
        while True:
            self.rearm()
            if (found := look()) is not None:
                return found
            if await self.wait(pause.take() if is_unsettled() else math.inf):
                pause.reset()

    def rearm(self) -> None:
        """Forget the changes so far and follow what should be watched now."""
        self._event = anyio.Event()

    async def wait(self, at_most_seconds: float = math.inf) -> bool:
        """Return whether there was a change since `rearm`, as soon as there is one or after that time."""
        if self._descriptor < 0 or not self._is_told():
            at_most_seconds = min(at_most_seconds, self._fallback.take())
        with anyio.move_on_after(at_most_seconds):
            await self._event.wait()
            return True
        return False

    def _is_told(self) -> bool:
        return True

    def _wake(self) -> None:
        self._drain()
        self._event.set()

    def _open(self) -> int:
        raise NotImplementedError

    def _drain(self) -> None:
        raise NotImplementedError

    def _close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class FileChanges(Changes):
    """Something happened to a path: it, or a directory on the way to it, was made, written or moved.

    The path and its parents need not exist. A path through a symbolic link is watched both where
    it is written and where it leads. Writing to its neighbours wakes nobody.
    """

    def __init__(self, path: str) -> None:
        """Prepare to watch `path`; nothing is opened yet."""
        super().__init__()
        self._path = os.path.abspath(path)  # noqa: PTH100 -- keeps links, as resolve() does not
        self._watches: set[int] = set()

    def rearm(self) -> None:
        """Forget the changes so far and watch the path and the deepest directories that exist now."""
        super().rearm()
        if self._descriptor < 0:
            return
        targets: dict[str, int] = {}
        watches: set[int] = set()
        # What is made between the search and its watch would be missed: search until nothing is new.
        while targets != (found := self._targets()):
            targets = found
            watches = {self._watch(*target) for target in targets.items()}
        for old in self._watches - watches:
            _libc.inotify_rm_watch(self._descriptor, old)
        self._watches = watches

    def _is_told(self) -> bool:
        return _REFUSED not in self._watches and not self._path.startswith(_SILENT)

    def _targets(self) -> dict[str, int]:
        real = os.path.realpath(self._path)
        targets = {_deepest(self._path): _IN_DIRECTORY, _deepest(real): _IN_DIRECTORY}
        if os.path.exists(real):  # noqa: PTH110 -- a string in, as below
            targets[real] = _IN_FILE
        return targets

    def _watch(self, path: str, events: int) -> int:
        watch: int = _libc.inotify_add_watch(self._descriptor, os.fsencode(path), events)
        return watch

    def _open(self) -> int:
        descriptor: int = _libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if descriptor < 0:
            raise OSError(ctypes.get_errno(), "inotify_init1")
        return descriptor

    def _drain(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while os.read(self._descriptor, 65536):
                pass


class MountChanges(Changes):
    """Something was mounted or unmounted in our mount namespace."""

    def __init__(self) -> None:
        """Prepare; nothing is opened yet."""
        super().__init__()
        self._table = -1
        self._epoll: select.epoll | None = None

    def _open(self) -> int:
        self._table = os.open("/proc/self/mountinfo", os.O_RDONLY | os.O_CLOEXEC)
        # The table is always readable, so the event loop must not poll it directly: an epoll set of
        # our own, which is readable only when the table has changed, stands in between.
        self._epoll = select.epoll()
        self._epoll.register(self._table, select.EPOLLPRI | select.EPOLLERR)
        return self._epoll.fileno()

    def _drain(self) -> None:
        if self._epoll is not None:
            self._epoll.poll(0)

    def _close(self) -> None:
        if self._epoll is not None:
            self._epoll.close()
            self._epoll = None
        if self._table >= 0:
            os.close(self._table)
            self._table = -1
        self._descriptor = -1


class NetworkChanges(Changes):
    """A network interface or one of its addresses came, went or changed."""

    def __init__(self) -> None:
        """Prepare; nothing is opened yet."""
        super().__init__()
        self._socket: socket.socket | None = None

    def _open(self) -> int:
        kind = socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
        self._socket = socket.socket(socket.AF_NETLINK, kind, socket.NETLINK_ROUTE)
        self._socket.bind((0, _RTMGRP_LINK_AND_ADDRESSES))
        return self._socket.fileno()

    def _drain(self) -> None:
        if self._socket is None:
            return
        # ENOBUFS says that messages were lost: a change like any other.
        with contextlib.suppress(OSError):
            while self._socket.recv(65536):
                pass

    def _close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        self._descriptor = -1


def _deepest(path: str) -> str:
    """Return the directory nearest to `path`, itself excluded, that exists."""
    directory = os.path.dirname(path)  # noqa: PTH120 -- a string in, a string out
    while not os.path.isdir(directory):  # noqa: PTH112 -- as above
        directory = os.path.dirname(directory)  # noqa: PTH120 -- as above
    return directory


_libc = ctypes.CDLL(None, use_errno=True)

"""Waiting for the kernel to say that something may have changed: mounts, interfaces, files (`filechanges`).

The pattern is always the same and loses nothing: arm, look, wait, look again.

    async with FileChanges(path) as changes:
        found = await changes.until(look)

A `Changes` never says what changed, only that it is worth another look. Where the kernel refuses
its service (no inotify instance left, no netlink in the sandbox) it falls back on a look at
growing intervals, so a probe works everywhere and merely costs more there.
"""

import asyncio
import contextlib
import math
import os
import select
import socket
from abc import ABC, abstractmethod
from collections.abc import Callable
from types import TracebackType
from typing import Self, TypeVar

import anyio

T = TypeVar("T")

_FIRST_PAUSE_SECONDS = 0.01
_LONGEST_PAUSE_SECONDS = 1.0
_UNSETTLED_PAUSE_SECONDS = 0.001
_LONGEST_UNSETTLED_PAUSE_SECONDS = 0.25

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


class Changes(ABC):
    """A way to be told of changes; base of the kinds below.

    Used as an asynchronous context manager on the event loop's thread; leaving it gives back what
    it holds.
    """

    def __init__(self) -> None:
        """Prepare; nothing is opened before the context is entered."""
        self._event = anyio.Event()
        self._is_listening = False
        self._fallback = Pause(_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS)

    async def __aenter__(self) -> Self:
        """Begin to listen: whatever changes from now on ends a `wait`."""
        with contextlib.suppress(OSError):  # what cannot listen looks again and again instead
            self._listen()
            self._is_listening = True
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop listening."""
        self._stop()
        self._is_listening = False

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
        if not (self._is_listening and self._is_told()):
            at_most_seconds = min(at_most_seconds, self._fallback.take())
        with anyio.move_on_after(at_most_seconds):
            await self._event.wait()
            return True
        return False

    def changed(self) -> None:
        """End the `wait` that is under way, or the next one before a `rearm`."""
        self._event.set()

    def _is_told(self) -> bool:
        """Whether the kernel reports changes of just this thing, now that it listens."""
        return True

    @abstractmethod
    def _listen(self) -> None:
        """Have `changed` called at changes. Raises OSError if the kernel refuses."""

    @abstractmethod
    def _stop(self) -> None:
        """Give back whatever `_listen` got, complete or not."""


class _Readable(Changes):
    """Changes that show on a descriptor."""

    def __init__(self) -> None:
        super().__init__()
        self._descriptor = -1

    def _listen(self) -> None:
        self._descriptor = self._open()
        # A reader that stays registered: one registered for each wait would let epoll consume a
        # change of the mount table between look and wait.
        asyncio.get_running_loop().add_reader(self._descriptor, self._wake)

    def _stop(self) -> None:
        if self._descriptor >= 0:
            asyncio.get_running_loop().remove_reader(self._descriptor)
            self._descriptor = -1
        self._close()

    def _wake(self) -> None:
        self._drain()
        self.changed()

    @abstractmethod
    def _open(self) -> int:
        """Return a descriptor that is readable after a change."""

    @abstractmethod
    def _drain(self) -> None:
        """Make it unreadable until the next change."""

    @abstractmethod
    def _close(self) -> None:
        """Close whatever `_open` opened, complete or not."""


class MountChanges(_Readable):
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


class NetworkChanges(_Readable):
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

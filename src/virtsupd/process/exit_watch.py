"""How a process ended that is not our child: one that a virtsupd before us started.

Only a parent is told by wait(2). Everybody else is told by a pidfd that a process has ended, and has
to find out how: its zombie shows the status in /proc, and once somebody has reaped it, the kernel
tells it to who holds a pidfd from before (PIDFD_GET_INFO, Linux 6.15). Between the two lies the
reap, which PID 1 may put off for seconds.
"""

import asyncio
import fcntl
import os
import select
import signal
import struct
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto

from virtsupd.core.exits import ExitStatus, from_wait_status
from virtsupd.process.lives import zombie_status

REAP_SECONDS = 2.0
"""How long the reap is waited for. A PID 1 that looks every two seconds was seen."""

_PIDFD_GET_INFO = 0xC040FF0B
_INFO = struct.Struct("<QQ11Ii")  # pidfd_info: mask, cgroup, eleven ids, exit status
_WANTS_EXIT = 1 << 3


class _Untold(Enum):
    """Why there is no status."""

    UNTIL_REAPED = auto()
    FOR_GOOD = auto()


@dataclass(slots=True)
class _Reap:
    """What wakes us when a process that has ended is reaped, or has not been for too long."""

    epoll: select.epoll
    timer: asyncio.TimerHandle


class ExitWatch:
    """Calls once when a process ends, whoever's child it is, and says how, if anybody knows.

    All of it happens on the event loop that ran when it was made. The status is unknown
    (`ExitStatus()`) where the process was reaped before we looked and the kernel is older than 6.15,
    or where /proc hides it from us and nobody reaps it in time.
    """

    def __init__(
        self,
        pid: int,
        pidfd: int,
        on_end: Callable[[ExitStatus], None],
        *,
        reap_seconds: float = REAP_SECONDS,
    ) -> None:
        """Take over `pidfd`, which must be of `pid`, and begin to watch.

        Of a process that has ended already, `on_end` is called in a later turn of the loop.

        Raises:
            RuntimeError: no event loop runs; the pidfd stays the caller's.
        """
        self._loop = asyncio.get_running_loop()
        self._pid = pid
        self._on_end = on_end
        self._reap_seconds = reap_seconds
        self._reap: _Reap | None = None
        self.pidfd: int | None = pidfd
        """To signal it through; None once the end was told or the watch closed."""
        self._loop.add_reader(pidfd, self._ended)

    def told(self, status: ExitStatus) -> None:
        """Take the status from who reaped the process, for it may have become our child meanwhile.

        `on_end` is called with it at once. Nothing happens when the end was told before or the
        watch is closed.
        """
        if self.pidfd is not None:
            self.close()
            self._on_end(status)

    def close(self) -> None:
        """Watch no more: `on_end` is not called from here on. May be called twice."""
        if self.pidfd is None:
            return
        self._loop.remove_reader(self.pidfd)
        self._forget_reap()
        os.close(self.pidfd)
        self.pidfd = None

    def _ended(self) -> None:
        """Tell how it ended, or wait for the reap. The pidfd stays readable: it is read no more."""
        if self.pidfd is None:
            return
        self._loop.remove_reader(self.pidfd)
        status = _zombie_behind(self._pid, self.pidfd) or _asked(self.pidfd)
        if status is _Untold.UNTIL_REAPED:
            self._await_reap(self.pidfd)
        else:
            self._tell(status)

    def _await_reap(self, pidfd: int) -> None:
        # The loop's own epoll would be woken without end by a process that has ended. In an epoll of
        # ours the pidfd is registered for nothing, so that it shows what cannot be masked: EPOLLHUP.
        epoll = select.epoll()
        epoll.register(pidfd, 0)
        self._loop.add_reader(epoll.fileno(), self._look_again)
        self._reap = _Reap(epoll, self._loop.call_later(self._reap_seconds, self._look_again))

    def _look_again(self) -> None:
        if self.pidfd is not None:
            self._tell(_asked(self.pidfd))

    def _tell(self, status: ExitStatus | _Untold) -> None:
        self.told(ExitStatus() if isinstance(status, _Untold) else status)

    def _forget_reap(self) -> None:
        if self._reap is not None:
            self._reap.timer.cancel()
            self._loop.remove_reader(self._reap.epoll.fileno())
            self._reap.epoll.close()
            self._reap = None


def _zombie_behind(pid: int, pidfd: int) -> ExitStatus | None:
    """Return what the zombie of a pidfd shows in /proc; None if it is reaped or hidden from us."""
    status = zombie_status(pid)
    # Looked at last: while it is unreaped, its number cannot have become another zombie's.
    return None if status is None or _is_reaped(pidfd) else status


def _is_reaped(pidfd: int) -> bool:
    try:
        signal.pidfd_send_signal(pidfd, 0)
    except ProcessLookupError:
        return True
    except OSError:  # it is there, and may not be signalled by us
        return False
    return False


def _asked(pidfd: int) -> ExitStatus | _Untold:
    """Ask the kernel how a process ended that was reaped."""
    answer = bytearray(_INFO.size)
    _INFO.pack_into(answer, 0, _WANTS_EXIT, *([0] * 13))
    try:
        fcntl.ioctl(pidfd, _PIDFD_GET_INFO, answer)
    except OSError:
        # ENOTTY before Linux 6.11, EINVAL up to 6.12, ESRCH after the reap up to 6.14.
        return _Untold.FOR_GOOD
    mask, *_, status = _INFO.unpack(answer)
    return from_wait_status(status) if mask & _WANTS_EXIT else _Untold.UNTIL_REAPED

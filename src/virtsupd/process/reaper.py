"""The only one that waits for children.

Waiting for "any child" takes statuses away from whoever wants one in particular, so it happens here
alone: ask without reaping who has ended, then reap that one by number, until nobody is left. Ended
children that nobody watches are orphans that services left behind; as subreaper virtsupd inherits
them and must bury them at once: libvirtd takes an unburied QEMU for one that survived KILL.
"""

import asyncio
import ctypes
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import structlog

from virtsupd.core.exits import ExitStatus

_PR_SET_CHILD_SUBREAPER = 36

_log = structlog.get_logger()


def become_subreaper() -> None:
    """Inherit the orphans of all descendants, as PID 1 does. Kept over exec, not over fork.

    Raises:
        OSError: the kernel refuses, which Linux does not since 3.4.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


class Reaper:
    """Reaps every child as soon as it ends and tells whoever watched it.

    Everything happens on the event loop's thread. A pid is watched in the same turn of the loop in
    which it was made, so its end cannot be missed. `running` must be entered once.
    """

    def __init__(self) -> None:
        self._on_exit: dict[int, Callable[[ExitStatus], None]] = {}

    def watch(self, pid: int, on_exit: Callable[[ExitStatus], None]) -> None:
        """Call `on_exit` once, right after the child `pid` was reaped.

        Raises:
            ValueError: somebody watches it already, and goes on to do so.
        """
        if pid in self._on_exit:
            raise ValueError(f"process {pid} is watched already")
        self._on_exit[pid] = on_exit

    def watches(self, pid: int) -> bool:
        """Tell whether somebody watches a process."""
        return pid in self._on_exit

    def forget(self, pid: int) -> None:
        """Take back a watch, if there is one; the child becomes a stranger and is still reaped."""
        self._on_exit.pop(pid, None)

    def drain(self) -> int:
        """Reap all children that have ended; return how many. Never waits."""
        count = 0
        while (pid := _next_ended()) is not None:
            status = _reap(pid)
            if status is not None:
                count += 1
                self._tell(pid, status)
        return count

    @asynccontextmanager
    async def running(self, *, begins_later: bool = False) -> AsyncIterator[None]:
        """Reap on every SIGCHLD of the running loop, beginning with who has ended already.

        `begins_later` leaves the latter to the caller's `drain`: children that this process had
        before an exec are to be watched first. SIGCHLD is to be blocked until then.
        """
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGCHLD, self.drain)
        try:
            if not begins_later:
                self.drain()
            yield
        finally:
            loop.remove_signal_handler(signal.SIGCHLD)

    def _tell(self, pid: int, status: ExitStatus) -> None:
        on_exit = self._on_exit.pop(pid, None)
        if on_exit is None:
            return
        try:
            on_exit(status)
        except Exception:  # noqa: BLE001 - one bad listener must not keep other children unreaped
            _log.exception("exit callback failed", pid=pid)


def _next_ended() -> int | None:
    """Return a child that has ended, leaving it unreaped."""
    try:
        found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return None
    return None if found is None else found.si_pid


def _reap(pid: int) -> ExitStatus | None:
    try:
        ended = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG)
    except ChildProcessError:
        return None
    if ended is None:
        return None
    if ended.si_code == os.CLD_EXITED:
        return ExitStatus(code=ended.si_status)
    return ExitStatus(signal=ended.si_status, dumped_core=ended.si_code == os.CLD_DUMPED)

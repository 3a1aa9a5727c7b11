"""Being told when the wall clock is set: what is due at a wall time is due at another moment then.

A timer of the event loop counts monotonic seconds; somebody who sets the clock, or a machine that
wakes from suspend, makes it wrong. The kernel says so through a timer descriptor that is cancelled
by such a step (timerfd_create(2), TFD_TIMER_CANCEL_ON_SET). It has no other purpose here, so it is
set to a time that does not come. Slewing (what NTP does all day) moves both clocks alike and is
no step.
"""

import asyncio
import ctypes
import errno
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog

log = structlog.get_logger()

_TFD_TIMER_ABSTIME = 1
_TFD_TIMER_CANCEL_ON_SET = 2

_BITS = 8 * ctypes.sizeof(ctypes.c_long)
_NEVER_SECONDS = min(9_000_000_000, 2 ** (_BITS - 1) - 1)
"""The year 2255, the last that the kernel can count to in nanoseconds (2038 where time is short)."""
_TimerTimes = ctypes.c_long * 4
"""Struct itimerspec: seconds and nanoseconds of the period, which is none, and of the time."""


class ClockSteps:
    """Calls `on_step` on the running loop after each time the wall clock was set.

    Steps in quick succession may be told as one. A call means that the clock may show another time
    than expected, not how much. Nothing is told after `close`. `read` is the system call: whoever
    may not set the machine's clock has one that says the clock was set.

    Raises:
        OSError: the kernel refuses (a sandbox); nothing is left open.
    """

    def __init__(
        self, on_step: Callable[[], None], *, read: Callable[[int, int], bytes] = os.read
    ) -> None:
        self._on_step = on_step
        self._read = read
        self._loop = asyncio.get_running_loop()
        self._descriptor = _checked(
            _libc.timerfd_create(time.CLOCK_REALTIME, os.O_NONBLOCK | os.O_CLOEXEC),
            "timerfd_create",
        )
        try:
            self._arm()
        except OSError:
            os.close(self._descriptor)
            raise
        self._loop.add_reader(self._descriptor, self._look)

    def fileno(self) -> int:
        """Return the timer's descriptor; -1 once it is closed."""
        return self._descriptor

    def close(self) -> None:
        """Tell nothing any more; may be called again."""
        if self._descriptor >= 0:
            self._loop.remove_reader(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = -1

    def _arm(self) -> None:
        times = _TimerTimes(0, 0, _NEVER_SECONDS, 0)
        flags = _TFD_TIMER_ABSTIME | _TFD_TIMER_CANCEL_ON_SET
        _checked(
            _libc.timerfd_settime(self._descriptor, flags, ctypes.byref(times), None),
            "timerfd_settime",
        )

    def _look(self) -> None:
        try:
            self._read(self._descriptor, 8)
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno != errno.ECANCELED:
                raise
        # Set anew first: a step while `on_step` looks at the clock is told again. What was read
        # without an error is the time that does not come; a needless call is the safe answer.
        self._arm()
        self._on_step()


@contextmanager
def noticing_steps(on_step: Callable[[], None]) -> Iterator[None]:
    """Have steps told within a block, on the running loop, if the kernel lets us know of them."""
    try:
        steps = ClockSteps(on_step)
    except OSError as error:
        log.warning("a wall clock that is set goes unnoticed", reason=str(error))
        yield
        return
    try:
        yield
    finally:
        steps.close()


_libc = ctypes.CDLL(None, use_errno=True)


def _checked(result: int, call: str) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), call)
    return result

"""The kernel's timer is real; that the clock was set is only said: no test sets a machine's clock."""

import ctypes
import errno
import os
import resource
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest
from structlog.testing import capture_logs

from virtsupd.process.clock_steps import ClockSteps, noticing_steps

libc = ctypes.CDLL(None, use_errno=True)
Times = ctypes.c_long * 4


class Kernel:
    """Says what a read of the timer came to, in turn; afterwards that there is nothing to read."""

    def __init__(self, *errors: int) -> None:
        self.errors = list(errors)
        self.has_read = anyio.Event()

    def read(self, descriptor: int, count: int) -> bytes:
        """Read the real timer, which is readable, and say something else."""
        found = os.read(descriptor, count)
        self.has_read.set()
        error = self.errors.pop(0) if self.errors else errno.EAGAIN
        if error:
            raise OSError(error, os.strerror(error))
        return found


class Told:
    """Counts the steps that were told."""

    def __init__(self, then: Callable[[], None] = lambda: None) -> None:
        self.times = 0
        self.event = anyio.Event()
        self.then = then

    def __call__(self) -> None:
        self.times += 1
        self.then()
        self.event.set()


def expire(steps: ClockSteps) -> None:
    """Make the timer readable: it elapses in a microsecond instead of in centuries."""
    assert libc.timerfd_settime(steps.fileno(), 0, ctypes.byref(Times(0, 0, 0, 1000)), None) == 0


def rest_seconds(steps: ClockSteps) -> int:
    """Return how long the timer has to go."""
    times = Times()
    assert libc.timerfd_gettime(steps.fileno(), ctypes.byref(times)) == 0
    return int(times[2])


async def test_a_step_is_told_once_and_the_next_one_too() -> None:
    told = Told()
    steps = ClockSteps(told, read=Kernel(errno.ECANCELED, errno.ECANCELED).read)
    with anyio.fail_after(5):
        for times in (1, 2):
            assert rest_seconds(steps) > 10**8, "it waits for no time that comes"
            told.event = anyio.Event()
            expire(steps)
            await told.event.wait()
            assert told.times == times
    steps.close()


async def test_nothing_is_told_of_nothing() -> None:
    told, kernel = Told(), Kernel(errno.EAGAIN)
    steps = ClockSteps(told, read=kernel.read)
    expire(steps)
    with anyio.fail_after(5):
        await kernel.has_read.wait()
    assert told.times == 0
    steps.close()


async def test_whoever_is_told_may_close_and_is_told_no_more() -> None:
    steps: ClockSteps | None = None

    def close() -> None:
        assert steps is not None
        steps.close()
        steps.close()

    told = Told(close)
    steps = ClockSteps(told, read=Kernel(errno.ECANCELED).read)
    expire(steps)
    with anyio.fail_after(5):
        await told.event.wait()
    assert steps.fileno() == -1


async def test_what_no_timer_is_left_for_is_an_error_and_leaves_nothing_open() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest_free = os.dup(0)
    os.close(lowest_free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, hard))
    try:
        with pytest.raises(OSError, match="timerfd_create") as caught:
            ClockSteps(Told())
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert caught.value.errno == errno.EMFILE


async def test_steps_are_told_within_a_block_alone() -> None:
    def timers() -> int:
        links = (f for f in Path("/proc/self/fd").iterdir() if f.is_symlink())
        return sum(str(link.readlink()) == "anon_inode:[timerfd]" for link in links)

    with noticing_steps(Told()):
        assert timers() == 1
    assert timers() == 0


async def test_without_descriptors_a_step_goes_unnoticed_and_nothing_else() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        with capture_logs() as logs, noticing_steps(Told()):
            pass
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert [line["event"] for line in logs] == ["a wall clock that is set goes unnoticed"]

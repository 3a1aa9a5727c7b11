"""Signals that virtsupd itself is sent, as calls on the event loop."""

import asyncio
import os
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager


@contextmanager
def handling(handlers: Mapping[str, Callable[[], None]]) -> Iterator[None]:
    """Call the handlers of these signals ("SIGTERM") from the running loop, and restore them after."""
    loop = asyncio.get_running_loop()
    numbers = {signal.Signals[name]: handler for name, handler in handlers.items()}
    for number, handler in numbers.items():
        loop.add_signal_handler(number, handler)
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


def take_none_in_this_thread() -> None:
    """Leave all signals to the main thread: one caught here would be lost with an upgrade in place."""
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())


def is_in_foreground() -> bool:
    """Whether a person started us in the foreground of a terminal, wherever our input comes from."""
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)

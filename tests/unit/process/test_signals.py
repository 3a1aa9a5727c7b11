"""Signals to virtsupd itself."""

import os
import signal
import subprocess
import sys
import threading

import anyio
import pytest
from tests.support.daemon import terminal

from virtsupd.process.signals import handling, is_in_foreground, take_none_in_this_thread

pytestmark = pytest.mark.process

ASK = "from virtsupd.process.signals import is_in_foreground; print(is_in_foreground())"


async def test_signals_become_calls_and_are_restored() -> None:
    before = signal.getsignal(signal.SIGUSR1)
    heard: list[str] = []
    done = anyio.Event()
    handlers = {"SIGUSR1": lambda: heard.append("one"), "SIGUSR2": done.set}
    with handling(handlers):
        os.kill(os.getpid(), signal.SIGUSR1)
        os.kill(os.getpid(), signal.SIGUSR2)
        with anyio.fail_after(10):
            await done.wait()
    assert heard == ["one"]
    assert signal.getsignal(signal.SIGUSR1) in (before, signal.SIG_DFL)


def test_a_thread_can_leave_all_signals_to_the_first() -> None:
    masks: list[set[int]] = []

    def look() -> None:
        take_none_in_this_thread()
        masks.append(set(signal.pthread_sigmask(signal.SIG_BLOCK, ())))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert {signal.SIGTERM, signal.SIGCHLD, signal.SIGHUP} <= masks[0]
    assert signal.SIGTERM not in signal.pthread_sigmask(signal.SIG_BLOCK, ())


def asked(*prefix: str, number: int | None = None) -> str:
    done = subprocess.run(
        [*prefix, sys.executable, "-c", ASK],
        stdin=number if number is not None else subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
        start_new_session=True,
    )
    return done.stdout.strip()


def test_without_a_terminal_nobody_is_in_front() -> None:
    assert asked() == "False"


def test_the_foreground_of_a_terminal_is_known_whatever_the_input() -> None:
    with terminal() as (_, programs):
        assert asked("setsid", "--ctty", "--wait", number=programs) == "True"
    with terminal() as (_, programs):
        line = ("sh", "-c", 'exec "$@" < /dev/null', "sh")
        assert asked("setsid", "--ctty", "--wait", *line, number=programs) == "True"


def test_the_background_of_a_terminal_is_known() -> None:
    with terminal() as (_, programs):
        background = ("bash", "-c", 'set -m; "$@" & wait', "bash")
        assert asked("setsid", "--ctty", "--wait", *background, number=programs) == "False"
    assert is_in_foreground() in (True, False)

"""How virtsupd ends: what the first who asks for it decides."""

import os
import socket
from pathlib import Path

import anyio
import pytest
from tests.support.supervising import SECONDS, service, supervising

from virtsupd.config.settings import OnTerm
from virtsupd.core.snapshot import State
from virtsupd.core.spec import Stop
from virtsupd.daemon.ending import Ending, meant_by_interrupt, meant_by_term
from virtsupd.process.clock import SystemClock
from virtsupd.process.own_notify import OwnNotify

pytestmark = pytest.mark.process


async def test_a_quit_leaves_the_services_alone() -> None:
    async with supervising(service()) as s:
        ending = Ending(s.supervisor, OwnNotify(), SystemClock())
        ending.begin("quit", who="a test")
        with anyio.fail_after(SECONDS):
            await ending.complete()
        assert ending.how == "quit"
        assert s.snapshot().state is State.RUNNING


async def test_a_shutdown_is_complete_when_nothing_runs_and_stays_one() -> None:
    async with supervising(service()) as s:
        ending = Ending(s.supervisor, OwnNotify(), SystemClock())
        ending.begin("shutdown", who="one")
        ending.begin("quit", who="another")
        with anyio.fail_after(SECONDS):
            await ending.complete()
        assert ending.how == "shutdown"
        assert s.snapshot().state is State.STOPPED


async def test_a_shutdown_that_is_given_up_becomes_a_quit() -> None:
    async with supervising(service()) as s:
        ending = Ending(s.supervisor, OwnNotify(), SystemClock())
        s.supervisor.has_given_up = True
        ending.begin("shutdown", who="a test")
        with anyio.fail_after(SECONDS):
            await ending.complete()
        assert ending.how == "quit"


async def test_who_started_us_is_told_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as listener:
        listener.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        async with supervising(service()) as s:
            ending = Ending(s.supervisor, OwnNotify(), SystemClock())
            ending.begin("quit", who="one")
            ending.begin("quit", who="another")
        assert listener.recv(100) == b"STOPPING=1"
        with pytest.raises(BlockingIOError):
            listener.recv(100)
    assert "NOTIFY_SOCKET" not in os.environ


async def test_a_countdown_begins_when_a_shutdown_has_nothing_left_to_wait_for(
    tmp_path: Path,
) -> None:
    address = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as listener:
        listener.bind(str(address))
        slow = service(stop=Stop("SIGWINCH", delay_seconds=1.5))  # which nobody minds
        async with supervising(slow) as s:
            ending = Ending(s.supervisor, OwnNotify(str(address)), SystemClock())
            ending.begin("shutdown", who="a test")
            with anyio.fail_after(SECONDS):
                await ending.complete()
        said = [listener.recv(100) for _ in range(3)]
        assert [b"EXTEND_TIMEOUT_USEC=" in words for words in said] == [True, True, False]
        assert said[-1] == b"STOPPING=1"


@pytest.mark.parametrize("on_term", ["quit", "shutdown"])
def test_term_means_what_the_configuration_says(on_term: OnTerm) -> None:
    """What `auto` means takes a terminal to test: tests/system/test_life.py."""
    assert meant_by_term(on_term) == on_term
    assert meant_by_interrupt(on_term) in (on_term, "shutdown")


async def test_a_shutdown_of_an_earlier_virtsupd_goes_on() -> None:
    async with supervising(service()) as s:
        ending = Ending(s.supervisor, OwnNotify(), SystemClock())
        ending.go_on()
        assert ending.how is None
        s.supervisor.shut_down("an earlier virtsupd")
        ending.go_on()
        ending.begin("quit", who="another")
        with anyio.fail_after(SECONDS):
            await ending.complete()
        assert ending.how == "shutdown"

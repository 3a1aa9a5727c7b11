"""A conversation with virtsupd: replies in pieces, and ends in the middle."""

import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.fake_varlink import HANG_UP, SILENCE, FakeSupervisor, fake_supervisor, reports

from virtsupd.ganeti.asking import (
    AgainError,
    Conversation,
    FailedError,
    UnreachedError,
    Virtsupd,
)


@pytest.fixture(name="listener")
def make_listener(tmp_path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(tmp_path / "s"))
    listener.listen()
    return listener


def test_a_reply_may_come_byte_by_byte_and_be_looked_for_meanwhile(
    listener: socket.socket, tmp_path: Path
) -> None:
    text = b'{"parameters":{"reports":[{"name":"\\u00e4\\ud83d\\ude00","at":1.5e3}]}}\0'
    with listener, Conversation(str(tmp_path / "s")) as conversation:
        peer, _ = listener.accept()
        with peer:
            conversation.ask("Start", '{"names":["x"]}')
            call = peer.recv(1000)
            assert call == (
                b'{"method":"org.virtsupd.Supervisor.Start","parameters":{"names":["x"]}}\0'
            )
            for byte in text[:-1]:
                peer.sendall(bytes([byte]))
                assert conversation.answer(0.001) is None
            peer.sendall(text[-1:])
            found = conversation.answer(10)
    assert found == {"reports": [{"name": "ä😀", "at": 1500.0}]}


def test_an_end_in_the_middle_of_a_reply_is_one_to_ask_again_after(
    listener: socket.socket, tmp_path: Path
) -> None:
    with listener, Conversation(str(tmp_path / "s")) as conversation:
        peer, _ = listener.accept()
        peer.sendall(b'{"parameters":')
        peer.close()
        with pytest.raises(AgainError, match="virtsupd ended while it was asked at"):
            conversation.answer(10)
        with pytest.raises(AgainError):
            conversation.ask("Start", "{}")


def test_one_that_nobody_listens_at_is_named(listener: socket.socket, tmp_path: Path) -> None:
    listener.close()
    with pytest.raises(FailedError, match=f"reached at {tmp_path}/s: Connection refused; nothing"):
        Virtsupd(str(tmp_path / "s")).status("x")


def test_a_question_that_is_not_answered_is_given_up_and_a_command_is_waited_for(
    tmp_path: Path,
) -> None:
    with fake_supervisor(tmp_path / "s") as fake:
        virtsupd = Virtsupd(str(fake.path), answer_seconds=0.01)
        fake.answers["Status"] = [SILENCE]
        with pytest.raises(FailedError, match=f"virtsupd does not answer at {tmp_path}/s"):
            virtsupd.status("x")

        def once_it_was_waited_for(_: dict[str, Any]) -> Iterator[dict[str, Any]]:
            fake.called.clear()
            fake.called.wait(0.05)
            yield reports(("x", "done", "x has been stopped"))

        fake.answers["Stop"] = once_it_was_waited_for
        assert virtsupd.command("Stop", "x") == ("done", "x has been stopped")


def test_a_connection_that_is_reset_is_one_to_ask_again_after(
    listener: socket.socket, tmp_path: Path
) -> None:
    with listener, Conversation(str(tmp_path / "s")) as conversation:
        peer, _ = listener.accept()
        conversation.ask("Start", "{}")
        peer.close()  # what it has not read resets the connection
        with pytest.raises(AgainError):
            conversation.answer(10)


def test_the_end_of_a_program_that_becomes_another_may_be_a_reset(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen()
        with Conversation(str(tmp_path / "s")) as conversation:
            peer, _ = listener.accept()
            conversation.ask("Start", "{}")
            peer.sendall(b'{"error":"org.virtsupd.Supervisor.Reexecuting"}\0')
            peer.close()
            with pytest.raises(AgainError):
                conversation.answer(10)


def test_one_that_dies_while_it_is_asked_is_asked_again_when_it_is_back(tmp_path: Path) -> None:
    path = tmp_path / "s"
    back: list[Any] = []

    def dies(_: dict[str, Any]) -> Iterator[dict[str, Any]]:
        path.unlink()
        back.append(threading.Timer(0.3, returns))
        back[0].start()
        yield HANG_UP

    def returns() -> None:
        second = FakeSupervisor(path)
        second.answers["Stop"] = [reports(("x", "done", "x has been stopped"))]
        second.listen()
        back.append(second)

    with fake_supervisor(path) as first:
        first.answers["Stop"] = dies
        assert Virtsupd(str(path)).command("Stop", "x") == ("done", "x has been stopped")
    back[1].close()


def test_one_that_does_not_come_back_may_have_done_it(tmp_path: Path) -> None:
    path = tmp_path / "s"

    def dies(_: dict[str, Any]) -> Iterator[dict[str, Any]]:
        path.unlink()
        yield HANG_UP

    with fake_supervisor(path) as virtsupd:
        virtsupd.answers["Stop"] = dies
        with pytest.raises(
            UnreachedError, match="ended while it was asked, and what was asked may"
        ):
            Virtsupd(str(path), return_seconds=0.05).command("Stop", "x")


def test_one_that_dies_while_a_start_is_looked_at_is_asked_to_start_again(tmp_path: Path) -> None:
    path = tmp_path / "s"
    begun: list[None] = []

    def start(_: dict[str, Any]) -> Iterator[dict[str, Any]]:
        begun.append(None)
        yield SILENCE if len(begun) == 1 else reports(("x", "done", ""))

    def look() -> int | None:
        raise UnreachedError("no such file")

    with fake_supervisor(path) as virtsupd:
        virtsupd.answers["Start"] = start
        assert Virtsupd(str(path)).start("x", ["--once"], look) == ("done", "")

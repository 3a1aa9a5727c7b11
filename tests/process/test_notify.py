"""The notify socket with real senders, and the senders that misbehave."""

import array
import contextlib
import os
import socket
from pathlib import Path

import anyio
import pytest
from tests.support.probing import child, hear

from virtsupd.errors import SpawnError
from virtsupd.process.notify import NotifyMessage, NotifySocket

pytestmark = pytest.mark.process


class Mailbox:
    """Keeps what arrives, and says when there is enough."""

    def __init__(self) -> None:
        self.messages: list[NotifyMessage] = []
        self._arrived = anyio.Event()

    def __call__(self, message: NotifyMessage) -> None:
        self.messages.append(message)
        self._arrived.set()

    async def until(self, count: int) -> list[NotifyMessage]:
        with anyio.fail_after(5):
            while len(self.messages) < count:
                self._arrived = anyio.Event()
                await self._arrived.wait()
        return self.messages


def sender(path: Path) -> socket.socket:
    made = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    made.connect(str(path))
    return made


def fill(service: socket.socket) -> None:
    """Send until the kernel takes no more."""
    with contextlib.suppress(BlockingIOError):
        while True:
            service.send(b"STATUS=again")


def names_in(directory: Path) -> list[str]:
    return [path.name for path in directory.iterdir()]


async def test_a_message_comes_with_the_senders_pid_and_uid(tmp_path: Path) -> None:
    mail = Mailbox()
    listener = NotifySocket(tmp_path / "notify", on_message=mail)
    with sender(tmp_path / "notify") as service:
        service.send(b"READY=1\nSTATUS=a=b\nX_OWN=1\nnoise\n")
    (message,) = await mail.until(1)
    listener.close()
    assert (message.pid, message.uid) == (os.getpid(), os.getuid())
    assert message.fields == {"READY": "1", "STATUS": "a=b", "X_OWN": "1"}


async def test_a_barrier_is_let_go_after_the_messages_before_it(tmp_path: Path) -> None:
    mail = Mailbox()
    listener = NotifySocket(tmp_path / "notify", on_message=mail)
    with child("ready_notify.py", tmp_path / "notify") as process:
        ready, barrier = await mail.until(2)
        assert await anyio.to_thread.run_sync(hear, process) == "passed"
        assert ready.pid == barrier.pid == process.pid
    listener.close()
    assert ready.fields["READY"] == "1"


async def test_bad_messages_cost_nobody_anything(tmp_path: Path) -> None:
    mail = Mailbox()
    listener = NotifySocket(tmp_path / "notify", on_message=mail)
    with sender(tmp_path / "notify") as service:
        service.send(b"A" * 4097)
        service.send(b"")
        service.send(b"STATUS=\xff\xfe\0")
        many = array.array("i", [service.fileno()] * 253)
        service.sendmsg([b"FDSTORE=1"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, many)])
        service.send(b"READY=1")
    messages = await mail.until(4)
    listener.close()
    assert [dict(message.fields) for message in messages] == [
        {},
        {"STATUS": "\ufffd\ufffd\0"},
        {"FDSTORE": "1"},
        {"READY": "1"},
    ]


async def test_a_flood_leaves_turns_to_others(tmp_path: Path) -> None:
    mail = Mailbox()
    listener = NotifySocket(tmp_path / "notify", on_message=mail)
    with sender(tmp_path / "notify") as service:
        service.setblocking(False)
        taken = []
        for _ in range(20):
            fill(service)
            before = len(mail.messages)
            await anyio.lowlevel.checkpoint()
            taken.append(len(mail.messages) - before)
    listener.close()
    assert 0 < max(taken) <= 64


async def test_a_successor_takes_the_path_without_a_gap_and_keeps_it(tmp_path: Path) -> None:
    first, second = Mailbox(), Mailbox()
    path = tmp_path / "notify"
    old = NotifySocket(path, on_message=first)
    new = NotifySocket(path, on_message=second)
    old.close()
    assert path.stat().st_mode & 0o777 == 0o666
    with sender(path) as service:
        service.send(b"READY=1")
    await second.until(1)
    new.close()
    new.close()
    assert names_in(tmp_path) == []


async def test_a_message_can_be_taken_before_the_loop_turns(tmp_path: Path) -> None:
    mail = Mailbox()
    listener = NotifySocket(tmp_path / "notify", on_message=mail)
    with sender(tmp_path / "notify") as service:
        service.send(b"READY=1")
    listener.drain()
    assert len(mail.messages) == 1
    listener.close()
    listener.drain()


async def test_a_path_of_107_bytes_is_bound_and_a_longer_one_refused(tmp_path: Path) -> None:
    deep = tmp_path / "d"
    deep.mkdir()
    name = "n" * (106 - len(os.fsencode(deep)))
    NotifySocket(deep / name, on_message=Mailbox()).close()
    with pytest.raises(SpawnError, match="108 bytes are too long") as caught:
        NotifySocket(deep / (name + "n"), on_message=Mailbox())
    assert (caught.value.stage, caught.value.is_permanent) == ("socket", True)


async def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(SpawnError, match=r"cannot bind .*/none/notify: No such file"):
        NotifySocket(tmp_path / "none" / "notify", on_message=Mailbox())
    (tmp_path / "notify").mkdir()
    with pytest.raises(SpawnError, match="cannot bind"):
        NotifySocket(tmp_path / "notify", on_message=Mailbox())
    assert names_in(tmp_path) == ["notify"]


async def test_a_socket_is_inherited_with_the_messages_that_came_meanwhile(tmp_path: Path) -> None:
    path = tmp_path / "notify"
    old = NotifySocket(path, on_message=Mailbox())
    inherited = os.dup(old.fileno())
    old._loop.remove_reader(old.fileno())  # as an exec does
    with sender(path) as service:
        service.send(b"READY=1")
    old._socket.close()
    mail = Mailbox()
    new = NotifySocket(path, on_message=mail, inherited=inherited)
    (message,) = await mail.until(1)
    assert message.pid == os.getpid()
    assert new.fileno() == inherited
    new.close()
    assert (new.fileno(), names_in(tmp_path)) == (-1, [])

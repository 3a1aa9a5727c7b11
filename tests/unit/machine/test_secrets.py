"""The secret service's protocol: what is sent, to whom, and what a guest may say first."""

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest
from tests.support.hand_clock import HandClock

from virtsupd.errors import NotReadyError
from virtsupd.machine.secrets import SecretsError, deliver, payload
from virtsupd.process.clock import SystemClock

GREETING = b"(secret-service-server (version 0))"
CONTENT = b"(secrets (version 0) (files ()))"
SECONDS = 10.0


def put(root: Path, name: str, content: bytes, mode: int = 0o600) -> Path:
    file = root / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    file.chmod(mode)
    return file


# What is sent


def test_files_are_listed_in_order_with_size_and_whole_mode(tmp_path: Path) -> None:
    put(tmp_path, "etc/ssh/key", b"secret\n", 0o600)
    put(tmp_path, "etc/guix/acl", b"(acl)", 0o644)
    put(tmp_path, "etc/guix-acl", b"", 0o400)
    assert payload(str(tmp_path)) == (
        b'(secrets (version 0) (files (("/etc/guix-acl" 0 33024) ("/etc/guix/acl" 5 33188)'
        b' ("/etc/ssh/key" 7 33152))))(acl)secret\n'
    )


@pytest.mark.parametrize("make", [None, "missing", "empty"])
def test_without_files_an_empty_list_is_sent(tmp_path: Path, make: str | None) -> None:
    if make == "empty":
        (tmp_path / "empty/etc").mkdir(parents=True)
    assert payload(make and str(tmp_path / make)) == CONTENT


def test_a_link_is_sent_as_what_it_leads_to(tmp_path: Path) -> None:
    target = put(tmp_path, "elsewhere", b"x", 0o640)
    (tmp_path / "root").mkdir()
    (tmp_path / "root/key").symlink_to(target)
    assert payload(str(tmp_path / "root")).endswith(b'(("/key" 1 33184))))x')


def test_quotes_in_names_are_escaped(tmp_path: Path) -> None:
    put(tmp_path, 'a"\\b', b"")
    assert b'("/a\\"\\\\b" 0 33152)' in payload(str(tmp_path))


def _dangling(root: Path) -> None:
    (root / "x").symlink_to("nowhere")


def _to_directory(root: Path) -> None:
    (root / "d").mkdir()
    (root / "x").symlink_to("d")


def _fifo(root: Path) -> None:
    os.mkfifo(root / "x")


def _umlaut(root: Path) -> None:
    put(root, "schlüssel", b"")


def _heavy(root: Path) -> None:
    for name in "abcde":
        (root / name).touch()
        os.truncate(root / name, 16 * 1024 * 1024)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (_dangling, "x: leads nowhere"),
        (_to_directory, "no regular file"),
        (_fifo, "no regular file"),
        (_umlaut, "not printable ASCII"),
        (_heavy, "more than 67108864 bytes"),
    ],
)
def test_what_cannot_be_sent_is_refused_by_name(
    tmp_path: Path, spoil: Callable[[Path], None], said: str
) -> None:
    spoil(tmp_path)
    with pytest.raises(SecretsError, match=said):
        payload(str(tmp_path))


# Who gets it


@contextmanager
def guest(*talks: Callable[[socket.socket], None]) -> Iterator[int]:
    """Run a guest that takes one connection after the other, each in its own way."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            for talk in talks:
                connection, _ = server.accept()
                with connection:
                    talk(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            thread.join(SECONDS)


class Taker:
    """Greets in pieces, and keeps what it gets."""

    def __init__(self, greeting: bytes = GREETING) -> None:
        self.greeting = greeting
        self.got = b""

    def __call__(self, connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in self.greeting:
            connection.send(bytes([byte]))
        while piece := connection.recv(65536):
            self.got += piece


def hangs_up(connection: socket.socket) -> None:
    connection.send(GREETING[:10])


def resets(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


async def given(port: int, content: bytes = CONTENT) -> list[str]:
    notes: list[str] = []
    with anyio.fail_after(SECONDS):
        await deliver(port, content, is_ours=lambda: True, clock=SystemClock(), note=notes.append)
    return notes


@pytest.mark.parametrize(
    "greeting", [GREETING, b"(secret-service-server\n (version 0 1))", b" \n" + GREETING]
)
async def test_a_greeting_in_pieces_is_enough(greeting: bytes) -> None:
    taker = Taker(greeting)
    with guest(taker) as port:
        assert await given(port) == []
    assert taker.got == CONTENT


async def test_much_is_sent_whole() -> None:
    taker, much = Taker(), os.urandom(3_000_000)
    with guest(taker) as port:
        await given(port, much)
    assert taker.got == much


async def test_a_guest_that_is_not_there_yet_is_tried_again() -> None:
    taker = Taker()
    with guest(hangs_up, resets, hangs_up, taker) as port:
        notes = await given(port)
    assert set(notes) == {"the guest does not listen for its secrets yet"}
    assert taker.got == CONTENT


@pytest.mark.parametrize(
    "garbage",
    [b"SSH-2.0-dropbear\r\n", b"(", b"(secret-service-server (version x))", b"(" * 300, b"()"],
)
async def test_what_greets_otherwise_gets_nothing(garbage: bytes) -> None:
    taker = Taker(garbage)

    def says_garbage(connection: socket.socket) -> None:
        connection.sendall(garbage if garbage != b"(" else b"(x)")
        taker.got = connection.recv(100)

    with guest(says_garbage) as port, pytest.raises(NotReadyError, match="in place of a secret"):
        await given(port)
    assert taker.got == b""


async def test_nobody_gets_it_while_the_port_is_another_one_s() -> None:
    taker, looks = Taker(), iter([False, True, False, True, True])
    notes: list[str] = []
    with guest(taker, taker) as port, anyio.fail_after(SECONDS):
        await deliver(
            port, CONTENT, is_ours=lambda: next(looks), clock=SystemClock(), note=notes.append
        )
    assert notes == [
        f"the QEMU of this machine does not listen on port {port}",
        f"port {port} has another owner now",
    ]
    assert taker.got == CONTENT


async def test_a_port_that_nobody_listens_on_is_not_the_end() -> None:
    with guest() as port:
        pass
    notes: list[str] = []
    with anyio.move_on_after(0.3):
        await deliver(port, CONTENT, is_ours=lambda: True, clock=SystemClock(), note=notes.append)
    assert notes


@pytest.mark.parametrize(
    ("said", "seconds", "note"),
    [
        (b"", 5, "the guest has not asked for them yet"),
        (GREETING[:1], 30, "the guest has not greeted to the end"),
    ],
)
async def test_a_connection_that_says_no_more_is_made_anew(
    said: bytes, seconds: float, note: str
) -> None:
    """QEMU has made it in the place of a guest that was not there, and tells that guest too late."""
    taker, clock = Taker(), HandClock()
    notes: list[str] = []
    has_said = threading.Event()

    def falls_silent(connection: socket.socket) -> None:
        connection.send(said)
        has_said.set()
        connection.recv(100)

    with guest(falls_silent, taker) as port:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(
                lambda: deliver(port, CONTENT, is_ours=lambda: True, clock=clock, note=notes.append)
            )
            with anyio.fail_after(SECONDS):
                await anyio.to_thread.run_sync(has_said.wait)
                for _ in range(10):  # what was sent is there, and is read now
                    await anyio.lowlevel.checkpoint()
                await clock.pass_time(seconds - 1)
                assert notes == []
                await clock.pass_time(2)
                assert notes == [note]
                await clock.pass_time(1)
    assert taker.got == CONTENT

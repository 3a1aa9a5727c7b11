"""Attempts at services that answer, stay silent, hang up or talk too much."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest
from tests.support.probing import free_port, join_threads, server

from virtsupd.core.spec import BannerProbe, HttpProbe, TcpProbe
from virtsupd.errors import NotReadyError
from virtsupd.process.network import _refuse_self, attempt_banner, attempt_http, attempt_tcp

pytestmark = pytest.mark.process


@pytest.fixture(autouse=True)
def threads_have_ended() -> Iterator[None]:
    yield
    join_threads()


async def test_a_port_that_accepts_is_enough_for_tcp() -> None:
    async with server(None) as port:
        await attempt_tcp(TcpProbe(port))
        await attempt_tcp(TcpProbe(port, host="localhost"))


async def test_a_name_without_an_address_is_said() -> None:
    with pytest.raises(NotReadyError, match="cannot connect to no-such-host-invalid port 80"):
        await attempt_tcp(TcpProbe(80, host="no-such-host-invalid"))


async def test_an_address_of_version_6_is_tried() -> None:
    port = free_port()
    with pytest.raises(NotReadyError, match=f"cannot connect to ::1 port {port}"):
        await attempt_tcp(TcpProbe(port, host="::1"))


async def test_a_banner_of_a_display_matches() -> None:
    async with server(b"RFB 003.008\n") as port:
        await attempt_banner(BannerProbe(r"^RFB \d{3}\.\d{3}$", port=port))


async def test_a_peer_that_talks_of_other_things_does_not_match() -> None:
    async with server(b"x" * 10_000) as port:
        with pytest.raises(NotReadyError, match=r"sent 'x{60}', not 'SSH'"):
            await attempt_banner(BannerProbe("SSH", port=port))


async def test_a_question_is_sent_first_and_an_answer_in_pieces_is_one(tmp_path: Path) -> None:
    path = str(tmp_path / "web.sock")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(attempt_banner, BannerProbe("pong", path=path, send="ping\n"))
            await anyio.wait_readable(listener)
            peer, _ = listener.accept()
            with peer:
                await anyio.wait_readable(peer)
                assert peer.recv(10) == b"ping\n"
                peer.send(b"po")
                await anyio.lowlevel.checkpoint()
                peer.send(b"ng")


async def test_a_cancelled_attempt_leaves_no_connection() -> None:
    async with server(None) as port:
        with anyio.move_on_after(0.05):
            await attempt_banner(BannerProbe("SSH", port=port))
        before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 -- a count
        with anyio.move_on_after(0.05):
            await attempt_banner(BannerProbe("SSH", port=port))
        assert len(os.listdir("/proc/self/fd")) == before + 1  # noqa: PTH208 -- the server's end


@pytest.mark.parametrize(
    ("answer", "seen"),
    [
        (b"HTTP/1.0 404 Not Found\r\n\r\n", "answers 404"),
        (b"SSH-2.0-dropbear\r\n", "does not answer in HTTP"),
        (b"", "does not answer in HTTP"),
        (b"HTTP/1.1 20", "does not answer in HTTP"),
        (b"y" * 5000, "does not answer in HTTP"),
    ],
)
async def test_another_answer_is_said(answer: bytes, seen: str) -> None:
    async with server(answer) as port:
        with pytest.raises(NotReadyError, match=seen):
            await attempt_http(HttpProbe(f"http://127.0.0.1:{port}/"))


async def test_the_expected_statuses_count() -> None:
    async with server(b"HTTP/1.1 404 Not Found\r\n\r\n") as port:
        await attempt_http(HttpProbe(f"http://127.0.0.1:{port}/", statuses=(404,)))


async def test_a_name_is_looked_up() -> None:
    async with server(None) as port:
        await attempt_tcp(TcpProbe(port, host="127.1"))


def test_a_connection_to_oneself_is_none() -> None:
    with socket.socket() as both_ends:
        both_ends.bind(("127.0.0.1", 0))
        both_ends.connect(both_ends.getsockname())
        with pytest.raises(ConnectionRefusedError, match="connected to itself"):
            _refuse_self(both_ends)

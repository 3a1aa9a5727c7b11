"""Who is answered in which language; what is said in them is tested with each."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest
from tests.support.hand_backend import HandBackend, snapshot_of, spec_of

from virtsupd.config.settings import AccessSettings
from virtsupd.control.access import Access, Grant, Peer
from virtsupd.control.connection import Commons, Connection, Limits
from virtsupd.control.languages import Languages
from virtsupd.errors import ProtocolError
from virtsupd.process.clock import SystemClock

HERD = (
    b'(shepherd-command (version 0) (action status) (service web) (arguments ()) (directory "/"))'
)
VARLINK = b'{"method": "org.virtsupd.Supervisor.Status", "parameters": {"names": ["web"]}}\0'


@asynccontextmanager
async def said(words: bytes) -> AsyncIterator[tuple[Languages, Connection, Grant, socket.socket]]:
    """Have a peer say `words` and nothing more."""
    ours, peer = socket.socketpair()
    ours.setblocking(False)
    peer.send(words)
    peer.shutdown(socket.SHUT_WR)
    commons = Commons(Limits(), SystemClock())
    connection = Connection(ours, commons, commons.turns.account(0, 1))
    languages = Languages(HandBackend(snapshot_of(spec_of("web"))), SystemClock())
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(commons.hangups.run)
        tasks.start_soon(commons.turns.run)
        with peer:
            yield languages, connection, Access(AccessSettings()).grant(Peer(1, 0, 0)), peer
        connection.close()
        tasks.cancel_scope.cancel()
    commons.close()


@pytest.mark.parametrize(("words", "answer"), [(HERD, b"(reply "), (VARLINK, b'{"parameters')])
async def test_the_first_byte_tells_the_language(words: bytes, answer: bytes) -> None:
    async with said(words) as (languages, connection, grant, peer):
        await languages.converse(connection, grant)
        assert peer.recv(100).startswith(answer)


async def test_a_socket_for_herd_refuses_other_languages() -> None:
    async with said(HERD) as (languages, connection, grant, peer):
        await languages.converse(connection, grant, is_herd_only=True)
        assert peer.recv(100).startswith(b"(reply ")
    async with said(VARLINK) as (languages, connection, grant, _):
        with pytest.raises(ProtocolError, match="no language"):
            await languages.converse(connection, grant, is_herd_only=True)


async def test_who_says_nothing_is_told_nothing() -> None:
    async with said(b"") as (languages, connection, grant, peer):
        await languages.converse(connection, grant)
        connection.close()
        assert peer.recv(100) == b""


async def test_who_speaks_no_language_is_refused() -> None:
    async with said(b"GET / HTTP/1.1\r\n\r\n") as (languages, connection, grant, _):
        with pytest.raises(ProtocolError, match="no language"):
            await languages.converse(connection, grant)

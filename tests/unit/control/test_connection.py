"""One connection's limits: size, time, and a peer that does not read."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import anyio
import anyio.lowlevel
import pytest
from tests.support.control import until

from virtsupd.control.connection import Commons, Connection, Limits
from virtsupd.errors import ProtocolError
from virtsupd.process.clock import SystemClock

QUICK = Limits(message_seconds=0.05, stall_seconds=0.05)


@asynccontextmanager
async def connection(limits: Limits = QUICK) -> AsyncIterator[tuple[Connection, socket.socket]]:
    """Connect a peer, non-blocking too, to a connection under test."""
    ours, theirs = socket.socketpair(socket.AF_UNIX)
    ours.setblocking(False)
    theirs.setblocking(False)
    commons = Commons(limits, SystemClock())
    found = Connection(ours, commons, commons.turns.account(0, 1))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(commons.hangups.run)
        tasks.start_soon(commons.turns.run)
        with theirs:
            yield found, theirs
        found.close()
        tasks.cancel_scope.cancel()
    commons.close()


async def test_messages_come_one_by_one() -> None:
    async with connection() as (found, peer):
        peer.send(b"one\0two\0")
        assert await found.message() == b"one"
        assert await found.message() == b"two"
        peer.close()
        assert await found.message() is None


async def test_a_message_cut_short_is_the_peers_fault() -> None:
    async with connection() as (found, peer):
        peer.send(b"one\0tw")
        assert await found.message() == b"one"
        peer.close()
        with pytest.raises(ProtocolError, match="cut short"):
            await found.message()


async def test_a_whole_message_has_its_time_and_waiting_for_one_has_none() -> None:
    async with connection() as (found, peer):
        peer.send(b"half")
        with pytest.raises(ProtocolError, match="too long"):
            await found.message()
    async with connection() as (found, peer):
        peer.send(b"one\0")
        await found.message()
        with anyio.move_on_after(3 * QUICK.message_seconds) as patience:
            await found.message()
        assert patience.cancelled_caught
        peer.send(b"half")
        with pytest.raises(ProtocolError, match="too long"):
            await found.message()


async def test_a_silent_peer_has_as_much_time_for_its_first_byte() -> None:
    async with connection() as (found, _):
        with pytest.raises(ProtocolError, match="too long"):
            await found.first_byte()


async def test_a_message_has_a_largest_size() -> None:
    async with connection(Limits(message_bytes=1000)) as (found, peer):
        peer.send(b"x" * 1000 + b"\0" + b"y" * 1001 + b"\0")
        assert await found.message() == b"x" * 1000
        with pytest.raises(ProtocolError, match="longer than 1000 bytes"):
            await found.message()
    async with connection(Limits(message_bytes=1000)) as (found, peer):
        peer.send(b"x" * 5000)
        with pytest.raises(ProtocolError, match="longer than 1000 bytes"):
            await found.message()


async def test_large_messages_share_few_places() -> None:
    limits = replace(QUICK, large_bytes=10, large_messages=1, message_seconds=10.0)
    commons = Commons(limits, SystemClock())
    pairs = [socket.socketpair(socket.AF_UNIX) for _ in range(2)]
    connections = []
    for ours, theirs in pairs:
        ours.setblocking(False)
        theirs.send(b"x" * 20)
        connections.append(Connection(ours, commons, commons.turns.account(0, 1)))
    received: list[int] = []

    async def take(index: int) -> None:
        await connections[index].message()
        received.append(index)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(commons.turns.run)
        tasks.start_soon(take, 0)
        await until(lambda: commons.large.value == 0)
        tasks.start_soon(take, 1)
        await until(lambda: commons.large.statistics().tasks_waiting == 1)
        pairs[1][1].send(b"\0")
        pairs[0][1].send(b"\0")
        await until(lambda: len(received) == 2)
        assert received == [0, 1]
        tasks.cancel_scope.cancel()
    for found, (_, theirs) in zip(connections, pairs, strict=True):
        found.close()
        theirs.close()
    assert commons.large.value == 1
    commons.close()


async def test_a_peer_that_does_not_read_is_cut() -> None:
    async with connection() as (found, peer):
        with pytest.raises(BrokenPipeError, match="does not read"):
            await found.send([b"x" * 65536] * 100)
        assert len(peer.recv(10)) == 10


async def test_all_parts_arrive_in_order() -> None:
    parts = [b"a" * 10, b"b" * 200_000, b"c", b"", b"d" * 70_000]
    async with connection(Limits()) as (found, peer), anyio.create_task_group() as tasks:
        tasks.start_soon(found.send, parts)
        received = b""
        while len(received) < sum(map(len, parts)):
            await anyio.wait_readable(peer)
            received += peer.recv(1 << 20)
    assert received == b"".join(parts)


async def test_a_hang_up_is_noticed_behind_unread_input() -> None:
    async with connection() as (found, peer):
        peer.send(b"unread")
        with found.until_hang_up() as scope:
            await anyio.lowlevel.checkpoint()
            assert not scope.cancel_called
            peer.close()
            await anyio.sleep_forever()
        assert scope.cancelled_caught
        with found.until_hang_up() as again:
            await anyio.sleep_forever()
        assert again.cancelled_caught


async def test_a_closing_server_takes_what_was_sent_before_and_waits_for_nothing() -> None:
    async with connection() as (found, peer):
        peer.send(b"one\0two\0")
        found._commons.is_closing = True
        assert await found.message() == b"one"
        assert await found.message() == b"two"
        assert not found.has_input
        assert await found.message() is None

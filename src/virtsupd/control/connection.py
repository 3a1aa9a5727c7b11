"""One connection: bounded input, bounded output, deadlines, hang-ups and a fair share of the loop.

Nothing is read while a message is being answered and nothing is queued for sending: what the peer
does not read and what it sends too early stays in the kernel's buffers. So a connection holds one
message at most, and one answer at most.
"""

import contextlib
import select
import socket
from collections.abc import Callable, Iterable, Iterator

import anyio
import anyio.lowlevel

from virtsupd.control.complaints import Complaints, DefectError
from virtsupd.control.turns import Account, Turns
from virtsupd.core.frozen import frozen
from virtsupd.errors import ProtocolError
from virtsupd.process.clock import Clock

_CHUNK_BYTES = 64 * 1024
_MOST_SHOWN = 100
"""Characters of what a peer sent, in log lines and messages."""


@frozen
class Limits:
    """What one client, one user and all clients together may use."""

    connections: int = 1024
    """Of all peers, on all sockets."""
    reserved_for_admins: int = 256
    """Of `connections`, for peers with role admin everywhere."""
    per_uid: int = 128
    """Of one user that is no such admin."""
    pending: int = 256
    """Of one process, waiting for their first turn."""
    message_bytes: int = 1024 * 1024
    """Of one Varlink message."""
    herd_bytes: int = 64 * 1024
    """Of one herd command."""
    large_bytes: int = 64 * 1024
    """A message that is longer needs one of the few places for large messages to be read on."""
    large_messages: int = 8
    message_seconds: float = 10.0
    """For a whole message, from its first byte; for the first one, from the connection."""
    stall_seconds: float = 10.0
    """Without a byte accepted, while an answer is being sent."""


class Commons:
    """What all connections share: clock, limits, complaints, the hang-up watch and the queues."""

    def __init__(self, limits: Limits, clock: Clock) -> None:
        """Start with empty queues; `close` it after the last connection."""
        self.limits = limits
        self.clock = clock
        self.complaints = Complaints(clock)
        self.hangups = HangUps()
        self.large = anyio.Semaphore(limits.large_messages)
        self.turns = Turns(clock)
        self.is_closing = False
        """No further messages are taken; what is being answered may finish."""

    def close(self) -> None:
        """Release the hang-up watch."""
        self.hangups.close()


class HangUps:
    """Tells at once when a peer has closed its end, without reading what it sent before.

    One epoll descriptor for all connections, with no events asked for: the kernel then reports
    EPOLLHUP and EPOLLERR alone. A peer that shut down only its sending side is not reported: it
    still reads.
    """

    def __init__(self) -> None:
        """Watch nobody yet."""
        self._epoll = select.epoll()
        self._callbacks: dict[int, Callable[[], None]] = {}

    def watch(self, connection: socket.socket, callback: Callable[[], None]) -> None:
        """Call `callback` once when the peer hangs up, also if it has already."""
        self._callbacks[connection.fileno()] = callback
        self._epoll.register(connection.fileno(), select.EPOLLONESHOT)

    def forget(self, connection: socket.socket) -> None:
        """End a watch; must be called before the socket is closed."""
        if self._callbacks.pop(connection.fileno(), None) is not None:
            self._epoll.unregister(connection.fileno())

    async def run(self) -> None:
        """Report hang-ups until cancelled."""
        while True:
            await anyio.wait_readable(self._epoll.fileno())
            for fd, _ in self._epoll.poll(0):
                if callback := self._callbacks.get(fd):
                    callback()

    def close(self) -> None:
        """Release the descriptor."""
        self._epoll.close()


class Connection:
    """A connected, non-blocking Unix socket. For one task; the watch of hang-ups aside."""

    def __init__(self, sock: socket.socket, commons: Commons, account: Account) -> None:
        """Take over the socket; `close` ends it. Its work is counted in `account`."""
        self._socket = sock
        self._commons = commons
        self._buffer = bytearray()
        self._at_end = False
        self._has_large_place = False
        self._scope: anyio.CancelScope | None = None
        self._hung_up = False
        self.is_idle = True
        """It waits for a message, or for the rest of one."""
        self._first_until: float | None = anyio.current_time() + commons.limits.message_seconds
        self.account = account
        account.seats += 1
        commons.hangups.watch(sock, self._peer_hung_up)

    @property
    def limits(self) -> Limits:
        """The limits it is held to."""
        return self._commons.limits

    @property
    def has_spoken(self) -> bool:
        """Whether it has sent a whole message."""
        return self._first_until is None

    @property
    def has_input(self) -> bool:
        """Whether something was sent that was not looked at yet."""
        try:
            return bool(self._socket.recv(1, socket.MSG_PEEK))
        except OSError:
            return False

    def close(self) -> None:
        """Close the socket and forget what was received."""
        with contextlib.suppress(OSError):
            self._socket.recv(
                _CHUNK_BYTES
            )  # unread input would reset the peer before its last read
        self._commons.hangups.forget(self._socket)
        self._socket.close()
        self.account.seats -= 1
        self._leave_large_place()
        self._buffer.clear()

    async def first_byte(self) -> int | None:
        """Wait for the first byte and return it without taking it; None at the end of input.

        Raises:
            ProtocolError: it took too long.
        """
        with self.deadline():
            while not self._buffer and await self._receive():
                pass
        return self._buffer[0] if self._buffer else None

    async def message(self, delimiter: bytes = b"\0") -> bytes | None:
        """Return the next message without its delimiter; None at the end of input.

        Time until its first byte does not count. None also when the server is closing, and nothing
        was sent before.

        Raises:
            ProtocolError: too long, too slow, or the input ends within it.
        """
        self.is_idle = True
        is_over = self._commons.is_closing and not self._buffer and not self.has_input
        if is_over or (not self._buffer and not await self._receive()):
            return None
        with self.deadline():
            end = await self._find(delimiter)
        self.message_ended()
        message = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        self._leave_large_place()
        return message

    async def chunk(self) -> bytes:
        """Return what has arrived, at least one byte; b"" at the end of input."""
        if not self._buffer:
            await self._receive()
            await anyio.lowlevel.checkpoint()
        taken = bytes(self._buffer)
        self._buffer.clear()
        return taken

    def message_ended(self) -> None:
        """Note that a whole message has come and is going to be answered."""
        self._first_until = None
        self.is_idle = False

    @contextlib.contextmanager
    def deadline(self) -> Iterator[None]:
        """Give a message its time; the first one's began when the connection was made.

        Raises:
            ProtocolError: the time was up before the block ended.
        """
        until = self._first_until or anyio.current_time() + self.limits.message_seconds
        with anyio.CancelScope(deadline=until) as scope:
            yield
        if scope.cancelled_caught:
            raise ProtocolError("the message takes too long")

    async def send(self, parts: Iterable[bytes]) -> None:
        """Send bytes in order; returns when the kernel has taken them all.

        Raises:
            BrokenPipeError: the peer is gone, or accepted nothing for too long. What it was sent
                ends somewhere within the parts.
        """
        for block in _blocks(parts):
            await self._send_block(block)

    def until_hang_up(self) -> anyio.CancelScope:
        """Return a scope to enter: it is cancelled as soon as the peer hangs up."""
        self._scope = anyio.CancelScope()
        if self._hung_up:
            self._scope.cancel()
        return self._scope

    async def turn(self) -> None:
        """Wait until it is this peer's turn to use the event loop."""
        await self._commons.turns.turn(self.account)

    def defect(self, what: str, error: Exception) -> DefectError:
        """Log what went wrong unforeseen while `what` was carried out; return what to answer."""
        shown = what[:_MOST_SHOWN]
        self._commons.complaints.defect("request failed", error, request=shown)
        return DefectError(shown, error)

    def _peer_hung_up(self) -> None:
        self._hung_up = True
        if self._scope is not None:
            self._scope.cancel()

    async def _find(self, delimiter: bytes) -> int:
        limits = self._commons.limits
        start = 0
        while (end := self._buffer.find(delimiter, start)) < 0:
            start = len(self._buffer)
            if start > limits.message_bytes:
                break
            if start > limits.large_bytes:
                await self._take_large_place()
            if not await self._receive():
                raise ProtocolError("the message is cut short")
            await self.turn()
        if not 0 <= end <= limits.message_bytes:
            raise ProtocolError(f"a message is longer than {limits.message_bytes} bytes")
        return end

    async def _receive(self) -> bool:
        """Add what has arrived to the buffer, waiting for it; False at the end of input."""
        while not self._at_end:
            try:
                with self.account.charged():
                    received = self._socket.recv(_CHUNK_BYTES)
            except BlockingIOError:
                await anyio.wait_readable(self._socket)
                continue
            except ConnectionResetError:
                received = b""
            self._buffer += received
            self._at_end = not received
            return bool(received)
        return False

    async def _send_block(self, block: bytes) -> None:
        view = memoryview(block)
        while view:
            try:
                with self.account.charged():
                    view = view[self._socket.send(view) :]
            except BlockingIOError:
                with anyio.move_on_after(self._commons.limits.stall_seconds) as scope:
                    await anyio.wait_writable(self._socket)
                if scope.cancelled_caught:
                    raise BrokenPipeError("the peer does not read") from None

    async def _take_large_place(self) -> None:
        if not self._has_large_place:
            await self._commons.large.acquire()
            self._has_large_place = True

    def _leave_large_place(self) -> None:
        if self._has_large_place:
            self._has_large_place = False
            self._commons.large.release()


def _blocks(parts: Iterable[bytes]) -> Iterator[bytes]:
    """Join small parts, so that one system call sends many; pass large ones on as they are."""
    block = bytearray()
    for part in parts:
        if len(part) >= _CHUNK_BYTES:
            yield from (bytes(block), part)
            block.clear()
            continue
        block += part
        if len(block) >= _CHUNK_BYTES:
            yield bytes(block)
            block.clear()
    yield bytes(block)

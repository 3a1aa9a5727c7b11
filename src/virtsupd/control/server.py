"""The control socket: takes connections, holds them to their limits, and gives each its language.

What is said is the business of `languages`. Each connection has one task; what goes wrong in it
ends that connection and nothing else.
"""

import errno
import resource
import socket
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import anyio
import anyio.lowlevel
from anyio.abc import TaskGroup

from virtsupd.config.settings import AccessSettings
from virtsupd.control.access import Access, Grant, Peer, groups_of
from virtsupd.control.backend import Backend
from virtsupd.control.connection import Commons, Connection, Limits
from virtsupd.control.listener import Listener
from virtsupd.control.turns import Account, Turns
from virtsupd.errors import ConfigError, ProtocolError
from virtsupd.process.clock import Clock
from virtsupd.process.unix_peer import credentials_of

_ACCEPTS_IN_A_PASS = 64
_ACCEPT_SECONDS = 0.0001
"""What a connection counts as of its peer's share of the event loop."""
_LARGEST_PART = 8
"""A process with more than this part of all seats gets no other when they are full."""
_NO_ROOM = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_NO_ROOM_PAUSE_SECONDS = 0.1

_Converse = Callable[[Connection, Grant], Awaitable[None]]
"""Speaks with a peer until either side ends it."""


@dataclass(eq=False, slots=True)
class _Seat:
    """One connection as the server counts it."""

    connection: Connection
    grant: Grant
    is_admin: bool
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)


class ControlServer:
    """Serves the control socket, and a second one for herd alone if there is one."""

    def __init__(
        self,
        access: AccessSettings,
        *,
        clock: Clock,
        limits: Limits | None = None,
    ) -> None:
        """Prepare; nothing is opened before `listen`."""
        self._access_settings = access
        self._access = Access(access)
        self._commons = Commons(_within_descriptors(limits or Limits()), clock)
        self._listeners: list[tuple[Listener, bool]] = []
        self._seats: dict[_Seat, None] = {}
        self._others: Counter[int] = Counter()
        """How many seats each user has that is no admin."""
        self._is_empty = anyio.Event()
        self._may_accept = anyio.Event()
        self._may_accept.set()
        self._complaints = self._commons.complaints

    @property
    def limits(self) -> Limits:
        """The limits in force: those given, lowered to what the daemon's descriptors allow."""
        return self._commons.limits

    @property
    def turns(self) -> Turns:
        """Whose message is next."""
        return self._commons.turns

    @property
    def count(self) -> int:
        """How many connections there are."""
        return len(self._seats)

    def listen(
        self, path: Path, *, is_herd_only: bool = False, inherited: int | None = None
    ) -> None:
        """Open a socket; clients may connect from now on and are answered once `serve` runs.

        `inherited` is what `handed` told of this path before an exec, ours from now on.

        Raises:
            AlreadyRunningError: somebody listens there.
            ConfigError: the path cannot be used. In both cases nothing has changed.
        """
        listener = Listener(path, self._access_settings, inherited=inherited)
        self._listeners.append((listener, is_herd_only))

    def handed(self) -> dict[str, int]:
        """Return the listening sockets by path, for a program that this one becomes."""
        return {str(listener.path): listener.fileno() for listener, _ in self._listeners}

    async def serve(self, backend: Backend) -> None:
        """Serve clients until cancelled, as `backend` answers.

        Cancelling cuts all connections; the sockets go with `close`.
        """
        # Imported now, when the first services are on their way, and not when a client comes: after
        # an upgrade in place that would be another version's.
        from virtsupd.control.languages import Languages  # noqa: PLC0415 - see above

        languages = Languages(backend, self._commons.clock)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._commons.hangups.run)
            tasks.start_soon(self._commons.turns.run)
            for listener, is_herd_only in self._listeners:
                converse = partial(languages.converse, is_herd_only=is_herd_only)
                tasks.start_soon(self._accept, listener, converse, tasks)

    async def finish(self, seconds: float) -> None:
        """Take no more connections and wait, at most `seconds`, until what was asked is answered."""
        self._commons.is_closing = True
        self._may_accept = anyio.Event()
        for seat in list(self._seats):
            if seat.connection.is_idle and not seat.connection.has_input:
                seat.scope.cancel()
        if self._seats:
            self._is_empty = anyio.Event()
            with anyio.move_on_after(seconds):
                await self._is_empty.wait()

    async def pause(self, seconds: float) -> None:
        """As `finish`, then end all connections.

        Who connects from then on waits in the queue: for `resume`, or for a program that inherits
        the sockets.
        """
        await self.finish(seconds)
        for seat in list(self._seats):
            seat.scope.cancel()
        if self._seats:
            self._is_empty = anyio.Event()
            await self._is_empty.wait()

    def resume(self) -> None:
        """Take connections again."""
        self._commons.is_closing = False
        self._may_accept.set()

    def change_access(self, access: AccessSettings) -> None:
        """Take new rules, and a new mode and owner of the sockets.

        Connections are cut whose peer may do something else now, or could not connect any more.

        Raises:
            ConfigError: a socket cannot have the mode or owner; all stays as it was.
        """
        try:
            self._change_sockets(access)
        except ConfigError:
            with suppress(ConfigError):
                self._change_sockets(self._access_settings)
            raise
        self._access_settings = access
        self._access = Access(access)
        for seat in list(self._seats):
            peer = seat.grant.peer
            if self._access.grant(peer) != seat.grant or not self._admits(peer):
                seat.scope.cancel()

    def _change_sockets(self, access: AccessSettings) -> None:
        for listener, _ in self._listeners:
            if not listener.change_access(access):
                self._complaints.warn("socket gone from its path", path=str(listener.path))

    def _admits(self, peer: Peer) -> bool:
        return any(listener.admits(peer) for listener, _ in self._listeners)

    def close(self) -> None:
        """Close and remove the sockets. To be called after `serve` has ended, or without it."""
        for seat in self._seats:
            seat.connection.close()  # accepted, and its turn had not come
        self._seats.clear()
        for listener, _ in self._listeners:
            listener.close()
        self._listeners.clear()
        self._commons.close()

    async def _accept(self, listener: Listener, converse: _Converse, tasks: TaskGroup) -> None:
        while True:
            await anyio.wait_readable(listener.socket)
            await self._may_accept.wait()
            try:
                self._accept_waiting(listener, converse, tasks)
            except OSError as error:
                if error.errno not in _NO_ROOM:
                    raise
                self._complaints.warn("no room for a connection", reason=error.strerror or "")
                self._make_room(Account(self._commons.clock), lambda _: True)
                await self._commons.clock.sleep(_NO_ROOM_PAUSE_SECONDS)
            await anyio.lowlevel.checkpoint()

    def _accept_waiting(self, listener: Listener, converse: _Converse, tasks: TaskGroup) -> None:
        for _ in range(_ACCEPTS_IN_A_PASS):
            try:
                accepted, _address = listener.socket.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            accepted.setblocking(False)
            seat = self._seat(accepted)
            if seat is None:
                accepted.close()
                continue
            self._take(seat)
            begin = partial(tasks.start_soon, self._attend, seat, converse)
            self._commons.turns.ask(seat.connection.account, begin)

    def _seat(self, accepted: socket.socket) -> _Seat | None:
        """Return a seat for a new connection; None if it is turned away."""
        try:
            pid, uid, gid = credentials_of(accepted)
            account = self._commons.turns.account(uid, pid)
            account.charge(_ACCEPT_SECONDS)
            if len(account.waiting) > self._commons.limits.pending:
                return None  # before anything that takes time: this may be one of thousands
            grant = self._access.grant(Peer(pid, uid, gid, groups_of(accepted)))
        except OSError:
            return None
        if not self._has_room(grant, account):
            self._complaints.warn("too many connections", peer=str(grant.peer), pid=grant.peer.pid)
            return None
        return _Seat(Connection(accepted, self._commons, account), grant, grant.is_admin)

    def _take(self, seat: _Seat) -> None:
        self._seats[seat] = None
        if not seat.is_admin:
            self._others[seat.grant.peer.uid] += 1

    def _leave(self, seat: _Seat) -> None:
        if seat in self._seats:
            del self._seats[seat]
            if not seat.is_admin:
                self._others[seat.grant.peer.uid] -= 1
        if not self._seats:
            self._is_empty.set()

    def _has_room(self, grant: Grant, account: Account) -> bool:
        """Return whether one more fits, after ending one that says nothing if need be."""
        limits, uid = self._commons.limits, grant.peer.uid
        if grant.is_admin:
            if len(self._seats) < limits.connections:
                return True
            return self._make_room(account, lambda seat: seat.is_admin)
        if self._others[uid] >= limits.per_uid:
            return self._make_room(account, lambda seat: seat.grant.peer.uid == uid)
        if self._others.total() >= limits.connections - limits.reserved_for_admins:
            return self._make_room(account, lambda seat: not seat.is_admin)
        return True

    def _make_room(self, account: Account, concerns: Callable[[_Seat], bool]) -> bool:
        """End one that waits for its peer: of the process with most seats, a silent one, the oldest.

        A process that has a large part of all seats itself is not made room for.
        """
        if account.seats > self._commons.limits.connections // _LARGEST_PART:
            return False
        waiting = [
            seat
            for seat in self._seats
            if concerns(seat) and seat.connection.is_idle and not seat.scope.cancel_called
        ]
        if not waiting:
            return False
        chosen = min(
            waiting, key=lambda seat: (-seat.connection.account.seats, seat.connection.has_spoken)
        )
        chosen.scope.cancel()
        # It leaves its seat now, and its descriptor as soon as its task runs.
        self._leave(chosen)
        return True

    async def _attend(self, seat: _Seat, converse: _Converse) -> None:
        try:
            with seat.scope:
                await converse(seat.connection, seat.grant)
        except ProtocolError as error:
            peer = seat.grant.peer
            self._complaints.warn("bad message", peer=str(peer), pid=peer.pid, reason=str(error))
        except OSError:
            pass  # the peer is gone
        except Exception as error:  # noqa: BLE001 -- the guard at the top of the task: one client never ends the daemon
            self._complaints.defect("connection failed", error)
        finally:
            seat.connection.close()
            self._leave(seat)


def _within_descriptors(limits: Limits) -> Limits:
    """Return the limits, lowered so that connections take at most half of our descriptors."""
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if allowed == resource.RLIM_INFINITY or limits.connections <= allowed // 2:
        return limits
    connections = allowed // 2
    reserved = min(limits.reserved_for_admins, connections // 2)
    return replace(limits, connections=connections, reserved_for_admins=reserved)

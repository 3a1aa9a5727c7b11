"""The control socket: takes connections, holds them to their limits, and gives each its language.

The first byte tells the language: `{` is Varlink, anything an S-expression may begin with is
herd's. Each connection has one task; what goes wrong in it ends that connection and nothing else.
"""

import errno
import resource
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import anyio
import anyio.lowlevel
import structlog
from anyio.abc import TaskGroup

from virtsupd.config.settings import AccessSettings
from virtsupd.control.access import Access, Grant, peer_of
from virtsupd.control.backend import Backend
from virtsupd.control.connection import Commons, Connection, Limits
from virtsupd.control.herd_conversation import HerdConversation
from virtsupd.control.interface import supervisor_service
from virtsupd.control.listener import Listener
from virtsupd.control.varlink import Conversation, Service, introspection
from virtsupd.errors import ProtocolError
from virtsupd.process.clock import Clock

_ACCEPTS_IN_A_TURN = 16
_NO_ROOM = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_NO_ROOM_PAUSE_SECONDS = 0.1
_VARLINK = ord("{")
_HERD = frozenset(b"([;# \t\r\n\f\v")


@dataclass(eq=False, slots=True)
class _Seat:
    """One connection as the server counts it."""

    connection: Connection
    grant: Grant
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)


class ControlServer:
    """Serves the control socket, and a second one for herd alone if there is one."""

    def __init__(
        self,
        backend: Backend,
        access: AccessSettings,
        *,
        clock: Clock,
        limits: Limits | None = None,
    ) -> None:
        """Prepare; nothing is opened before `listen`."""
        self._backend = backend
        self._access_settings = access
        self._access = Access(access)
        self._commons = Commons(_within_descriptors(limits or Limits()), clock)
        self._services: dict[str, Service] = {}
        self._listeners: list[tuple[Listener, bool]] = []
        self._seats: dict[_Seat, None] = {}
        self._is_empty = anyio.Event()
        self._log = structlog.get_logger()

    def listen(self, path: Path, *, is_herd_only: bool = False) -> None:
        """Open a socket; clients may connect from now on and are answered once `serve` runs.

        Raises:
            AlreadyRunningError: somebody listens there.
            ConfigError: the path cannot be used. In both cases nothing has changed.
        """
        self._listeners.append((Listener(path, self._access_settings), is_herd_only))

    async def serve(self) -> None:
        """Serve until cancelled. Cancelling cuts all connections; the sockets go with `close`."""
        version = self._backend.facts().version
        own = supervisor_service(self._backend, self._commons.clock)
        about = introspection([own.interface], version)
        self._services = {service.interface.name: service for service in (own, about)}
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._commons.hangups.run)
            for listener, is_herd_only in self._listeners:
                tasks.start_soon(self._accept, listener, is_herd_only, tasks)

    async def finish(self, seconds: float) -> None:
        """Take no more messages and wait, at most `seconds`, until what was asked is answered."""
        self._commons.is_closing = True
        for seat in list(self._seats):
            if seat.connection.is_idle:
                seat.scope.cancel()
        if self._seats:
            self._is_empty = anyio.Event()
            with anyio.move_on_after(seconds):
                await self._is_empty.wait()

    def change_access(self, access: AccessSettings) -> None:
        """Take new rules; connections whose peer may do something else now are cut.

        Mode and owner of the sockets change when they are next made.
        """
        self._access = Access(access)
        for seat in list(self._seats):
            if self._access.grant(seat.grant.peer) != seat.grant:
                seat.scope.cancel()

    def close(self) -> None:
        """Close and remove the sockets. To be called after `serve` has ended, or without it."""
        for listener, _ in self._listeners:
            listener.close()
        self._listeners.clear()
        self._commons.close()

    async def _accept(self, listener: Listener, is_herd_only: bool, tasks: TaskGroup) -> None:
        while not self._commons.is_closing:
            await anyio.wait_readable(listener.socket)
            try:
                self._accept_waiting(listener, is_herd_only=is_herd_only, tasks=tasks)
            except OSError as error:
                if error.errno not in _NO_ROOM:
                    raise
                self._log.warning("no room for a connection", reason=error.strerror)
                self._make_room(list(self._seats))
                await self._commons.clock.sleep(_NO_ROOM_PAUSE_SECONDS)
            await anyio.lowlevel.checkpoint()

    def _accept_waiting(self, listener: Listener, *, is_herd_only: bool, tasks: TaskGroup) -> None:
        for _ in range(_ACCEPTS_IN_A_TURN):
            try:
                accepted, _address = listener.socket.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            accepted.setblocking(False)
            try:
                grant = self._access.grant(peer_of(accepted))
            except OSError:
                accepted.close()
                continue
            if not self._has_room(grant):
                self._log.warning("too many connections", peer=str(grant.peer))
                accepted.close()
                continue
            seat = _Seat(Connection(accepted, self._commons), grant)
            self._seats[seat] = None
            tasks.start_soon(self._attend, seat, is_herd_only)

    def _has_room(self, grant: Grant) -> bool:
        """Return whether one more fits, after ending one that says nothing if need be."""
        limits = self._commons.limits
        if grant.is_admin:
            if len(self._seats) < limits.connections:
                return True
            return self._make_room([seat for seat in self._seats if seat.grant.is_admin])
        others = [seat for seat in self._seats if not seat.grant.is_admin]
        same = [seat for seat in others if seat.grant.peer.uid == grant.peer.uid]
        if len(same) >= limits.per_uid:
            return self._make_room(same)
        if len(others) >= limits.connections - limits.reserved_for_admins:
            return self._make_room(others)
        return True

    def _make_room(self, seats: Sequence[_Seat]) -> bool:
        """End the longest connected of those that wait for their peer, silent ones first."""
        waiting = [
            seat for seat in seats if seat.connection.is_idle and not seat.scope.cancel_called
        ]
        if not waiting:
            return False
        chosen = min(waiting, key=lambda seat: seat.connection.has_spoken)
        chosen.scope.cancel()
        # It leaves its place now, and its descriptor as soon as its task runs.
        self._seats.pop(chosen, None)
        return True

    async def _attend(self, seat: _Seat, is_herd_only: bool) -> None:
        try:
            with seat.scope:
                await self._converse(seat, is_herd_only=is_herd_only)
        except ProtocolError as error:
            self._log.debug("connection ended", peer=str(seat.grant.peer), reason=str(error))
        except OSError:
            pass  # the peer is gone
        except Exception:  # noqa: BLE001 -- the guard at the top of the task: one client never ends the daemon
            self._log.exception("connection failed", peer=str(seat.grant.peer))
        finally:
            seat.connection.close()
            self._seats.pop(seat, None)
            if not self._seats:
                self._is_empty.set()

    async def _converse(self, seat: _Seat, *, is_herd_only: bool) -> None:
        first = await seat.connection.first_byte()
        if first in _HERD:
            await HerdConversation(seat.connection, self._backend, seat.grant).run()
        elif first == _VARLINK and not is_herd_only:
            await self._speak_varlink(seat)
        elif first is not None:
            raise ProtocolError("the first byte belongs to no language")

    async def _speak_varlink(self, seat: _Seat) -> None:
        conversation = Conversation(seat.connection, self._services, seat.grant)
        await conversation.run()


def _within_descriptors(limits: Limits) -> Limits:
    """Return the limits, lowered so that connections take at most half of our descriptors."""
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if allowed == resource.RLIM_INFINITY or limits.connections <= allowed // 2:
        return limits
    connections = allowed // 2
    reserved = min(limits.reserved_for_admins, connections // 2)
    return replace(limits, connections=connections, reserved_for_admins=reserved)

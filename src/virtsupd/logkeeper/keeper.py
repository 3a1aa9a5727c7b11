"""The log keeper: one epoll loop over FIFOs, the control socket, timers and a compressing child.

It outlives the virtsupd that started it. One virtsupd at a time is connected; a newer connection
replaces an older one. Without work it sleeps: no timer runs unless a log is in trouble or grows old.

Only a keeper without a virtsupd, or with a closed log, looks around now and then. When its socket has been removed, no
virtsupd can find it any more: it then lets go of each log whose FIFO nobody else holds, and ends
with the last of them. What a service still holds is kept to the end, and likewise a log that virtsupd
has closed: guests and jobs of a service that is gone must not stop at a full FIFO.
"""

import _signal  # type: ignore[import-not-found]  # "signal" imports enum: 0.8 MiB for two calls
import _socket
import errno
import fcntl
import os
import select
import struct
import time

from virtsupd.logkeeper.compress import Compressor
from virtsupd.logkeeper.log import Log
from virtsupd.logkeeper.messages import MAX_BYTES, PROTOCOL, Settings, decode, encode
from virtsupd.logkeeper.rotation import identity

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

SOCKET = "keeper"
LOCK = "keeper.lock"
_PAUSE_SECONDS = 0.002
_BUSY_SECONDS = 0.006
"""Batches closer together than this are worth a pause before the next: fewer and larger ones."""
_DRAIN_SECONDS = 5.0
_LOOK_SECONDS = 30.0
_MAX_UNSENT = 10_000


class AlreadyKeptError(Exception):
    """Another log keeper is at work in this directory."""


class Keeper:
    """Everything that is open. Works in the current directory, which is virtsupd's run directory."""

    def __init__(self, site: str) -> None:
        """Take the lock and listen.

        Raises:
            AlreadyKeptError: another keeper holds the lock.
            OSError: the directory cannot be used.
        """
        self._lock = _take_lock()
        self._epoll = select.epoll()
        self._wake, self._wake_end = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._listener = _listen()
        self._socket_file = identity(SOCKET)
        self._look_at = time.monotonic() + _LOOK_SECONDS
        self._connection: _socket.socket | None = None
        self._unsent: list[bytes] = []
        self._logs: dict[str, Log] = {}
        self._log_by_fifo: dict[int, Log] = {}
        self._deadlines: dict[str, float] = {}
        self._told: dict[str, str] = {}
        self._closing: set[str] = set()
        self._compressor = Compressor(site)
        self._compression = -1
        self._last_batch = 0.0
        self._has_more = False
        self._is_ending = False
        self._epoll.register(self._listener.fileno(), select.EPOLLIN)
        self._epoll.register(self._wake, select.EPOLLIN)
        self._answers: dict[str, Callable[[list[str]], None]] = {
            "open": self._open,
            "close": self._close,
            "drain": self._drain,
            "end": self._end,
        }

    def run(self) -> None:
        """Keep logs until TERM or `end`; then empty the FIFOs and remove the socket."""
        while not self._is_ending:
            self.turn()
        self.close()

    def close(self) -> None:
        """Empty the FIFOs and let go of everything; a half-done compression is thrown away."""
        self._empty_all()
        self._compressor.kill()
        if self._is_reachable():
            os.unlink(SOCKET)
        self._hang_up()
        self._listener.close()
        self._epoll.close()
        for fd in (self._wake, self._wake_end, self._lock):
            os.close(fd)

    def take_signals(self) -> None:
        """TERM ends, what a terminal sends is nothing to us; all signals only wake the loop."""
        _signal.set_wakeup_fd(self._wake_end, warn_on_full_buffer=False)
        _signal.signal(_signal.SIGTERM, lambda _number, _frame: self._end([]))
        for number in (_signal.SIGINT, _signal.SIGHUP):
            _signal.signal(number, _signal.SIG_IGN)

    def _seconds_left(self) -> float | None:
        """Return how long there is nothing to do; None for ever."""
        deadlines = list(self._deadlines.values())
        if self._connection is None or self._closing:
            deadlines.append(self._look_at)
        return max(min(deadlines) - time.monotonic(), 0.0) if deadlines else None

    def turn(self) -> None:
        """Wait for something and take it: control first, then one batch of each FIFO with output."""
        ready = []
        for fd, mask in self._epoll.poll(self._seconds_left()):
            if fd in self._log_by_fifo:
                ready.append(fd)
            else:
                self._take_event(fd, mask)
        if ready:
            self._pause()
            # A request above may have closed some of them.
            logs = [self._log_by_fifo[fd] for fd in ready if fd in self._log_by_fifo]
            for log in logs:
                log.move()
                self._review(log)
            self._has_more = any(log.has_more for log in logs)
            self._last_batch = time.monotonic()
        self._meet_deadlines()
        self._look_around()

    def _take_event(self, fd: int, mask: int) -> None:
        if fd == self._listener.fileno():
            self._accept()
        elif self._connection is not None and fd == self._connection.fileno():
            self._talk(self._connection, mask)
        elif fd == self._wake:
            os.read(self._wake, 4096)
        elif fd == self._compression:
            self._end_compression()

    def _pause(self) -> None:
        """Under load, let output gather: moving 1 MiB costs as much as moving a line."""
        if not self._has_more and time.monotonic() - self._last_batch < _BUSY_SECONDS:
            time.sleep(_PAUSE_SECONDS)

    def _meet_deadlines(self) -> None:
        now = time.monotonic()
        for name in [name for name, at in self._deadlines.items() if at <= now]:
            log = self._logs[name]
            log.on_time()
            self._review(log)

    def _look_around(self) -> None:
        """Let go of what was closed; without virtsupd or a way for one to come, of all, and end."""
        now = time.monotonic()
        if now < self._look_at or (self._connection is not None and not self._closing):
            return
        self._look_at = now + _LOOK_SECONDS
        for name in tuple(self._closing):
            self._close([name])
        if self._connection is not None or self._is_reachable():
            return
        for log in [log for log in self._logs.values() if self._is_abandoned(log)]:
            self._forget(log)
        self._is_ending |= not self._logs and not self._compressor.is_busy

    def _is_reachable(self) -> bool:
        """Whether a virtsupd that looks for a keeper here finds this one."""
        return identity(SOCKET) == self._socket_file

    def _is_abandoned(self, log: Log) -> bool:
        self._epoll.unregister(log.fifo)
        del self._log_by_fifo[log.fifo]
        is_abandoned = log.is_abandoned()
        self._log_by_fifo[log.fifo] = log
        self._epoll.register(log.fifo, 0 if log.is_blocked else select.EPOLLIN)
        return is_abandoned

    def _review(self, log: Log) -> None:
        """After anything that may have changed a log: timers, trouble, compression, readability."""
        deadline = log.deadline()
        if deadline:
            self._deadlines[log.name] = deadline
        else:
            self._deadlines.pop(log.name, None)
        trouble = log.trouble or log.rotation_trouble
        if trouble != self._told.get(log.name):
            self._tell_trouble(log.name, trouble)
            self._epoll.modify(log.fifo, 0 if log.is_blocked else select.EPOLLIN)
        if log.wants_compression:
            log.wants_compression = False
            self._compressor.add(log.settings.file, log.settings.keep)
            self._start_compression()

    def _tell_trouble(self, name: str, trouble: str) -> None:
        self._told[name] = trouble
        self._send("trouble", name, trouble)

    def _start_compression(self) -> None:
        if not self._compressor.is_busy:
            self._compression = self._compressor.start()
            if self._compression >= 0:
                self._epoll.register(self._compression, select.EPOLLIN)

    def _end_compression(self) -> None:
        os.close(self._compression)
        self._compression = -1
        if warning := self._compressor.finish():
            self._send("warning", warning)
        self._start_compression()

    def _open(self, fields: list[str]) -> None:
        """Begin to keep a log, or take over other settings for it."""
        name = fields[0]
        settings = Settings(fields[1:])
        log = self._logs.get(name)
        self._closing.discard(name)
        if log is not None and not (settings.fifo == log.settings.fifo and log.has_same_fifo):
            self._drop(log)
            log = None
        try:
            if log is None:
                log = self._add(name, settings)
            else:
                log.drain()
                log.change(settings)
        except OSError as error:
            self._tell_trouble(name, f"log cannot be kept: {settings.fifo}: {error.strerror}")
            return
        self._told.pop(name, None)
        log.move()
        self._review(log)

    def _add(self, name: str, settings: Settings) -> Log:
        log = Log(name, settings)
        self._logs[name] = self._log_by_fifo[log.fifo] = log
        self._epoll.register(log.fifo, select.EPOLLIN)
        return log

    def _drop(self, log: Log) -> None:
        """Empty the FIFO and let go of it."""
        log.drain()
        self._forget(log)

    def _forget(self, log: Log) -> None:
        """Let go of a FIFO; what is in it goes with its last holder."""
        del self._logs[log.name], self._log_by_fifo[log.fifo]
        self._deadlines.pop(log.name, None)
        self._told.pop(log.name, None)
        self._closing.discard(log.name)
        self._epoll.unregister(log.fifo)
        log.close()

    def _close(self, fields: list[str]) -> None:
        """Forget a log once nobody else holds its FIFO; one that is not known is closed already.

        A FIFO that has lost its name was renamed with its service: it is somebody else's now.
        """
        name = fields[0]
        if (log := self._logs.get(name)) is not None:
            log.drain()
            if log.has_same_fifo and not self._is_abandoned(log):
                self._closing.add(name)
                self._review(log)
                return
            self._forget(log)
        self._send("closed", name)

    def _drain(self, fields: list[str]) -> None:
        """Answer once what is in the FIFO now is in the file, or cannot be."""
        name, token = fields
        if (log := self._logs.get(name)) is not None:
            log.drain()
            self._review(log)
        self._send("drained", name, token)

    def _end(self, _fields: list[str]) -> None:
        self._is_ending = True

    def _empty_all(self) -> None:
        until = time.monotonic() + _DRAIN_SECONDS
        for log in self._logs.values():
            if time.monotonic() < until:
                log.drain()
            log.close()

    def _accept(self) -> None:
        """Take a connection of our own user instead of the one there was."""
        fd, _ = self._listener._accept()  # type: ignore[attr-defined]  # noqa: SLF001 - the bare module's only form
        connection = _socket.socket(fileno=fd)
        if _peer_user(connection) != os.geteuid():
            connection.close()
            return
        self._hang_up()
        connection.setblocking(False)
        _enlarge(connection)
        self._connection = connection
        self._epoll.register(connection.fileno(), select.EPOLLIN)
        self._send("keeper", PROTOCOL)

    def _hang_up(self) -> None:
        if self._connection is not None:
            self._epoll.unregister(self._connection.fileno())
            self._connection.close()
        self._connection = None
        self._unsent.clear()

    def _talk(self, connection: _socket.socket, mask: int) -> None:
        """Send what waits and take all requests; a peer that breaks the protocol is hung up on.

        All, because a turn may pause and move megabytes, and what is not known here yet is lost if
        its writer and virtsupd die.
        """
        if mask & select.EPOLLOUT:
            self._flush(connection)
        if not mask & (select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR):
            return
        while self._connection is connection:
            try:
                datagram = connection.recv(MAX_BYTES)
            except BlockingIOError:
                return
            except OSError:
                datagram = b""
            if not datagram or not self._answer(decode(datagram)):
                self._hang_up()

    def _answer(self, fields: list[str]) -> bool:
        """Carry out one request; False if it is none."""
        answer = self._answers.get(fields[0])
        if answer is None:
            return False
        try:
            answer(fields[1:])
        except (ValueError, IndexError):
            return False
        return True

    def _send(self, *fields: str) -> None:
        """Send without waiting; what does not fit is sent when it does."""
        if self._connection is not None:
            self._unsent.append(encode(*fields))
            if len(self._unsent) > _MAX_UNSENT:
                self._hang_up()
                return
            self._flush(self._connection)

    def _flush(self, connection: _socket.socket) -> None:
        sent = 0
        try:
            for datagram in self._unsent:
                connection.send(datagram)
                sent += 1
        except BlockingIOError:
            pass
        except OSError:
            # The reading side learns of it as an end of file.
            sent = len(self._unsent)
        del self._unsent[:sent]
        mask = select.EPOLLIN | (select.EPOLLOUT if self._unsent else 0)
        self._epoll.modify(connection.fileno(), mask)


def _take_lock() -> int:
    lock = os.open(LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        if error.errno in {errno.EAGAIN, errno.EACCES}:
            raise AlreadyKeptError("another log keeper works in this directory") from error
        raise
    return lock


def _listen() -> _socket.socket:
    """Bind under another name and rename: whoever finds the socket can connect to it."""
    listener = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET | _socket.SOCK_CLOEXEC)
    fresh = SOCKET + ".new"
    if os.path.lexists(fresh):
        os.unlink(fresh)
    listener.bind(fresh)
    os.chmod(fresh, 0o600)
    listener.listen(8)
    listener.setblocking(False)
    os.rename(fresh, SOCKET)
    return listener


def _peer_user(connection: _socket.socket) -> int:
    credentials = connection.getsockopt(_socket.SOL_SOCKET, _socket.SO_PEERCRED, 12)
    return int(struct.unpack("iII", credentials)[1])


def _enlarge(connection: _socket.socket) -> None:
    """Make room for an answer about every log at once."""
    connection.setsockopt(_socket.SOL_SOCKET, _socket.SO_SNDBUF, 1 << 20)

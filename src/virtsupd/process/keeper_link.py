"""The wire to the log keeper: starts it when none lives, connects, and does so again when it dies."""

import importlib.util
import os
import signal
import socket
import sys
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import anyio
import structlog

import virtsupd
from virtsupd.core.exits import ExitStatus
from virtsupd.errors import VirtsupdError
from virtsupd.process.clock import Clock
from virtsupd.process.unix_peer import credentials_of

PROTOCOL = "2"
SOCKET = "keeper"
ERRORS = "keeper.err"
LOCK = "keeper.lock"
PROGRAM = Path(virtsupd.__file__).with_name("logkeeper") / "__main__.py"

_MAX_DATAGRAM_BYTES = 65536
_START_SECONDS = 10.0
_DEATH_SECONDS = 2.0
_FIRST_PAUSE_SECONDS = 0.01
_LONGEST_PAUSE_SECONDS = 1.0
_STABLE_SECONDS = 1.0
_KEEP_ERRORS_BYTES = 65536
_READY_DESCRIPTOR = 3


_log = structlog.get_logger()


class ChildWatcher(Protocol):
    """What the link needs of the reaper."""

    def watch(self, pid: int, on_exit: Callable[[ExitStatus], None]) -> None:
        """Call `on_exit` once the child has been reaped."""
        ...


class KeeperError(VirtsupdError):
    """The log keeper could not be started; the message says why. Output waits in the FIFOs."""

    code = "no-log-keeper"


class KeeperLink:
    """A connection that is there most of the time.

    `on_connected` is called each time it is made anew and says again all that the keeper has to
    know; `on_message` gets each message of the keeper; `on_warning` a reason why there is no
    keeper, or None when there is one. `connected` is set while there is a connection, after
    `on_connected`; at its loss a new event takes its place.
    """

    def __init__(
        self,
        run_dir: Path,
        *,
        children: ChildWatcher,
        clock: Clock,
        patience_seconds: float = _START_SECONDS,
    ) -> None:
        """Prepare; `run` does the work. A keeper gets `patience_seconds` to listen and to greet."""
        self._patience_seconds = patience_seconds
        self._run_dir = run_dir
        self._children = children
        self._clock = clock
        self._socket: socket.socket | None = None
        self._unsent: deque[bytes] = deque()
        self._has_unsent = anyio.Event()
        self._is_ending = False
        self.connected = anyio.Event()
        self.pid: int | None = None
        self._child = 0
        """The one that we started last; the end of another is noticed by its connection alone."""
        self.on_connected: Callable[[], None] = _nothing
        self.on_message: Callable[[list[str]], None] = _nothing_about
        self.on_warning: Callable[[str | None], None] = _nothing_about

    def send(self, *fields: str) -> None:
        """Send one message, at once if it fits.

        Without a connection it is dropped: `on_connected` says everything again.
        """
        if self._socket is None:
            return
        self._unsent.append(os.fsencode("\0".join(fields)))
        self._flush(self._socket)

    async def run(self) -> None:
        """Stay connected until `end` was sent and the keeper is gone."""
        pause = 0.0
        while not self._is_ending:
            begun = self._clock.now().monotonic
            try:
                connection = self._connect() or await self._start()
                await self._serve(connection)
            except KeeperError as error:
                self.on_warning(str(error))
            if self._clock.now().monotonic - begun >= _STABLE_SECONDS:
                pause = 0.0
            if not self._is_ending:
                await self._clock.sleep(pause)
                pause = min(max(pause * 2, _FIRST_PAUSE_SECONDS), _LONGEST_PAUSE_SECONDS)

    def end(self) -> None:
        """Ask the keeper to empty the FIFOs and end; `run` returns when it has."""
        self._is_ending = True
        self.send("end")

    def _connect(self) -> socket.socket | None:
        """Return a connection to a living keeper of our own user; None if there is none."""
        kind = socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
        connection = socket.socket(socket.AF_UNIX, kind)
        # By way of a descriptor: the path of a run directory may be longer than a socket's may.
        try:
            directory = os.open(self._run_dir, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                connection.connect(f"/proc/self/fd/{directory}/{SOCKET}")
            finally:
                os.close(directory)
        except OSError:
            connection.close()
            return None
        pid, uid, _ = credentials_of(connection)
        if uid != os.geteuid():
            connection.close()
            raise KeeperError(f"{self._run_dir / SOCKET} belongs to a process of user {uid}")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        self.pid = pid
        return connection

    async def _start(self) -> socket.socket:
        """Start a keeper, wait until it listens, connect.

        Raises:
            KeeperError: it could not be made or ended at once.
        """
        ready, ready_end = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            try:
                pid = self._spawn(ready_end)
            except OSError as error:
                raise KeeperError(f"log keeper cannot be started: {error.strerror}") from error
            finally:
                os.close(ready_end)
            self._child = pid
            self._children.watch(pid, lambda status: self._note_end(pid, status))
            with anyio.move_on_after(self._patience_seconds):
                await anyio.wait_readable(ready)
                if os.read(ready, 1) and (connection := self._connect()):
                    return connection
        finally:
            os.close(ready)
        raise KeeperError(f"log keeper cannot be started: {self._last_error()}")

    def _spawn(self, ready: int) -> int:
        """Make the process: own session, nothing inherited but `ready`, no environment."""
        errors = self._run_dir / ERRORS
        if errors.exists() and errors.stat().st_size > _KEEP_ERRORS_BYTES:
            errors.unlink()
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
        options = ["-B"] if sys.dont_write_bytecode else []
        command = [sys.executable, "-I", "-S", *options, str(PROGRAM), str(self._run_dir), _site()]
        return os.posix_spawn(
            sys.executable,
            command,
            {},
            file_actions=[
                (os.POSIX_SPAWN_DUP2, ready, _READY_DESCRIPTOR),
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDWR, 0),
                (os.POSIX_SPAWN_DUP2, 0, 1),
                (os.POSIX_SPAWN_OPEN, 2, str(errors), flags, 0o600),
            ],
            setsid=True,
            setsigmask=(),
            setsigdef=signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP},
        )

    def _last_error(self) -> str:
        """Return the last line the keeper wrote to its standard error."""
        try:
            lines = (self._run_dir / ERRORS).read_text(errors="replace").splitlines()
        except OSError:
            lines = []
        return lines[-1] if lines else f"it did not answer within {self._patience_seconds:g} s"

    def _note_end(self, pid: int, status: ExitStatus) -> None:
        if not self._is_ending:
            _log.warning("log keeper ended", pid=pid, exit_status=str(status))

    async def _serve(self, connection: socket.socket) -> None:
        """Be connected until the keeper ends or hangs up, then until it is dead."""
        death = _open_pidfd(self.pid)
        try:
            if await self._is_ours(connection):
                await self._converse(connection)
            # Its lock is free only then. One that hung up and lives is simply connected to again.
            with anyio.move_on_after(_DEATH_SECONDS):
                await _wait_death(death)
                if self.pid != self._child and not self._is_ending:
                    _log.warning("log keeper ended", pid=self.pid, exit_status="unknown")
        finally:
            self._socket = self.pid = None
            self.connected = anyio.Event()
            connection.close()
            if death >= 0:
                os.close(death)

    async def _is_ours(self, connection: socket.socket) -> bool:
        """Whether the keeper speaks our protocol; one of another version is told to end.

        Raises:
            KeeperError: it says nothing.
        """
        with anyio.move_on_after(self._patience_seconds):
            greeting = await _receive(connection)
            if greeting == ["keeper", PROTOCOL]:
                return True
            with suppress(OSError):
                connection.send(b"end")
            while await _receive(connection):
                pass
            return False
        raise KeeperError(f"log keeper (pid {self.pid}) does not answer")

    async def _converse(self, connection: socket.socket) -> None:
        self._socket = connection
        self._unsent.clear()
        self.on_warning(None)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._write, connection)
            self.on_connected()
            if self._is_ending:
                self.send("end")  # it was asked for while there was nobody to tell
            self.connected.set()
            while message := await _receive(connection):
                self.on_message(message)
            tasks.cancel_scope.cancel()

    async def _write(self, connection: socket.socket) -> None:
        """Send what did not fit, when it does."""
        while True:
            await self._has_unsent.wait()
            self._has_unsent = anyio.Event()
            await anyio.wait_writable(connection)
            self._flush(connection)

    def _flush(self, connection: socket.socket) -> None:
        try:
            while self._unsent:
                connection.send(self._unsent[0])
                self._unsent.popleft()
        except BlockingIOError:
            self._has_unsent.set()
        except OSError:
            # The reader sees the end of the connection; everything is said again on the next.
            self._unsent.clear()


def remove_traces(run_dir: Path) -> None:
    """Remove what a keeper that ended leaves in the run directory."""
    for name in (SOCKET, LOCK, ERRORS):
        (run_dir / name).unlink(missing_ok=True)


def _site() -> str:
    """Return the directory that the keeper can import zstd from, "" if there is none to name."""
    try:
        spec = importlib.util.find_spec("backports.zstd")
    except ModuleNotFoundError:
        spec = None
    if spec is None or spec.origin is None:
        return ""
    return str(Path(spec.origin).parents[2])


async def _receive(connection: socket.socket) -> list[str] | None:
    """Return the next message; None at the end of the connection."""
    while True:
        await anyio.wait_readable(connection)
        try:
            datagram = connection.recv(_MAX_DATAGRAM_BYTES)
        except BlockingIOError:
            continue
        except OSError:
            return None
        return os.fsdecode(datagram).split("\0") if datagram else None


def _open_pidfd(pid: int | None) -> int:
    """Return a pidfd, -1 if the process is gone."""
    try:
        return os.pidfd_open(pid) if pid else -1
    except ProcessLookupError:
        return -1


async def _wait_death(pidfd: int) -> None:
    if pidfd >= 0:
        await anyio.wait_readable(pidfd)


def _nothing() -> None:
    return


def _nothing_about(_what: object) -> None:
    return

"""The console of a machine: its serial port, joined to whatever the standard streams are.

Nothing that the guest says is read here: it goes out as it came. What is typed goes to the guest, but
for the one letter that leaves.
"""

import os
import select
import signal
import socket
import sys
import termios
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Final

from virtsupd.core.frozen import frozen
from virtsupd.machine.channel import turn_now
from virtsupd.machine.peer import demand_owner

_CHUNK_BYTES = 1 << 16
_MOST_UNSENT_BYTES = 1 << 16
"""A guest that reads slowly has a pipe wait from here on; a terminal never, so that it can be left."""
_LOOK_AGAIN_SECONDS = 0.3
_ENDING: Final = (signal.SIGTERM, signal.SIGHUP)


class _EndedError(Exception):
    """The machine has ended."""


class LeftError(Exception):
    """Whoever uses the console has left it, or was told to."""


@frozen
class Manner:
    """How a console is used."""

    escape: bytes
    """The letter that leaves, where input is a terminal."""
    quiet_seconds: float = 1.0
    """How long nothing has to be said after the end of input that is no terminal."""
    welcome: str = ""
    """Told once what is typed goes to the guest."""
    is_once: bool = False
    """Whether it ends with the machine, instead of waiting for its next start."""


class Console:
    """One use of a console."""

    def __init__(
        self,
        path: str,
        manner: Manner,
        *,
        greet: Callable[[], object],
        tell: Callable[[str], object],
    ) -> None:
        """Take the socket of the serial port, what is done once it is ours, and who is told what becomes of the machine."""
        self._path = path
        self._manner = manner
        self._greet = greet
        self._tell = tell
        self._input = sys.stdin.fileno()
        self._output = sys.stdout.fileno()
        self._is_terminal = os.isatty(self._input)
        self._is_input_over = False

    def run(self) -> None:
        """Join the streams until whoever uses it leaves, or the machine ends for good.

        Raises:
            ChannelTakenError: somebody else has the console.
            OSError: there is no machine, or its console is not for us.
        """
        lock, connection = self._connected()
        self._greet()
        with _raw(self._input if self._is_terminal else None), suppress(LeftError):
            self._tell(self._manner.welcome)
            while True:
                try:
                    self._join(connection)
                except _EndedError:
                    self._tell("the machine has ended")
                finally:
                    connection.close()
                    os.close(lock)
                if self._manner.is_once or not self._is_terminal:
                    return
                lock, connection = self._await_next()
                self._tell("the machine has started again")

    def _connected(self) -> tuple[int, socket.socket]:
        lock = turn_now(self._path)
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.connect(self._path)
            demand_owner(connection, self._path)
        except BaseException:
            connection.close()
            os.close(lock)
            raise
        connection.setblocking(False)
        return lock, connection

    def _await_next(self) -> tuple[int, socket.socket]:
        """Return once it has started again; what is typed meanwhile is lost, but for leaving."""
        while True:
            with suppress(FileNotFoundError, ConnectionRefusedError):
                return self._connected()
            if select.select([self._input], [], [], _LOOK_AGAIN_SECONDS)[0]:
                self._typed()

    def _join(self, connection: socket.socket) -> None:
        unsent = bytearray()
        while True:
            has_room = self._is_terminal or len(unsent) < _MOST_UNSENT_BYTES
            is_reading = has_room and not self._is_input_over
            limit = self._manner.quiet_seconds if self._is_input_over and not unsent else None
            ready, writable, _ = select.select(
                [connection, *([self._input] if is_reading else [])],
                [connection] if unsent else [],
                [],
                limit,
            )
            if not ready and not writable:
                raise LeftError
            if connection in ready:
                self._show(connection)
            if self._input in ready:
                unsent += self._typed()
            if connection in writable:
                self._send(connection, unsent)

    def _show(self, connection: socket.socket) -> None:
        said = b""
        with suppress(BlockingIOError):
            try:
                said = connection.recv(_CHUNK_BYTES)
            except ConnectionResetError:
                said = b""
            if not said:
                raise _EndedError
        while said:
            said = said[os.write(self._output, said) :]

    def _typed(self) -> bytes:
        """Return what is to be sent of what was typed.

        Raises:
            LeftError: the letter that leaves is in it, or the terminal is gone.
        """
        typed = os.read(self._input, _CHUNK_BYTES)
        if not typed and self._is_terminal:
            raise LeftError
        self._is_input_over = not typed
        if self._is_terminal and self._manner.escape in typed:
            raise LeftError
        return typed

    def _send(self, connection: socket.socket, unsent: bytearray) -> None:
        with suppress(BlockingIOError):
            try:
                del unsent[: connection.send(unsent)]
            except (BrokenPipeError, ConnectionResetError) as error:
                raise _EndedError from error


@contextmanager
def _raw(terminal: int | None) -> Iterator[None]:
    """Have each letter that is typed come as it is, and the terminal as it was afterwards, also if we are told to end."""
    if terminal is None:
        yield
        return
    before = termios.tcgetattr(terminal)
    handlers = {number: signal.signal(number, _leave) for number in _ENDING}
    try:
        tty.setraw(terminal, termios.TCSADRAIN)  # what was typed already is not lost
        yield
    finally:
        with suppress(termios.error):  # it is gone
            termios.tcsetattr(terminal, termios.TCSADRAIN, before)
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _leave(_number: int, _frame: FrameType | None) -> None:
    raise LeftError

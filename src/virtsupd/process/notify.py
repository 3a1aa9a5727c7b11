"""sd_notify(3), the receiving side: the socket, its messages, and the watchdog they feed.

What a message says is believed by nobody here: it carries the pid and uid that the kernel saw, and
the caller decides whether that process may speak for the service.
"""

import array
import asyncio
import contextlib
import os
import socket
import struct
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from virtsupd.core.frozen import frozen
from virtsupd.errors import SpawnError

MESSAGE_BYTES = 4096
PATH_BYTES = 107
"""What fits into a Unix socket address, without the NUL that some clients need after it."""

_MESSAGES_PER_TURN = 64
_CREDENTIALS = struct.Struct("iII")
_MAX_DESCRIPTORS = 253  # SCM_MAX_FD: the kernel lets no message carry more
_ANCILLARY_BYTES = socket.CMSG_SPACE(_CREDENTIALS.size) + socket.CMSG_SPACE(4 * _MAX_DESCRIPTORS)


@frozen
class NotifyMessage:
    """One datagram: who sent it, as the kernel says, and its NAME=value lines.

    A name that comes twice keeps its last value; names unknown to virtsupd are kept. `pid` is 0
    when the sender lives in a pid namespace that we cannot see into.
    """

    pid: int
    uid: int
    fields: Mapping[str, str]


class NotifySocket:
    """A socket at `path` whose messages go to `on_message`, on the running event loop.

    It is bound under a temporary name and renamed, so that at no moment a client finds the path
    without a listener where there was one before. Anybody may send (mode 0666; the directory may
    be stricter). At most 64 messages are taken in a turn of the loop: a flood delays other work
    by that many callbacks and then waits its turn. A datagram longer than 4096 bytes is dropped
    whole. Descriptors that come along (BARRIER=1, FDSTORE=1) are closed once `on_message` returned.
    """

    def __init__(
        self,
        path: Path,
        *,
        on_message: Callable[[NotifyMessage], None],
        inherited: int | None = None,
    ) -> None:
        """Bind `path` and begin to listen.

        `inherited` is the descriptor that `fileno` told before an exec: it is listened to on, and
        with it come the messages that were sent meanwhile. It is ours from now on.

        Raises:
            SpawnError: stage "socket"; the path is too long or cannot be bound. Nothing is left behind.
            OSError: `inherited` is no socket; it is as it was.
        """
        check_length(path)
        self.path = path
        self._on_message = on_message
        self._socket = _bind(path) if inherited is None else socket.socket(fileno=inherited)
        self._identity = _identity(path)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._socket.fileno(), self._take_some)

    def fileno(self) -> int:
        """Return the descriptor, for a successor that inherits it; -1 after `close`."""
        return self._socket.fileno()

    def close(self) -> None:
        """Stop listening; remove the path unless a successor has bound it. May be called twice."""
        if self._socket.fileno() < 0:
            return
        self._loop.remove_reader(self._socket.fileno())
        self._socket.close()
        if _identity(self.path) == self._identity:
            with contextlib.suppress(OSError):
                self.path.unlink()

    def drain(self) -> None:
        """Take what has arrived by now, up to a turn's worth: for a sender whose end is known already."""
        self._take_some()

    def _take_some(self) -> None:
        for _ in range(_MESSAGES_PER_TURN):
            if self._socket.fileno() < 0 or not self._take_one():
                return

    def _take_one(self) -> bool:
        try:
            data, ancillary, flags, _ = self._socket.recvmsg(
                MESSAGE_BYTES, _ANCILLARY_BYTES, socket.MSG_CMSG_CLOEXEC
            )
        except BlockingIOError:
            return False
        descriptors = _descriptors(ancillary)
        try:
            sender = _sender(ancillary)
            if sender is not None and not flags & socket.MSG_TRUNC:
                self._on_message(NotifyMessage(*sender, parse_fields(data)))
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
        return True


class Watchdog:
    """The keep-alive of sd_notify: the service says WATCHDOG=1 at least every `interval_seconds`.

    Times are monotonic. The first deadline counts from `now`. WATCHDOG_USEC=N changes the
    interval (0 ends the watch), WATCHDOG=trigger makes it overdue at once.
    """

    def __init__(self, interval_seconds: float, now: float) -> None:
        """Begin to watch at `now`."""
        self._interval_seconds = interval_seconds
        self._deadline: float | None = now + interval_seconds
        self._was_triggered = False

    @property
    def deadline(self) -> float | None:
        """When it becomes overdue unless fed before; None when the service ended the watch."""
        return self._deadline

    def feed(self, message: NotifyMessage, now: float) -> None:
        """Take note of a message of the service; one without watchdog fields changes nothing."""
        said = message.fields.get("WATCHDOG")
        interval = message.fields.get("WATCHDOG_USEC", "")
        if said == "trigger":
            self._was_triggered = True
            self._deadline = now
        elif interval.isdecimal() and interval.isascii():
            self._restart(int(interval[:20]) / 1e6, now)
        elif said == "1" and not self._was_triggered and self._deadline is not None:
            self._deadline = now + self._interval_seconds

    def is_overdue(self, now: float) -> bool:
        """Whether the service has been silent for too long, or asked to be considered stuck."""
        return self._deadline is not None and now >= self._deadline

    def _restart(self, interval_seconds: float, now: float) -> None:
        self._interval_seconds = interval_seconds
        self._was_triggered = False
        self._deadline = now + interval_seconds if interval_seconds > 0 else None


def parse_fields(data: bytes) -> dict[str, str]:
    """Return the NAME=value lines of a message; lines without "=" are skipped, bad UTF-8 replaced."""
    lines = data.decode("utf-8", "replace").split("\n")
    return {
        name: value for name, equals, value in (line.partition("=") for line in lines) if equals
    }


def check_length(path: Path) -> None:
    """Refuse a path that does not fit into a Unix socket address.

    Raises:
        SpawnError: stage "socket", permanent.
    """
    length = len(os.fsencode(path))
    if length > PATH_BYTES:
        raise SpawnError(
            "socket",
            f"cannot bind {path}: {length} bytes are too long for a Unix socket, which takes {PATH_BYTES}",
            is_permanent=True,
        )


def _bind(path: Path) -> socket.socket:
    made = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        _bind_and_rename(made, path)
    except OSError as error:
        made.close()
        raise SpawnError(
            "socket", f"cannot bind {path}: {os.strerror(error.errno or 0)}", is_permanent=False
        ) from error
    return made


def _bind_and_rename(made: socket.socket, path: Path) -> None:
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    # The temporary name is bound through the directory's descriptor, so its length does not count.
    temporary = f".notify-{os.getpid()}-{made.fileno()}"
    try:
        _unlink(temporary, directory)
        made.bind(f"/proc/self/fd/{directory}/{temporary}")
        os.chmod(temporary, 0o666, dir_fd=directory)  # noqa: S103 - anybody may send, see above
        os.rename(temporary, path.name, src_dir_fd=directory, dst_dir_fd=directory)
    except OSError:
        _unlink(temporary, directory)
        raise
    finally:
        os.close(directory)


def _unlink(name: str, directory: int) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(name, dir_fd=directory)


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.lstat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _sender(ancillary: Sequence[tuple[int, int, bytes]]) -> tuple[int, int] | None:
    for level, kind, content in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_CREDENTIALS):
            pid, uid, _ = _CREDENTIALS.unpack_from(content)
            return pid, uid
    return None


def _descriptors(ancillary: Sequence[tuple[int, int, bytes]]) -> list[int]:
    found = array.array("i")
    for level, kind, content in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            found.frombytes(content[: len(content) // found.itemsize * found.itemsize])
    return list(found)

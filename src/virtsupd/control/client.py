"""A blocking client of the control socket, for short-lived programs.

Standard library and `virtsupd.errors` only, and little of it: its imports are most of what
`virtsupctl status` costs. One `Client` is for one thread.
"""

import json
import socket
import sys
import time
from collections.abc import Iterator

from virtsupd.errors import (
    ActionError,
    ArgumentsError,
    ConfigError,
    PeerDeniedError,
    ProtocolError,
    ReexecError,
    ReexecutingError,
    UnknownActionError,
    UnknownServiceError,
    UnreachableError,
    VirtsupdError,
)

TYPE_CHECKING = False  # what mypy takes for typing's: that costs virtsupctl a tenth of its time
if TYPE_CHECKING:
    from typing import Self

INTERFACE = "org.virtsupd.Supervisor"
_CHUNK_BYTES = 1 << 18
_FULL_QUEUE_SECONDS = 0.005

Json = dict[str, object]


class Client:
    """Calls methods of virtsupd over Varlink.

    The connection is made by the first call and kept for the next ones. After any error that is
    not an answer of virtsupd it is closed, and the next call makes a new one.
    """

    def __init__(self, path: str, timeout: float | None = None) -> None:
        """Talk to the socket at `path`; each call takes at most `timeout` seconds (None: for ever)."""
        self.path = path
        self.timeout = timeout
        self._socket: socket.socket | None = None
        self._pending = bytearray()

    def __enter__(self) -> "Self":
        """Return the client itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the connection."""
        self.close()

    def close(self) -> None:
        """Close the connection, if any; the next call makes a new one."""
        if self._socket is not None:
            self._socket.close()
        self._socket = None
        self._pending.clear()

    @property
    def peer_uid(self) -> int:
        """Return the account that listens at the socket, as it was when the connection was made.

        Raises:
            UnreachableError: there is no connection.
        """
        if self._socket is None:
            raise UnreachableError(f"no connection to {self.path}")
        # struct ucred: the pid, the uid and the gid, 32 bits each (unix(7)).
        found = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        return int.from_bytes(found[4:8], sys.byteorder)

    def call(self, method: str, parameters: Json | None = None) -> Json:
        """Call a method and return the parameters of its one reply.

        `method` is the bare name ("Status") for virtsupd's own interface, or a full one.

        Raises:
            UnreachableError: nobody listens there, or the connection ended without an answer.
            PeerDeniedError: the socket's mode or virtsupd's access rules refuse it.
            TimeoutError: the answer did not come in time; the command may still be in force.
            UnknownServiceError, UnknownActionError, ActionError, ConfigError: virtsupd's answer.
            ProtocolError: one side does not speak the interface as the other expects.
            VirtsupdError: any other error virtsupd answered with.
        """
        deadline = self._deadline()
        self._send({"method": _full_name(method), "parameters": parameters or {}}, deadline)
        return _parameters(self._receive(deadline))

    def await_end(self) -> None:
        """Wait until virtsupd ends the connection; the next call makes a new one.

        Raises:
            TimeoutError: it did not in time.
        """
        deadline = self._deadline()
        try:
            while self._socket is not None:
                self._socket.settimeout(_remaining(deadline))
                if not self._socket.recv(_CHUNK_BYTES):
                    return
        except ConnectionError:
            return
        finally:
            self.close()

    def stream(self, method: str, parameters: Json | None = None) -> Iterator[Json]:
        """Call a method with `more` and yield the parameters of each reply until the last.

        The timeout counts from reply to reply. Leaving the iteration early closes the connection,
        which ends the stream on virtsupd's side too. Raises what `call` does.
        """
        call: Json = {"method": _full_name(method), "parameters": parameters or {}, "more": True}
        self._send(call, self._deadline())
        finished = False
        try:
            while not finished:
                reply = self._receive(self._deadline())
                finished = not reply.get("continues")
                yield _parameters(reply)
        except VirtsupdError:
            finished = True
            raise
        finally:
            if not finished:
                self.close()

    def _deadline(self) -> float | None:
        return None if self.timeout is None else time.monotonic() + self.timeout

    def _connected(self, deadline: float | None) -> socket.socket:
        if self._socket is None:
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                _connect(connection, self.path, deadline)
            except BaseException:
                connection.close()
                raise
            self._socket = connection
        return self._socket

    def _send(self, call: Json, deadline: float | None) -> None:
        connection = self._connected(deadline)
        try:
            connection.settimeout(_remaining(deadline))
            connection.sendall(json.dumps(call).encode() + b"\0")
        except TimeoutError:
            self.close()
            raise
        except (BrokenPipeError, ConnectionResetError):
            # virtsupd may have answered before it closed: the answer is read and says why.
            return
        except OSError as error:
            self.close()
            raise UnreachableError(_unreachable(self.path, error)) from error

    def _receive(self, deadline: float | None) -> Json:
        try:
            reply = json.loads(self._receive_bytes(deadline))
        except OSError as error:
            self.close()
            if isinstance(error, TimeoutError):
                raise
            raise UnreachableError(_unreachable(self.path, error)) from error
        except ValueError as error:
            self.close()
            raise ProtocolError(f"the answer of {self.path} is not JSON: {error}") from error
        if not isinstance(reply, dict):
            self.close()
            raise ProtocolError(f"the answer of {self.path} is not an object")
        return reply

    def _receive_bytes(self, deadline: float | None) -> bytes:
        connection = self._connected(deadline)
        start = 0
        while (end := self._pending.find(0, start)) < 0:
            start = len(self._pending)
            connection.settimeout(_remaining(deadline))
            chunk = connection.recv(_CHUNK_BYTES)
            if not chunk:
                raise ConnectionResetError("virtsupd closed the connection without an answer")
            self._pending += chunk
        message = bytes(self._pending[:end])
        del self._pending[: end + 1]
        return message


def _connect(connection: socket.socket, path: str, deadline: float | None) -> None:
    # With a timeout the socket does not block, and a full queue is told at once instead of waited for.
    while True:
        try:
            connection.settimeout(_remaining(deadline))
            connection.connect(path)
        except BlockingIOError:
            time.sleep(_FULL_QUEUE_SECONDS)
        except PermissionError as error:
            raise PeerDeniedError(f"cannot open {path}: permission denied") from error
        except TimeoutError:
            raise
        except OSError as error:
            raise UnreachableError(_unreachable(path, error)) from error
        else:
            return


def _remaining(deadline: float | None) -> float | None:
    if deadline is None:
        return None
    remaining = deadline - time.monotonic()
    if remaining <= 0:
        raise TimeoutError("no answer in time")
    return remaining


def _unreachable(path: str, error: OSError) -> str:
    reason = (error.strerror or str(error)).lower()
    return f"cannot reach virtsupd at {path}: {reason}"


def _full_name(method: str) -> str:
    return method if "." in method else f"{INTERFACE}.{method}"


def _parameters(reply: Json) -> Json:
    parameters = reply.get("parameters")
    content: Json = parameters if isinstance(parameters, dict) else {}
    if "error" in reply:
        raise _error(str(reply["error"]), content)
    return content


def _error(name: str, content: Json) -> VirtsupdError:
    """Return the exception that says what an error reply says."""
    interface, _, tag = name.rpartition(".")
    message = str(content.get("message") or "")
    if interface != INTERFACE:
        detail = " ".join(f"{key}={value}" for key, value in content.items())
        return ProtocolError(f"virtsupd refused the call: {name} {detail}".rstrip())
    if tag == "ServiceNotFound":
        nearest = content.get("nearest")
        return UnknownServiceError(str(content.get("name")), str(nearest) if nearest else None)
    if tag == "ActionNotFound":
        return UnknownActionError(str(content.get("action")), str(content.get("service")))
    if tag == "BadConfiguration":
        problems = content.get("problems")
        return ConfigError(tuple(map(str, problems)) if isinstance(problems, list) else ())
    if tag == "Reexecuting":
        return ReexecutingError()
    return _MESSAGE_ERRORS.get(tag, VirtsupdError)(message or _SENTENCES.get(tag, name))


_SENTENCES = {"ShuttingDown": "virtsupd is shutting down"}
_MESSAGE_ERRORS: dict[str, type[VirtsupdError]] = {
    "ActionFailed": ActionError,
    "BadArguments": ArgumentsError,
    "PermissionDenied": PeerDeniedError,
    "ReexecRefused": ReexecError,
}

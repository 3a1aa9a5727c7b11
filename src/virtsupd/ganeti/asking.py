"""virtsupd, asked at its control socket by a program that has to be quick.

This is the first half of what is installed as Ganeti's daemon-util (`rendering`), and imports next to
nothing: `os`, `json`, `socket` and `typing` would cost several times what it does.
"""

from _json import encode_basestring_ascii, make_scanner
from _socket import AF_UNIX, SOCK_STREAM, socket
from time import monotonic, sleep  # noqa: TID251 - a program of its own, that tries to connect

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any, NoReturn, Self

_ANSWER_SECONDS = 10.0
"""Within which virtsupd answers a question."""
_FIRST_LOOK_SECONDS = 0.25
_LOOK_SECONDS = 1.0
"""How often, at least, it is looked what a start waits for."""
_ATTEMPTS = 5
"""How often it is asked again when virtsupd becomes another program, or is another one."""
_RETURN_SECONDS = 10.0
"""How long a virtsupd that ended is waited for; whoever runs it starts another."""
_PAUSE_SECONDS = 0.1


class FailedError(Exception):
    """It cannot be done, and the message says why."""


class UnknownError(FailedError):
    """virtsupd has no such service."""


class AgainError(FailedError):
    """The connection ended: virtsupd became another program, which is to be asked; or it has ended."""


class UnreachedError(FailedError):
    """There is no virtsupd to ask."""


class _Context:
    """What the scanner of JSON asks for: nothing special."""

    strict = False
    object_hook = None
    object_pairs_hook = None
    parse_float = float
    parse_int = int
    parse_constant = float


_scan: "Callable[[str, int], tuple[Any, int]]" = make_scanner(_Context())  # type: ignore[arg-type]  # any object does


class Conversation:
    """One connection to virtsupd, with one question at a time; open within its context."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._rest = b""
        self._socket = socket(AF_UNIX, SOCK_STREAM)

    def __enter__(self) -> "Self":
        """Connect.

        Raises:
            UnreachedError: nobody listens at the socket, or we may not connect.
        """
        try:
            self._socket.connect(self._path)
        except OSError as error:
            self._socket.close()
            raise UnreachedError(
                f"virtsupd, which runs Ganeti's daemons on this host, cannot be reached at"
                f" {self._path}: {error.strerror}"
            ) from error
        return self

    def __exit__(self, *_: object) -> None:
        """Close the connection."""
        self._socket.close()

    def ask(self, method: str, parameters: str) -> None:
        """Send a call; `parameters` is the text of a JSON object.

        Raises:
            AgainError: the connection ended.
        """
        call = f'{{"method":"org.virtsupd.Supervisor.{method}","parameters":{parameters}}}\0'
        try:
            self._socket.sendall(call.encode())
        except OSError as error:
            raise self._ended() from error

    def answer(self, seconds: float) -> "Mapping[str, Any] | None":
        """Return the parameters of the reply; None if so much time passed without one.

        Raises:
            AgainError: the connection ended.
            UnknownError: there is no such service.
            FailedError: virtsupd answered with another error.
        """
        self._socket.settimeout(seconds)
        try:
            while b"\0" not in self._rest:
                self._receive()
        except TimeoutError:
            return None
        except OSError as error:
            raise self._ended() from error
        message, _, self._rest = self._rest.partition(b"\0")
        reply: Mapping[str, Any] = _scan(message.decode(), 0)[0]
        if "error" in reply:
            self._fail(reply["error"].rpartition(".")[2], reply.get("parameters") or {})
        found: Mapping[str, Any] = reply["parameters"]
        return found

    def _receive(self) -> None:
        chunk = self._socket.recv(65536)
        if not chunk:
            raise self._ended()
        self._rest += chunk

    def _fail(self, error: str, parameters: "Mapping[str, Any]") -> "NoReturn":
        if error == "Reexecuting":
            self._await_end()
            raise self._ended()
        if error == "ServiceNotFound":
            raise UnknownError(f"virtsupd has no service {parameters['name']}")
        raise FailedError(str(parameters.get("message") or f"virtsupd answered {error}"))

    def _await_end(self) -> None:
        """Return once virtsupd has become the other program, which answers new connections."""
        self._socket.settimeout(_ANSWER_SECONDS)
        try:
            while self._socket.recv(65536):
                pass
        except OSError:
            return

    def _ended(self) -> AgainError:
        return AgainError(f"virtsupd ended while it was asked at {self._path}")


def _insisting(ask: "Callable[[], Any]", seconds: float) -> "Any":  # noqa: ANN401 - whatever is asked for
    """Return what `ask` returns, which may be asked twice, also if virtsupd becomes another program.

    One that ended while it was asked is waited for: so many seconds.
    """
    until, attempts = 0.0, _ATTEMPTS
    while True:
        try:
            return ask()
        except AgainError:
            attempts -= 1
            if not attempts:
                raise
            until = monotonic() + seconds
        except UnreachedError as error:
            if not until:
                raise UnreachedError(f"{error}; nothing was done") from error
            if monotonic() > until:
                text = (
                    f"{error}; it ended while it was asked, and what was asked may have been done"
                )
                raise UnreachedError(text) from error
            sleep(_PAUSE_SECONDS)


def _names(words: "Sequence[str]") -> str:
    return f"[{','.join(map(encode_basestring_ascii, words))}]"


class Virtsupd:
    """What is asked of virtsupd, at its socket; a question is answered within `answer_seconds`.

    One that ends meanwhile is waited for, for `return_seconds`.
    """

    def __init__(
        self,
        path: str,
        answer_seconds: float = _ANSWER_SECONDS,
        return_seconds: float = _RETURN_SECONDS,
    ) -> None:
        self._path = path
        self._answer_seconds = answer_seconds
        self._return_seconds = return_seconds

    def _insist(self, ask: "Callable[[], Any]") -> "Any":  # noqa: ANN401 - as it is asked
        return _insisting(ask, self._return_seconds)

    def status(self, name: str) -> "Mapping[str, Any]":
        """Return what virtsupd knows of a service.

        Raises:
            UnknownError: it knows none of this name.
            FailedError: it does not answer.
        """
        found: Mapping[str, Any] = self._insist(lambda: self._call("Status", name))["services"][0]
        return found

    def command(self, method: str, name: str) -> "tuple[str, str]":
        """Give a command and return what became of it, in a word and a sentence; raises as `status`."""
        return _report(self._insist(lambda: self._call(method, name)))

    def start(
        self, name: str, once: "Sequence[str]", look: "Callable[[], int | None]"
    ) -> "int | tuple[str, str]":
        """Start a service, with arguments for this run alone, and return what became of it, as `command`.

        While it is on its way it is looked now and then; what `look` returns ends the wait, but not
        the start, of which it takes the arguments back.
        """
        found: int | tuple[str, str] = self._insist(lambda: self._start(name, once, look))
        return found

    def _start(
        self, name: str, once: "Sequence[str]", look: "Callable[[], int | None]"
    ) -> "int | tuple[str, str]":
        with Conversation(self._path) as conversation:
            conversation.ask("Start", f'{{"names":{_names([name])},"once":{_names(once)}}}')
            seconds = _FIRST_LOOK_SECONDS
            while (reply := conversation.answer(seconds)) is None:
                try:
                    seen = look()
                except UnreachedError as error:
                    raise AgainError(str(error)) from error
                if seen is not None:
                    return seen
                seconds = min(seconds * 2, _LOOK_SECONDS)
        return _report(reply)

    def _call(self, method: str, name: str) -> "Mapping[str, Any]":
        with Conversation(self._path) as conversation:
            conversation.ask(method, f'{{"names":{_names([name])}}}')
            while (reply := conversation.answer(self._answer_seconds)) is None:
                if method == "Status":
                    raise FailedError(f"virtsupd does not answer at {self._path}")
            return reply


def _report(reply: "Mapping[str, Any]") -> "tuple[str, str]":
    report = reply["reports"][0]
    return report["result"], report["message"]

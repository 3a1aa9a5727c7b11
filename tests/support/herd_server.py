"""A small server that answers herd with our codec and hand-made services; nothing behind it.

One thread takes one connection after another. Commands are kept for the test to look at.
"""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.support.herd_services import FACTS, SNAPSHOTS

from virtsupd.control import herd, herd_replies
from virtsupd.control.plan import Plan, Step
from virtsupd.control.sexp import Reader
from virtsupd.core.effects import Answer, Report, Result
from virtsupd.core.events import Verb
from virtsupd.core.forecast import Fate
from virtsupd.core.names import Name
from virtsupd.core.snapshot import ServiceSnapshot
from virtsupd.errors import (
    ActionError,
    PeerDeniedError,
    ProtocolError,
    UnknownActionError,
    UnknownServiceError,
    VirtsupdError,
)

DEADLINE_SECONDS = 10


class HerdServer:
    """Answers status from hand-made services, and verbs as the test says."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.commands: list[herd.HerdCommand] = []
        self.answers: dict[Verb, Answer] = {}
        """What a verb comes to; otherwise DONE for the service alone."""
        self.is_denied = False
        self.chunk_bytes = 0
        """Send replies in pieces of this size; 0 sends them whole."""
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._thread = threading.Thread(target=self._accept, daemon=True)

    def listen(self) -> None:
        """Begin to answer."""
        self._listener.bind(str(self.path))
        self._listener.listen()
        self._thread.start()

    def close(self) -> None:
        """End the listener and its thread."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(DEADLINE_SECONDS)

    def reset(self) -> None:
        """Forget what was heard and what was told, as after `listen`."""
        self.commands.clear()
        self.answers.clear()
        self.is_denied = False
        self.chunk_bytes = 0

    def answer(self, verb: Verb, result: Result, message: str = "", *touched: str) -> None:
        """Let a verb come to `result` for the service it is asked of."""
        report = Report(Name("sleeper"), result, message)
        self.answers[verb] = Answer(1, (report,), tuple(map(Name, touched)))

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection, suppress(ProtocolError, ConnectionError, TimeoutError):
                connection.settimeout(DEADLINE_SECONDS)
                self._serve(connection)

    def _serve(self, connection: socket.socket) -> None:
        reader = Reader()
        while (datum := reader.feed(piece := connection.recv(7))) is None:
            if not piece:
                return
        command = herd.parse_command(datum)
        self.commands.append(command)
        try:
            reply = self._carry_out(command)
        except VirtsupdError as error:
            reply = herd.render_error(error, command)
        step = self.chunk_bytes or len(reply) or 1
        for start in range(0, len(reply), step):
            connection.sendall(reply[start : start + step])

    def _carry_out(self, command: herd.HerdCommand) -> bytes:
        if self.is_denied:
            raise PeerDeniedError(f"{command.action} {command.service} needs the role operator")
        request = herd.plan(command)
        match request:
            case herd.RootStatus():
                return herd_replies.render_root_status(SNAPSHOTS, FACTS)
            case herd.RootStart():
                return herd_replies.render_root_start(FACTS)
            case herd.ReloadConfiguration():
                return herd_replies.render_reload(
                    Plan((Step(Name("web"), "service", Fate.STARTED),))
                )
            case herd.Canned():
                return request.reply
            case herd.Shutdown():
                return b""
            case herd.Why() | herd.Schedule():
                raise ActionError("the hand-made server has neither timers nor causes")
            case _:
                return self._carry_out_for_service(request)

    def _carry_out_for_service(
        self, request: herd.Status | herd.Ask | herd.Doc | herd.Act
    ) -> bytes:
        snapshot = find(request.service)
        match request:
            case herd.Status():
                recent = [(FACTS.since, "second line"), (FACTS.since - 1, "first line")]
                return herd_replies.render_status(snapshot, recent=recent)
            case herd.Ask():
                report = Report(snapshot.spec.name, Result.DONE, "")
                answer = self.answers.get(request.verb, Answer(1, (report,)))
                return herd_replies.render_answer(request.verb, answer, snapshot)
            case herd.Doc():
                return herd_replies.render_doc(request.words, snapshot)
            case herd.Act():
                return herd_replies.render_lines(act(snapshot, request))


def find(name: str) -> ServiceSnapshot:
    """Return the hand-made service that provides a name."""
    for snapshot in SNAPSHOTS:
        if name in snapshot.spec.provides:
            return snapshot
    raise UnknownServiceError(name, "sleeper" if name.startswith("sl") else None)


def act(snapshot: ServiceSnapshot, request: herd.Act) -> list[str]:
    """Carry out `poke`, which echoes its arguments and fails when given "fail"."""
    if request.action not in {action.name for action in snapshot.spec.actions}:
        raise UnknownActionError(request.action, snapshot.spec.name)
    if request.arguments[:1] == ("fail",):
        raise ActionError('poke failed: 100 ~a of "nothing"')
    return [f"poked with {word!r}" for word in request.arguments]


@contextmanager
def herd_server(path: Path) -> Iterator[HerdServer]:
    """Give a server that listens at `path`, and end it."""
    server = HerdServer(path)
    server.listen()
    try:
        yield server
    finally:
        server.close()

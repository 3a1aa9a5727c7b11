"""A hand-driven virtsupd at the other end of the socket: NUL-terminated JSON, nothing behind it.

The test says what each method answers; calls are kept in order. It runs in a thread, since
virtsupctl blocks on its socket.
"""

import json
import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

INTERFACE = "org.virtsupd.Supervisor"

Replies = Iterable[dict[str, Any]]
"""The parameters of each reply, in order; with "continues": True more follow. {"error": NAME, …} is
an error reply, HANG_UP ends the connection, SILENCE keeps it open without an answer."""

HANG_UP: dict[str, Any] = {"hang-up": True}
SILENCE: dict[str, Any] = {"silence": True}


class FakeSupervisor:
    """Answers what `answers` says for each bare method name; unknown methods hang up.

    An answer is a list of replies, or a function of the call's parameters that makes one: a
    generator may wait for a fact between two replies.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.answers: dict[str, Replies | Callable[[dict[str, Any]], Replies]] = {}
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.called = threading.Event()
        """Set by each call; a test may clear it."""
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._connections: list[socket.socket] = []
        self._threads: list[threading.Thread] = []

    def listen(self) -> None:
        """Begin to answer."""
        self._listener.bind(str(self.path))
        self._listener.listen()
        self._run(self._accept)

    def close(self) -> None:
        """End every connection and the threads behind them."""
        for one in (self._listener, *self._connections):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        for thread in self._threads:
            thread.join(5)

    def _run(self, target: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._connections.append(connection)
            self._run(self._serve, connection)

    def _serve(self, connection: socket.socket) -> None:
        buffer = b""
        with connection, suppress(OSError):
            while True:
                while b"\0" not in buffer:
                    chunk = connection.recv(65536)
                    if not chunk:
                        return
                    buffer += chunk
                message, _, buffer = buffer.partition(b"\0")
                if not self._answer(connection, json.loads(message)):
                    return

    def _answer(self, connection: socket.socket, call: dict[str, Any]) -> bool:
        """Send the replies of one call; return whether the connection goes on."""
        method = call["method"].removeprefix(f"{INTERFACE}.")
        parameters = call.get("parameters", {})
        self.calls.append((method, parameters))
        self.called.set()
        answer = self.answers.get(method, [HANG_UP])
        for reply in answer(parameters) if callable(answer) else answer:
            if reply is HANG_UP:
                return False
            if reply is not SILENCE:
                connection.sendall(_encoded(reply))
        return True


def _encoded(reply: dict[str, Any]) -> bytes:
    if "error" in reply:
        content = {key: value for key, value in reply.items() if key != "error"}
        message: dict[str, Any] = {"error": f"{INTERFACE}.{reply['error']}", "parameters": content}
    else:
        content = {key: value for key, value in reply.items() if key != "continues"}
        message = {"parameters": content, "continues": bool(reply.get("continues"))}
    return json.dumps(message).encode() + b"\0"


@contextmanager
def fake_supervisor(path: Path) -> Iterator[FakeSupervisor]:
    """Give a supervisor that listens at `path`, and end it."""
    supervisor = FakeSupervisor(path)
    supervisor.listen()
    try:
        yield supervisor
    finally:
        supervisor.close()


def service(name: str, **facts: Any) -> dict[str, Any]:
    """Return a running service with no history; `facts` replace single fields."""
    return {
        "name": name,
        "provides": [name],
        "description": "",
        "kind": "service",
        "requires": [],
        "binds_to": [],
        "wants": [],
        "after": [],
        "part_of": [],
        "before": [],
        "conflicts": [],
        "state": "running",
        "wanted": True,
        "wanted_by": "boot",
        "wanted_since": 1_000.0,
        "enabled": True,
        "failed": False,
        "done": False,
        "pid": 4711,
        "once": [],
        "since": 1_000.0,
        "reason": None,
        "status_text": "",
        "status_since": None,
        "restarts": 0,
        "last_exit": None,
        "exits": [],
        "changes": [],
        "replacement_pending": False,
        "reload_pending": False,
        "warnings": [],
        "command": ["/usr/sbin/thing", "--foreground"],
        "domain": None,
        "log_files": [],
        "actions": [],
        "transient": False,
        "respawn": True,
        "stop_mode": "cgroup",
        "source": "host.toml [service.thing]",
        "timer": None,
        **facts,
    }


def step(name: str, fate: str, **facts: Any) -> dict[str, Any]:
    """Return what a reload does to a service that is up."""
    return {
        "name": name,
        "kind": "service",
        "fate": fate,
        "new": False,
        "up": True,
        "told": False,
        "changed": False,
        "keys": [],
        "for_others": [],
        "command": [],
        "touches": [],
        "guests": [],
        "harms": [],
        **facts,
    }


def stopped(name: str, **facts: Any) -> dict[str, Any]:
    """Return a service that nobody wants."""
    return service(name, **{"state": "stopped", "wanted": False, "pid": None, **facts})


def reason(kind: str, text: str, **facts: Any) -> dict[str, Any]:
    """Return a reason."""
    return {"kind": kind, "text": text, "retry_at": None, "names": [], **facts}


def progress(moving: dict[str, Any]) -> dict[str, Any]:
    """Return a reply to a command that is still going on."""
    return {"progress": event(moving), "continues": True}


def event(changed: dict[str, Any], happening: str = "", at: float = 1_000.0) -> dict[str, Any]:
    """Return an event: that a service came to its state, unless `happening` says what happened."""
    return {"event": happening or f"service {changed['state']}", "at": at, "service": changed}


def reports(*rows: tuple[str, str, str], touched: Iterable[str] = ()) -> dict[str, Any]:
    """Return the last reply to a command: (name, result, message) of each service."""
    return {
        "reports": [
            {"name": name, "result": result, "message": text} for name, result, text in rows
        ],
        "touched": list(touched),
    }


def daemon(**facts: Any) -> dict[str, Any]:
    """Return what virtsupd says of itself."""
    return {
        "pid": 812,
        "version": "0.1.0",
        "since": 1_000.0,
        "config": "/etc/virtsupd/host.toml",
        "socket": "/run/virtsupd/control",
        "phase": "running",
        "shutdown": None,
        "warnings": [],
        **facts,
    }


def status_of(
    services: list[dict[str, Any]], others: Sequence[dict[str, Any]] = (), **facts: Any
) -> Callable[[dict[str, Any]], list[dict[str, Any]]]:
    """Return an answer for Status: all, or the named ones, or ServiceNotFound."""

    def answer(parameters: dict[str, Any]) -> list[dict[str, Any]]:
        chosen = []
        for name in parameters["names"]:
            found = [one for one in services if name in one["provides"]]
            if not found:
                return [{"error": "ServiceNotFound", "name": name, "nearest": None}]
            chosen += found
        shown = chosen or services
        return [{"daemon": daemon(**facts), "services": shown, "others": list(others)}]

    return answer

"""The blocking client, against a real server and against answers written by hand."""

import json
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest
from tests.support.control import running_server, until
from tests.support.hand_backend import HandBackend, snapshot_of, spec_of

from virtsupd.control.client import Client
from virtsupd.errors import (
    ActionError,
    ArgumentsError,
    ConfigError,
    PeerDeniedError,
    ProtocolError,
    UnknownActionError,
    UnknownServiceError,
    UnreachableError,
    VirtsupdError,
)

OWN = "org.virtsupd.Supervisor"


@contextmanager
def answering(path: Path, *answers: bytes) -> Iterator[list[Any]]:
    """Answer one connection's calls with these bytes, then close it; yields the calls."""
    calls: list[Any] = []
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def answer() -> None:
            connection, _ = listener.accept()
            with connection, connection.makefile("rb") as lines:
                for text in answers:
                    message = b""
                    while not message.endswith(b"\0"):
                        message += lines.read(1)
                    calls.append(json.loads(message[:-1]))
                    connection.sendall(text)

        thread = threading.Thread(target=answer)
        thread.start()
        try:
            yield calls
        finally:
            thread.join(10)


def reply(**parameters: object) -> bytes:
    return json.dumps({"parameters": parameters}).encode() + b"\0"


def failure(name: str, /, **parameters: object) -> bytes:
    return json.dumps({"error": name, "parameters": parameters}).encode() + b"\0"


async def test_calls_and_streams_on_one_connection(tmp_path: Path) -> None:
    daemon = HandBackend(snapshot_of(spec_of("web")))
    log = tmp_path / "log"
    log.write_text("one\n")

    def use() -> list[object]:
        with Client(str(tmp_path / "s"), timeout=10) as client:
            status = client.call("Status", {"names": []})
            lines = list(client.stream("Log", {"names": ["web"]}))
            info = client.call("org.varlink.service.GetInfo")
            return [status["daemon"], lines, info["product"]]

    async with running_server(daemon, tmp_path / "s"):
        facts, lines, product = await anyio.to_thread.run_sync(use)
    assert isinstance(facts, dict)
    assert (facts["phase"], product) == ("running", "virtsupd")
    assert lines == [{"name": "web", "lines": []}]


async def test_leaving_a_stream_ends_it_on_the_other_side(tmp_path: Path) -> None:
    daemon = HandBackend(snapshot_of(spec_of("web")))
    first: list[object] = []

    def use() -> None:
        client = Client(str(tmp_path / "s"), timeout=10)
        for found in client.stream("Watch", {"names": []}):
            first.append(found)
            break
        client.close()

    async with running_server(daemon, tmp_path / "s"), anyio.create_task_group() as tasks:
        tasks.start_soon(anyio.to_thread.run_sync, use)
        await until(lambda: daemon.subscriptions)
        daemon.change("service running", snapshot_of(spec_of("web")))
        await until(lambda: first and not daemon.subscriptions)


@pytest.mark.parametrize(
    ("answer", "kind", "message"),
    [
        (failure(f"{OWN}.ServiceNotFound", name="wbe", nearest="web"), UnknownServiceError, "web"),
        (failure(f"{OWN}.ServiceNotFound", name="wbe"), UnknownServiceError, "wbe"),
        (failure(f"{OWN}.ActionNotFound", action="a", service="b"), UnknownActionError, "b has no"),
        (failure(f"{OWN}.ActionFailed", message="broke"), ActionError, "broke"),
        (failure(f"{OWN}.BadArguments", message="no word"), ArgumentsError, "no word"),
        (failure(f"{OWN}.BadConfiguration", problems=["x", "y"]), ConfigError, "x\ny"),
        (failure(f"{OWN}.PermissionDenied", message="role"), PeerDeniedError, "role"),
        (failure(f"{OWN}.ShuttingDown"), VirtsupdError, "is shutting down"),
        (failure(f"{OWN}.Internal", message="odd"), VirtsupdError, "odd"),
        (
            failure("org.varlink.service.MethodNotFound", method="X"),
            ProtocolError,
            "MethodNotFound",
        ),
        (b"[]\0", ProtocolError, "not an object"),
        (b"{\0", ProtocolError, "not JSON"),
        (b"\xff\0", ProtocolError, "not JSON"),
        (b'{"param', UnreachableError, "closed the connection without an answer"),
        (b"", UnreachableError, "closed the connection without an answer"),
    ],
)
def test_errors_stay_distinct(
    tmp_path: Path, answer: bytes, kind: type[VirtsupdError], message: str
) -> None:
    with answering(tmp_path / "s", answer), Client(str(tmp_path / "s"), 10) as client:
        with pytest.raises(kind, match=message) as raised:
            client.call("Act")
        assert type(raised.value) is kind


def test_an_error_ends_a_stream_and_keeps_the_connection(tmp_path: Path) -> None:
    path = tmp_path / "s"
    answers = (failure(f"{OWN}.ShuttingDown"), reply(text="# web"))
    with answering(path, *answers) as calls, Client(str(path), 10) as client:
        with pytest.raises(VirtsupdError):
            list(client.stream("Watch", {"names": []}))
        assert client.call("Cat", {"name": "web"}) == {"text": "# web"}
    assert [call["method"] for call in calls] == [f"{OWN}.Watch", f"{OWN}.Cat"]
    assert calls[0]["more"] is True


def test_no_answer_in_time(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen()
        with Client(str(tmp_path / "s"), 0.05) as client, pytest.raises(TimeoutError):
            client.call("Status", {"names": []})


def test_a_full_queue_is_waited_for(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as first:
        listener.bind(path)
        listener.listen(0)
        first.connect(path)
        with Client(path, 0.1) as client, pytest.raises(TimeoutError):
            client.call("Status", {"names": []})


def absent(path: Path) -> None:
    """Leave nothing there."""


def stale(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))


@pytest.mark.parametrize(
    ("prepare", "message"),
    [(absent, "no such file"), (stale, "connection refused"), (Path.touch, "connection refused")],
)
def test_nobody_there(tmp_path: Path, prepare: Callable[[Path], None], message: str) -> None:
    prepare(tmp_path / "s")
    client = Client(str(tmp_path / "s"), 1)
    with pytest.raises(UnreachableError, match=f"cannot reach virtsupd at .*{message}"):
        client.call("Status")


def test_a_path_that_can_be_none(tmp_path: Path) -> None:
    with pytest.raises(UnreachableError, match="too long"):
        Client(str(tmp_path / ("x" * 200))).call("Status")


def test_a_mode_that_forbids_it(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        path.chmod(0)
        tmp_path.chmod(0o755)
        os.seteuid(12345)
        try:
            with pytest.raises(PeerDeniedError, match="permission denied"):
                Client(str(path), 1).call("Status")
        finally:
            os.seteuid(0)


def test_the_end_of_a_connection_is_waited_for(tmp_path: Path) -> None:
    with answering(tmp_path / "s", b'{"parameters":{}}\0') as calls:
        client = Client(str(tmp_path / "s"), 10)
        client.await_end()  # there is none
        client.call("Quit")
        client.await_end()
        assert len(calls) == 1


def test_an_end_that_does_not_come_is_not_waited_for_for_ever(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen()
        client = Client(str(tmp_path / "s"), 0.05)
        with pytest.raises(TimeoutError):
            client.call("Quit")
        client._connected(None)
        with pytest.raises(TimeoutError):
            client.await_end()

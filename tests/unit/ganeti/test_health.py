"""confd and rapi, asked in their own protocols: servers that answer well, and badly."""

import hashlib
import hmac
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from virtsupd.ganeti.health import UnwellError, ask_confd, ask_rapi, main

KEY = b"secret\n"


@contextmanager
def confd(answer: Callable[[dict[str, str]], dict[str, str] | bytes]) -> Iterator[int]:
    """Answer one datagram."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))

        def serve() -> None:
            packet, peer = server.recvfrom(65536)
            found = answer(json.loads(packet.removeprefix(b"plj0")))
            said = found if isinstance(found, bytes) else b"plj0" + json.dumps(found).encode()
            server.sendto(said, peer)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            thread.join()


def signed(salt: str, text: str, key: bytes = KEY) -> dict[str, str]:
    digest = hmac.new(key, (salt + text).encode(), hashlib.sha1).hexdigest()
    return {"msg": text, "salt": salt, "hmac": digest}


def pong(asked: dict[str, str], *, status: int = 0, key: bytes = KEY) -> dict[str, str]:
    assert asked == signed(asked["salt"], asked["msg"]), "confd would not answer"
    return signed(json.loads(asked["msg"])["rsalt"], json.dumps({"status": status}), key)


def test_a_signed_answer_to_a_signed_ping_is_well() -> None:
    with confd(pong) as port:
        ask_confd("127.0.0.1", port, KEY)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda asked: pong(asked, key=b"other"), "not signed with the key"),
        (lambda asked: pong(asked, status=1), "status 1"),
        (lambda asked: signed("old", "{}"), "no answer"),
        (lambda asked: b"plj0[]", "no answer"),
        (lambda asked: b"nonsense", "no answer"),
    ],
)
def test_any_other_answer_is_none(
    answer: Callable[[dict[str, str]], dict[str, str] | bytes], said: str
) -> None:
    with confd(answer) as port, pytest.raises(UnwellError, match=said):
        ask_confd("127.0.0.1", port, KEY)


def test_nobody_at_the_port_is_told_in_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert main(["rapi", "127.0.0.1", str(port)]) == 1
    assert capsys.readouterr().out == f"rapi at 127.0.0.1 port {port}: Connection refused\n"


def test_what_speaks_no_tls_is_not_rapi() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            peer, _ = server.accept()
            with peer:
                peer.recv(1000)
                peer.sendall(b"HTTP/1.0 400 no\r\n\r\n")

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(OSError, match=r"(?i)ssl|reset|eof"):
            ask_rapi("127.0.0.1", server.getsockname()[1])
        thread.join()

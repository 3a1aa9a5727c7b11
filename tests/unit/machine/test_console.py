"""A console whose other end is ours; on a terminal it is tried with a real machine (tests/component)."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SECONDS = 10.0


@pytest.fixture
def listening(tmp_path: Path) -> Iterator[tuple[socket.socket, Path]]:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "serial"))
        server.listen()
        server.settimeout(SECONDS)
        yield server, tmp_path / "serial"


def console(path: Path, *words: str) -> "subprocess.Popen[bytes]":
    module = "virtsupd.services.machine_console"
    return subprocess.Popen(
        [sys.executable, "-m", module, "m", str(path), "/nowhere/log", *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def test_every_byte_goes_through_both_ways(listening: tuple[socket.socket, Path]) -> None:
    server, path = listening
    sent = bytes(range(256)) * 200  # fits into a pipe
    program = console(path, "--wait", "0.2")
    connection, _ = server.accept()
    connection.sendall(sent)
    assert program.stdin is not None
    program.stdin.write(b"\x1d" + sent)
    program.stdin.close()
    program.stdin = None
    taken = b""
    while len(taken) < len(sent) + 1:
        taken += connection.recv(65536)
    assert taken == b"\x1d" + sent
    said, errors = program.communicate(timeout=SECONDS)
    assert (said, errors, program.returncode) == (sent, b"", 0)
    connection.close()


def test_it_ends_with_the_machine_where_nobody_sits(listening: tuple[socket.socket, Path]) -> None:
    server, path = listening
    program = console(path)
    connection, _ = server.accept()
    connection.sendall(b"last words")
    connection.close()
    said, errors = program.communicate(timeout=SECONDS)
    assert (said, errors, program.returncode) == (b"last words", b"", 0)


def test_a_reader_that_goes_away_ends_it_without_a_word(
    listening: tuple[socket.socket, Path],
) -> None:
    server, path = listening
    program = console(path)
    connection, _ = server.accept()
    assert program.stdout is not None
    program.stdout.close()
    program.stdout = None
    connection.sendall(b"is anybody there?")
    _, errors = program.communicate(timeout=SECONDS)
    assert (errors, program.returncode) == (b"", 0)
    assert os.listdir(path.parent)  # noqa: PTH208 - the socket is not ours to remove
    connection.close()


def test_without_a_machine_it_says_what_to_type(tmp_path: Path) -> None:
    left = tmp_path / "left"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(left))
    for path in (left, tmp_path / "gone/serial"):
        program = console(path)
        _, errors = program.communicate(timeout=SECONDS)
        expected = b"cannot have the console of m: it is not running; virtsupctl start m\n"
        assert (errors, program.returncode) == (expected, 1)

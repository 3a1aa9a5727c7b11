"""What /proc says of sockets and their holders."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.checks import eventually

from virtsupd.process.holders import (
    Holder,
    arguments_of,
    holder_of,
    holds,
    is_held,
    port_holders,
    program_of,
    unix_bound,
    unix_listeners,
)

NOBODY = 2**22 + 1


def test_a_listener_is_found_by_path_however_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "with space.sock"
    (tmp_path / "link").symlink_to(tmp_path)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        assert unix_listeners(str(path)) == frozenset()
        assert len(unix_bound(str(path))) == 1
        server.listen()
        inodes = unix_listeners(str(tmp_path / "link" / path.name))
        assert inodes == {os.fstat(server.fileno()).st_ino}
        assert holds(os.getpid(), inodes)
        assert is_held(inodes, owns=lambda pid: False, leader=os.getpid())
        assert is_held(inodes, owns=lambda pid: pid == os.getpid(), leader=NOBODY)
        assert not is_held(inodes, owns=lambda pid: False, leader=None)
        assert holder_of(inodes) == Holder(os.getpid(), program_of(os.getpid()))
    assert not is_held(frozenset(), owns=lambda pid: True, leader=None)


def test_a_holder_of_a_port_is_found() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        inodes = port_holders(server.getsockname()[1])
        assert inodes == {os.fstat(server.fileno()).st_ino}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        inodes = port_holders(receiver.getsockname()[1], is_datagram=True)
        assert inodes == {os.fstat(receiver.fileno()).st_ino}


@pytest.mark.parametrize(
    ("bound", "asked", "is_there"),
    [
        ("127.0.0.1", "127.0.0.1", True),
        ("127.0.0.1", "127.0.0.2", False),
        ("0.0.0.0", "127.0.0.2", True),
        ("::1", "::1", True),
        ("::1", "127.0.0.1", False),
        ("::", "127.0.0.1", True),
    ],
)
def test_an_address_has_to_be_the_one_asked_for_or_all(
    bound: str, asked: str, is_there: bool
) -> None:
    family = socket.AF_INET6 if ":" in bound else socket.AF_INET
    with socket.create_server((bound, 0), family=family) as server:
        inodes = port_holders(server.getsockname()[1], address=asked)
        assert inodes == ({os.fstat(server.fileno()).st_ino} if is_there else set())


def test_who_is_gone_holds_nothing() -> None:
    assert not holds(NOBODY, {1})
    assert program_of(NOBODY) == "?"
    assert holder_of({NOBODY}) is None


def test_a_holder_is_shown_as_pid_and_program() -> None:
    assert str(Holder(123, "nginx")) == "pid 123 (nginx)"


def test_the_command_line_of_a_process_is_told_word_by_word() -> None:
    command = [sys.executable, "-c", "input()", "", "two words"]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        eventually(lambda: arguments_of(process.pid) == tuple(command), "the program's words")
    assert arguments_of(NOBODY) == ()

"""Who is at the other end of pipes and connections, with real processes that each hold one."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.support.checks import eventually

from virtsupd.process.far_ends import (
    FarEnds,
    connected_to,
    has_unread_errors,
    with_piped_errors,
    writers_to,
)

pytestmark = pytest.mark.process

NOBODY = 2**22 + 1
WAITS = [sys.executable, "-I", "-S", "-c", "import sys; sys.stdin.read()"]


@contextmanager
def child(*passed: int, errors: int | None = None) -> Iterator[int]:
    """Run a process that has the descriptors open until the end of the context."""
    process = subprocess.Popen(
        WAITS, stdin=subprocess.PIPE, stderr=errors, pass_fds=passed, cwd="/"
    )
    try:
        yield process.pid
    finally:
        process.communicate()


@contextmanager
def closing(descriptors: Sequence[int]) -> Iterator[None]:
    try:
        yield
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def test_who_writes_his_errors_into_a_pipe_that_a_process_reads_is_found() -> None:
    (read, write), (_, other_write) = ends = os.pipe(), os.pipe()
    with (
        closing([*ends[0], *ends[1]]),
        child(read) as reader,
        child(errors=write) as writer,
        child(errors=other_write),
    ):
        assert writers_to(reader) == FarEnds((writer,))


def test_who_writes_by_another_descriptor_is_found_where_nobody_writes_his_errors() -> None:
    read, write = os.pipe()
    with closing([read, write]), child(read) as reader, child(write) as writer:
        assert writers_to(reader) == FarEnds((writer,))


def test_a_pipe_of_a_process_to_itself_has_no_other_end() -> None:
    read, write = os.pipe()
    with closing([read, write]), child(read, write) as reader, child(write):
        assert writers_to(reader) == FarEnds()


def test_who_is_gone_has_no_other_ends() -> None:
    assert writers_to(NOBODY) == FarEnds()
    assert connected_to(NOBODY) == FarEnds()
    assert not has_unread_errors(NOBODY)


def test_who_is_connected_by_a_unix_socket_is_found(tmp_path: Path) -> None:
    with (
        socket.socket(socket.AF_UNIX) as listener,
        socket.socket(socket.AF_UNIX) as ours,
        socket.socket(socket.AF_UNIX) as idle,
    ):
        listener.bind(str(tmp_path / "socket"))
        listener.listen()
        ours.connect(str(tmp_path / "socket"))
        with listener.accept()[0] as theirs:
            accepted = [listener.fileno(), theirs.fileno()]
            with child(*accepted) as server, child(ours.fileno()) as client, child(idle.fileno()):
                assert connected_to(server) == FarEnds((client,))


@pytest.mark.skipif(os.geteuid() != 0, reason="takes the eyes of somebody who is not root")
def test_who_may_not_look_says_that_he_is_blind() -> None:
    read, write = os.pipe()
    with closing([read, write]), child(read) as reader, child(errors=write):
        look = (
            "import os; from virtsupd.process.far_ends import *; os.setuid(65534);"
            f"print(writers_to({reader}), connected_to({reader}))"
        )
        command = [sys.executable, "-c", look]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert done.stdout.count("is_blind=True") == 2


def test_errors_that_nobody_reads_any_more_are_told() -> None:
    read, write = os.pipe()
    with closing([write]), child(errors=write) as writer:
        assert writer in with_piped_errors()
        assert not has_unread_errors(writer)
        os.close(read)
        eventually(lambda: has_unread_errors(writer), "a pipe without a reader")

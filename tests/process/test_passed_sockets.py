"""Looking into another process: what is told of its sockets, and what is refused."""

import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from virtsupd.process.passed_sockets import bound_file, duplicate, socket_descriptors

pytestmark = pytest.mark.process


@contextmanager
def process_with(*descriptors: int) -> Iterator[tuple[int, int]]:
    """Run a process that has these descriptors, and yield its pid and pidfd."""
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, pass_fds=descriptors) as process:
        pidfd = os.pidfd_open(process.pid)
        try:
            yield process.pid, pidfd
        finally:
            os.close(pidfd)
            process.kill()


def test_a_socket_is_found_under_its_lowest_descriptor() -> None:
    with socket.socket() as held, socket.socket(fileno=os.dup(held.fileno())) as again:
        with process_with(held.fileno(), again.fileno()) as (pid, _):
            found = socket_descriptors(pid)
        assert found == {os.fstat(held.fileno()).st_ino: min(held.fileno(), again.fileno())}


def test_a_process_that_is_gone_has_none() -> None:
    with process_with() as (pid, pidfd):
        assert socket_descriptors(pid) == {}
        late = os.dup(pidfd)
    assert socket_descriptors(pid) == {}
    try:
        with pytest.raises(ProcessLookupError):
            duplicate(late, 0)
    finally:
        os.close(late)


def test_only_a_socket_is_duplicated() -> None:
    with process_with() as (_, pidfd):
        with pytest.raises(OSError, match="Bad file descriptor"):
            duplicate(pidfd, 1000)
        with pytest.raises(OSError, match="non-socket"):
            duplicate(pidfd, 0)


def test_the_file_of_a_socket_is_known_wherever_it_went(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as held:
        assert bound_file(held) is None
        held.bind(str(tmp_path / "a"))
        (tmp_path / "a").rename(tmp_path / "b")
        file = (tmp_path / "b").lstat()
        assert bound_file(held) == (file.st_dev, file.st_ino)
    with socket.socket() as other:
        assert bound_file(other) is None

"""Readiness by what the service itself listens on, with real sockets and processes."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.support.probing import context, is_me, waiting

from virtsupd.core.spec import ListenProbe
from virtsupd.errors import NotReadyError
from virtsupd.process.readiness import check

pytestmark = pytest.mark.process

LISTENER = """
import socket, sys
server = socket.create_server(("127.0.0.1", int(sys.argv[1])))
print(server.getsockname()[1], flush=True)
sys.stdin.read()
"""


@contextmanager
def stranger(port: int = 0) -> Iterator[tuple[int, int]]:
    """Have another process listen; yield its pid and the port."""
    command = [sys.executable, "-c", LISTENER, str(port)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        yield other.pid, int(other.stdout.readline())


async def test_it_waits_until_all_places_are_its_own(tmp_path: Path) -> None:
    path, pid_file = tmp_path / "socket", tmp_path / "web.pid"
    with (
        socket.create_server(("127.0.0.1", 0)) as tcp,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp,
        socket.socket(socket.AF_UNIX) as unix,
    ):
        udp.bind(("127.0.0.1", 0))
        on = (
            f"tcp:{tcp.getsockname()[1]}",
            f"udp:127.0.0.1:{udp.getsockname()[1]}",
            str(path),
        )
        probe = ListenProbe(on, str(pid_file))
        async with waiting(probe, leader=os.getpid, owns=is_me) as wait:
            assert wait.notes == [f"nobody listens on {path}"]
            unix.bind(str(path))
            unix.listen()
            assert await wait.next_note() == f"{pid_file} has no pid yet"
            pid_file.write_text("1\n")
            assert await wait.next_note() == f"{pid_file} has pid 1, and its own is {os.getpid()}"
            pid_file.write_text(f"{os.getpid()}\n")
        await check(probe, context(leader=os.getpid, owns=is_me))
        unix.close()
        with pytest.raises(NotReadyError, match=f"nobody listens on {path}"):
            await check(probe, context(leader=os.getpid, owns=is_me))


async def test_a_stray_copy_that_holds_the_port_is_no_readiness() -> None:
    with stranger() as (pid, port):
        probe = ListenProbe((f"tcp:{port}",))
        async with waiting(probe, leader=os.getpid, owns=is_me) as wait:
            assert wait.notes[0].startswith(f"pid {pid} (")
            assert wait.notes[0].endswith(f"listens on tcp:{port}, which is no process of web")
            with socket.socket() as own:
                own.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                own.bind(("127.0.0.2", port))
                own.listen()
                await wait.done.wait()


async def test_what_another_process_of_the_service_holds_is_its_own() -> None:
    with stranger() as (pid, port):
        probe = ListenProbe((f"tcp:127.0.0.1:{port}",))
        await check(probe, context(leader=os.getpid, owns=lambda found: found == pid))


async def test_a_pid_file_alone_will_do(tmp_path: Path) -> None:
    pid_file = tmp_path / "web.pid"
    async with waiting(ListenProbe(pid_file=str(pid_file)), leader=os.getpid) as wait:
        assert wait.pid is None
        pid_file.write_text(str(os.getpid()))
    assert wait.pid is None, "the process that was started stays the leader"

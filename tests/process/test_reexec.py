"""A real program that becomes itself again: what it keeps, and what the window may not swallow."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from tests.support.probing import child, hear, tell

from virtsupd.process.reexec import received

pytestmark = pytest.mark.process

TRY_LOCKS = """
import sys
from pathlib import Path
from virtsupd.errors import AlreadyRunningError
from virtsupd.process.lock import RunLock, StateLock
for kind, path in ((RunLock, "lock"), (StateLock, ".")):
    try:
        kind(Path(sys.argv[1], path))
    except AlreadyRunningError as error:
        print("held")
    else:
        print("taken")
"""

TAKES_NONE = """
import os, socket, sys
from virtsupd.errors import ReexecError
from virtsupd.process.reexec import received
content = sys.argv[1].replace("PID", str(os.getpid())).encode()
handed = os.memfd_create("virtsupd-handover" if content else "other")
os.write(handed, content)
os.lseek(handed, 0, os.SEEK_SET)
os.set_inheritable(os.open(os.devnull, os.O_RDONLY), True)
os.environ["VIRTSUPD_HANDOVER"] = str(handed)
try:
    received()
except ReexecError as error:
    print(error)
print(os.environ.get("VIRTSUPD_HANDOVER"))
print([number for number in range(100) if os.path.exists(f"/proc/self/fd/{number}")])
"""


@contextmanager
def program(directory: Path) -> Iterator[subprocess.Popen[str]]:
    """Run it until its input ends; then it ends the child that it was given."""
    with child("reexecs.py", directory) as process:
        begun = hear(process).split()
        assert begun[:3] == ["begun", "1", str(process.pid)]
        try:
            yield process
            assert process.stdin is not None
            process.stdin.close()
            assert process.wait(10) == 0
        finally:
            with suppress(ProcessLookupError):
                os.kill(int(begun[3]), signal.SIGKILL)


def told(process: subprocess.Popen[str], line: str) -> str:
    """Give a command and return the first line of the answer."""
    tell(process, line)
    return hear(process)


def locks(directory: Path) -> list[str]:
    """Return what another process gets that tries to take both locks."""
    done = subprocess.run(
        [sys.executable, "-c", TRY_LOCKS, str(directory)],
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
    )
    return done.stdout.split()


def test_pid_children_locks_and_notify_socket_are_kept(tmp_path: Path) -> None:
    with program(tmp_path) as process:
        before = (tmp_path / "notify").lstat().st_ino
        for life in ("2", "3"):
            assert told(process, "exec").split()[:3] == ["begun", life, str(process.pid)]
            assert locks(tmp_path) == ["held", "held"]
        assert (tmp_path / "lock").exists()
        assert (tmp_path / "notify").lstat().st_ino == before
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as service:
            service.sendto(b"STATUS=well", str(tmp_path / "notify"))
        assert hear(process) == "notify 3 well"


def test_clients_in_the_queue_are_served_by_the_successor(tmp_path: Path) -> None:
    with program(tmp_path) as process:
        file = (tmp_path / "web.sock").lstat().st_ino
        clients = [socket.socket(socket.AF_UNIX) for _ in range(20)]
        for number, client in enumerate(clients):
            client.connect(str(tmp_path / "web.sock"))
            client.sendall(f"{number:02}".encode())
        told(process, "exec")
        assert told(process, "accept") == "accepted 20"
        assert [client.recv(2) for client in clients] == [f"{n:02}".encode() for n in range(20)]
        for client in clients:
            client.close()
        assert (tmp_path / "web.sock").lstat().st_ino == file


def test_a_signal_in_the_window_reaches_the_successor(tmp_path: Path) -> None:
    with program(tmp_path) as process:
        assert told(process, "exec TERM").startswith("begun 2 ")
        assert hear(process) == "TERM 2"


def test_a_signal_that_was_caught_before_is_handled_before(tmp_path: Path) -> None:
    with program(tmp_path) as process:
        assert told(process, "exec caught") == "TERM 1"
        assert hear(process).startswith("begun 2 ")


def test_a_child_that_ends_in_the_window_is_found(tmp_path: Path) -> None:
    with program(tmp_path) as process:
        assert told(process, "exec CHLD").startswith("begun 2 ")
        assert hear(process) == "child 2 ended by SIGTERM"


def test_nothing_but_what_is_handed_is_inherited_and_nothing_is_passed_on(tmp_path: Path) -> None:
    with program(tmp_path) as process:
        first = told(process, "look")
        assert first.startswith("sees 0 0 False ")
        told(process, "exec")
        assert told(process, "look") == first
        told(process, "exec")
        assert told(process, "look") == first


def test_a_program_that_cannot_be_run_changes_nothing(tmp_path: Path) -> None:
    with program(tmp_path) as process:
        before = told(process, "look")
        reason = f"failed cannot run {tmp_path}/missing: No such file or directory"
        tell(process, "fail TERM")
        assert [hear(process), hear(process)] == [reason, "TERM 1"]
        assert told(process, "look") == before
        assert locks(tmp_path) == ["held", "held"]
        assert told(process, "exec").startswith("begun 2 ")


def test_a_thread_at_work_is_not_cut_off(tmp_path: Path) -> None:
    with program(tmp_path) as process:
        refusal = "failed cannot end the thread writer: it is still at work"
        assert told(process, "exec thread") == refusal
        assert told(process, "exec").startswith("begun 2 ")


def test_who_was_not_executed_again_has_received_nothing() -> None:
    assert received() is None


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"?", "Expecting value"),
        (b"[]", "list indices"),
        (b'{"version": 2}', "version 2 instead of 1"),
        (b'{"version": 1, "pid": 1}', "it is for process 1"),
        (b'{"version": 1, "pid": PID}', "descriptors"),
        (None, "is something else"),
    ],
)
def test_a_handover_that_is_none_is_refused_and_nothing_of_it_stays_open(
    content: bytes | None, reason: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", TAKES_NONE, "" if content is None else content.decode()],
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
    )
    error, *rest = done.stdout.splitlines()
    assert reason in error
    assert rest == ["None", "[0, 1, 2]"]

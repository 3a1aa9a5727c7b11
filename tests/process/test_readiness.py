"""Each kind of readiness with real files, sockets and children."""

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest
from tests.support.probing import (
    CHILDREN,
    child,
    context,
    free_port,
    hear,
    is_me,
    join_threads,
    server,
    tell,
    waiting,
)

from virtsupd.core.exits import ExitStatus
from virtsupd.core.spec import (
    BannerProbe,
    ExecProbe,
    FdProbe,
    HttpProbe,
    LogLineProbe,
    PathProbe,
    PidFileProbe,
    SocketProbe,
    TcpProbe,
)
from virtsupd.errors import NotReadyError
from virtsupd.process.readiness import check, wait_ready

pytestmark = pytest.mark.process


@pytest.fixture(autouse=True)
def threads_have_ended() -> Iterator[None]:
    yield
    join_threads()


def ready_fifo(path: Path) -> int:
    """Return a readiness FIFO as virtsupd and its services hold it: open both ways."""
    if not path.exists():
        os.mkfifo(path)
    return os.open(path, os.O_RDWR | os.O_CLOEXEC)


async def test_a_newline_on_the_fifo_is_readiness_and_less_is_not(tmp_path: Path) -> None:
    descriptor = ready_fifo(tmp_path / "ready")
    try:
        async with waiting(FdProbe(), ready_fd=descriptor) as wait:
            os.write(descriptor, b"starting")
            assert not wait.done.is_set()
            os.write(descriptor, b" done\n")
    finally:
        os.close(descriptor)


async def test_a_successor_reads_the_newline_that_was_written_while_nobody_read(
    tmp_path: Path,
) -> None:
    service = ready_fifo(tmp_path / "ready")
    os.write(service, b"\n")
    successor = ready_fifo(tmp_path / "ready")
    with anyio.fail_after(5):
        await wait_ready(FdProbe(), context(ready_fd=successor))
    os.close(service)
    os.close(successor)


async def test_a_newline_that_was_read_is_there_for_a_successor(tmp_path: Path) -> None:
    descriptor = ready_fifo(tmp_path / "ready")
    try:
        os.write(descriptor, b"\n")
        with anyio.fail_after(5):
            for _ in range(3):
                await wait_ready(FdProbe(), context(ready_fd=descriptor))
    finally:
        os.close(descriptor)


async def test_a_readiness_pipe_closed_without_a_newline_is_never_ready() -> None:
    ours, theirs = os.pipe()
    os.write(theirs, b"no")
    os.close(theirs)
    with pytest.raises(NotReadyError, match="closed its readiness descriptor"):
        await wait_ready(FdProbe(), context(ready_fd=ours))
    assert os.get_blocking(ours)
    os.close(ours)


async def test_a_pid_file_counts_once_it_names_a_process_of_the_service(tmp_path: Path) -> None:
    path = tmp_path / "run" / "web.pid"
    with child("ready_pid_file.py", path) as process:
        hear(process)
        async with waiting(PidFileProbe(str(path)), owns=lambda pid: pid == process.pid) as wait:
            path.parent.mkdir()
            path.write_text("")
            path.write_text("1\n")
            tell(process, "now")
        assert wait.pid == process.pid
        await check(PidFileProbe(str(path)), context(owns=lambda pid: pid == process.pid))


async def test_a_stale_pid_file_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "web.pid"
    with child("ready_pid_file.py", path) as process:
        hear(process)
        ended = process.pid
    path.write_text(f"{ended}\n")
    with pytest.raises(NotReadyError, match="names no living process of web"):
        await check(PidFileProbe(str(path)), context(owns=lambda pid: True))
    async with waiting(PidFileProbe(str(path)), owns=is_me) as wait:
        path.write_text(str(os.getpid()))
    assert wait.pid == os.getpid()


async def test_a_socket_counts_when_the_service_listens_and_nobody_connects_to_find_out(
    tmp_path: Path,
) -> None:
    path = tmp_path / "new" / "web.sock"
    with child("ready_socket.py", path) as process:
        hear(process)
        async with waiting(SocketProbe(str(path)), leader=lambda: process.pid) as wait:
            path.parent.mkdir()
            tell(process, "bind")
            assert hear(process) == "bound"
            assert await wait.next_note() == f"nobody listens on {path}"
            tell(process, "listen")
        await check(SocketProbe(str(path)), context(owns=lambda pid: pid == process.pid))


async def test_a_socket_that_somebody_else_listens_on_does_not_count(tmp_path: Path) -> None:
    path = tmp_path / "web.sock"
    with socket.socket(socket.AF_UNIX) as ours:
        ours.bind(str(path))
        ours.listen()
        with pytest.raises(NotReadyError, match=rf"pid {os.getpid()} \(.*\) listens on"):
            await check(SocketProbe(str(path)), context(owns=lambda pid: False))
    with pytest.raises(NotReadyError, match="nobody listens"):
        await check(SocketProbe(str(path)), context(owns=is_me))


async def test_a_path_is_noticed_whose_parents_did_not_exist(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "c"
    async with waiting(PathProbe(str(path))) as wait:
        path.parent.mkdir(parents=True)
        assert not wait.done.is_set()
        path.touch()
    await check(PathProbe(str(path)), context())


async def test_tcp_is_tried_until_somebody_accepts() -> None:
    port = free_port()
    async with waiting(TcpProbe(port)) as wait:
        assert wait.notes[-1] == f"cannot connect to 127.0.0.1 port {port}: connection refused"
        listener = socket.create_server(("127.0.0.1", port))
    listener.close()


async def test_a_banner_is_read_and_a_port_that_only_accepts_does_not_count() -> None:
    async with (
        server(b"", None, b"SSH-2.0-dropbear\r\n") as port,
        waiting(BannerProbe(r"^SSH-", port=port), attempt_seconds=0.05) as wait,
    ):
        await wait.done.wait()
    assert "sent nothing before it closed" in wait.notes[0]
    assert wait.notes[1] == f"no answer within 0.05 s: 127.0.0.1 port {port}"


async def test_a_page_counts_with_an_expected_status() -> None:
    refused = b"HTTP/1.1 503 Service Unavailable\r\n\r\n"
    async with (
        server(refused, b"HTTP/1.1 200 OK\r\n\r\nwell") as port,
        waiting(HttpProbe(f"http://localhost:{port}/ok")) as wait,
    ):
        await wait.done.wait()
    assert wait.notes[-1].endswith("answers 503")


class Commands:
    """Stands for running commands: gives the outcomes it was made with."""

    def __init__(self, *outcomes: ExitStatus) -> None:
        self.status = ExitStatus()
        self.output = b"first\nlast words\n"
        self.timed_out = False
        self.asked: list[tuple[tuple[str, ...], float]] = []
        self._outcomes = iter(outcomes)

    async def __call__(self, command: tuple[str, ...], timeout_seconds: float) -> "Commands":
        self.asked.append((command, timeout_seconds))
        self.status = next(self._outcomes)
        return self


async def test_a_command_is_run_again_until_it_succeeds() -> None:
    run = Commands(ExitStatus(code=1), ExitStatus(code=0))
    async with waiting(ExecProbe(("test-it", "-q")), run=run) as wait:
        await wait.done.wait()
    assert wait.notes == ["test-it exited with code 1: first\nlast words"]
    assert run.asked == [(("test-it", "-q"), 30.0)] * 2


async def test_a_log_line_counts_only_when_written_since_the_start(tmp_path: Path) -> None:
    log = tmp_path / "web.log"
    log.write_bytes(b"ready\n")
    async with waiting(LogLineProbe("^ready$"), log_path=str(log), log_offset=6) as wait:
        with log.open("ab") as file:
            file.write(b"not ready\n\xff\nrea")
            file.flush()
            assert not wait.done.is_set()
            file.write(b"dy\n")


async def test_a_log_line_is_seen_that_was_spliced_into_the_file(tmp_path: Path) -> None:
    log = tmp_path / "web.log"
    async with waiting(LogLineProbe("ready"), log_path=str(log)):
        source, sink = os.pipe()
        with log.open("wb") as file:
            os.write(sink, b"ready\n")
            os.splice(source, file.fileno(), 64)
        os.close(source)
        os.close(sink)


async def test_a_log_line_is_found_over_a_rotation(tmp_path: Path) -> None:
    log = tmp_path / "web.log"
    log.write_text("old\n")
    async with waiting(LogLineProbe("ready"), log_path=str(log), log_offset=4):
        log.rename(tmp_path / "web.log.1")
        log.write_text("ready\n")


def in_namespace(*arguments: str, flags: tuple[str, ...], first: str = ":") -> list[str]:
    """Run tests/children/ready_host.py in private namespaces and return the lines that it printed."""
    unshare = shutil.which("unshare")
    assert unshare is not None
    script = (sys.executable, str(CHILDREN / "ready_host.py"))
    done = subprocess.run(
        [unshare, *flags, "sh", "-ec", f'{first}; exec "$@"', "sh", *script, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=15,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_a_mount_is_noticed_and_one_of_another_type_is_not_enough(tmp_path: Path) -> None:
    lines = in_namespace(
        f"mount {tmp_path} tmpfs",
        f"mount -t ramfs none {tmp_path}",
        f"mount -t tmpfs none {tmp_path}",
        flags=("-m", "--propagation", "private"),
    )
    assert lines == [
        f"nothing is mounted at {tmp_path}",
        f"ramfs is mounted at {tmp_path}, not tmpfs",
        "ready",
    ]


def test_the_loopback_interface_is_ready_when_up() -> None:
    lines = in_namespace("loopback", "ip link set lo up", flags=("-n",))
    assert (lines[0], lines[-1]) == ("the loopback interface lo is down or missing", "ready")


def test_networking_is_another_interface_that_is_up_with_a_global_address() -> None:
    lines = in_namespace(
        "networking",
        "ip link set lo up; ip link add v0 type veth peer name v1; ip addr add 192.0.2.7/24 dev v0; ip link set v0 up",
        flags=("-n",),
    )
    assert (lines[0], lines[-1]) == ("no interface but lo is up with a global address", "ready")


PRIVATE_MOUNTS = ("-m", "--propagation", "private")


def test_udev_is_its_control_socket_once_that_listens() -> None:
    lines = in_namespace(
        "udev",
        "name udevd",
        "listen /run/udev/control",
        first="mount -t tmpfs none /run",
        flags=PRIVATE_MOUNTS,
    )
    assert lines == ["udevd runs, and nobody listens on /run/udev/control yet", "ready"]


def test_without_udevd_the_kernels_own_device_nodes_are_enough() -> None:
    lines = in_namespace(
        "udev",
        "mount -t devtmpfs none /dev; mkdir /run/udev",
        first="mount -t tmpfs none /run; mount -t tmpfs none /dev",
        flags=PRIVATE_MOUNTS,
    )
    assert lines == [
        "nobody listens on /run/udev/control, and /dev is not kept by the kernel (devtmpfs)",
        "ready",
    ]


@pytest.mark.parametrize("path", ["/none/" + "x" * 300, "/none/a\0b"])
async def test_a_path_that_cannot_be_is_waited_for_like_any_other(path: str) -> None:
    with pytest.raises(NotReadyError, match="does not exist"):
        await check(PathProbe(path), context())


async def test_an_attempt_that_takes_too_long_names_its_target(tmp_path: Path) -> None:
    path = tmp_path / "web.sock"
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(path))
        silent.listen()
        with pytest.raises(NotReadyError, match=f"no answer within 0.01 s: {path}"):
            await check(BannerProbe("SSH", path=str(path)), context(attempt_seconds=0.01))
    async with server(None) as port:
        url = f"http://127.0.0.1:{port}/"
        with pytest.raises(NotReadyError, match=f"no answer within 0.01 s: {url}"):
            await check(HttpProbe(url), context(attempt_seconds=0.01))

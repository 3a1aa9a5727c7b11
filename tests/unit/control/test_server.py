"""Who is let in, how many, and what happens to the rest."""

import os
import resource
import socket
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager, suppress
from pathlib import Path

import anyio
from tests.support.control import connected, running_server, until
from tests.support.hand_backend import HandBackend, snapshot_of, spec_of

from virtsupd.control.connection import Limits
from virtsupd.core.events import Verb


def backend() -> HandBackend:
    return HandBackend(snapshot_of(spec_of("web")), snapshot_of(spec_of("database")))


async def herd(path: Path, action: str, service: str, arguments: str = "") -> bytes:
    """Send one herd command and return all that comes until the server closes."""
    command = (
        f"(shepherd-command (version 0) (action {action}) (service {service})"
        f' (arguments ({arguments})) (directory "/"))'
    )
    return await converse(path, command.encode())


async def converse(path: Path, sent: bytes) -> bytes:
    received = b""
    async with connected(path) as caller:
        await caller.send_bytes(sent)
        try:
            with anyio.fail_after(10):
                while True:
                    received += await caller.stream.receive()
        except (anyio.EndOfStream, anyio.BrokenResourceError):
            return received


async def test_the_first_byte_tells_the_language(tmp_path: Path) -> None:
    path = tmp_path / "control"
    async with running_server(backend(), path):
        async with connected(path) as caller:
            reply = await caller.call("Status", {"names": []})
        services = reply["parameters"]["services"]
        assert [service["name"] for service in services] == ["database", "web"]
        assert (await herd(path, "status", "web")).startswith(
            b"(reply (version 0) (result ((service"
        )
        assert (await converse(path, b"GET / HTTP/1.1\r\n\r\n")) == b""


async def test_the_second_socket_speaks_herd_alone(tmp_path: Path) -> None:
    path, herd_path = tmp_path / "control", tmp_path / "shepherd" / "socket"
    async with running_server(backend(), path, herd_path=herd_path):
        assert b"(provides (web))" in await herd(herd_path, "status", "web")
        assert (await converse(herd_path, b'{"method":"org.varlink.service.GetInfo"}\0')) == b""
    assert not path.exists()
    assert not herd_path.exists()


async def test_commands_come_with_who_gave_them(tmp_path: Path) -> None:
    path, daemon = tmp_path / "control", backend()
    async with running_server(daemon, path):
        async with connected(path) as caller:
            await caller.call("Stop", {"names": ["web"], "guests": True})
        await herd(path, "start", "web")
    assert daemon.asked == [
        (Verb.STOP, ("web",), "root via virtsupctl", True),
        (Verb.START, ("web",), "root via herd", False),
    ]


async def test_one_client_too_many_takes_the_place_of_a_silent_one(tmp_path: Path) -> None:
    path = tmp_path / "s"
    limits = Limits(connections=8, reserved_for_admins=2)
    async with running_server(backend(), path, limits=limits) as server:
        server.turns.account(0, os.getpid()).seats = -100  # not the greedy process itself
        async with AsyncExitStack() as stack:
            callers = [await stack.enter_async_context(connected(path)) for _ in range(8)]
            await callers[0].call("Status", {"names": []})
            await callers[2].call("Status", {"names": []})
            await until(lambda: server.count == 8)
            async with connected(path) as late:
                assert "error" not in await late.call("Status", {"names": []})
            assert await callers[1].is_cut()
            assert "error" not in await callers[0].call("Status", {"names": []})


async def test_a_process_with_most_seats_gets_no_other(tmp_path: Path) -> None:
    path = tmp_path / "s"
    limits = Limits(connections=8, reserved_for_admins=2)
    async with running_server(backend(), path, limits=limits) as server, AsyncExitStack() as stack:
        callers = [await stack.enter_async_context(connected(path)) for _ in range(8)]
        await until(lambda: server.count == 8)
        async with connected(path) as late:
            assert await late.is_cut()
        assert "error" not in await callers[0].call("Status", {"names": []})


@contextmanager
def no_descriptor_left() -> Iterator[None]:
    """Use up all descriptors for the block."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (200, hard))
    used = []
    try:
        with suppress(OSError):
            while True:
                used.append(os.dup(0))
        yield
    finally:
        for descriptor in used:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_without_descriptors_a_silent_client_makes_room(tmp_path: Path) -> None:
    path = tmp_path / "s"
    call = b'{"method":"org.virtsupd.Supervisor.Cat","parameters":{"name":"web"}}\0'
    async with running_server(backend(), path) as server, connected(path) as silent:
        await until(lambda: server.count == 1)
        with socket.socket(socket.AF_UNIX) as late:
            with no_descriptor_left():
                late.connect(str(path))
                assert await silent.is_cut()
            late.send(call)
            late.setblocking(False)
            with anyio.fail_after(10):
                await anyio.wait_readable(late)
            assert b"# web" in late.recv(100)


async def test_limits_leave_descriptors_for_the_rest_of_the_daemon(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (100, hard))
    try:
        async with running_server(backend(), tmp_path / "s") as server:
            assert server.limits.connections == 50
            assert server.limits.reserved_for_admins == 25
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_at_the_end_what_was_asked_is_answered(tmp_path: Path) -> None:
    daemon = backend()
    daemon.holds = anyio.Event()
    async with (
        running_server(daemon, tmp_path / "s") as server,
        connected(tmp_path / "s") as idle,
        connected(tmp_path / "s") as waiting,
    ):
        await idle.call("Status", {"names": []})
        await waiting.send("Stop", {"names": ["web"]})
        await until(lambda: daemon.waiting)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(server.finish, 10.0)
            assert await idle.is_cut()
            daemon.holds.set()
            assert "error" not in await waiting.receive()
            assert await waiting.is_cut()


async def test_the_end_does_not_wait_for_ever(tmp_path: Path) -> None:
    daemon = backend()
    daemon.holds = anyio.Event()
    async with (
        running_server(daemon, tmp_path / "s") as server,
        connected(tmp_path / "s") as caller,
    ):
        await caller.send("Stop", {"names": ["web"]})
        await until(lambda: daemon.waiting)
        with anyio.fail_after(5):
            await server.finish(0.01)


async def test_a_defect_in_a_conversation_ends_one_connection(tmp_path: Path) -> None:
    """Those in answering a request are answered; this is about all others."""
    daemon = backend()
    async with running_server(daemon, tmp_path / "s") as server:
        async with connected(tmp_path / "s") as caller:
            await caller.call("Status", {"names": []})
            (seat,) = server._seats
            seat.connection.turn = None  # type: ignore[assignment,method-assign] # a defect
            await caller.send("Status", {"names": []})
            assert await caller.is_cut()
        async with connected(tmp_path / "s") as caller:
            assert "error" not in await caller.call("Status", {"names": []})


async def test_a_pause_answers_who_has_asked_and_lets_others_wait(tmp_path: Path) -> None:
    path = tmp_path / "control"
    async with running_server(backend(), path) as server:
        async with connected(path) as idle, connected(path) as asks:
            assert await idle.call("Status", {"names": []})
            assert await asks.call("Status", {"names": []})
            await asks.send("Status", {"names": []})
            await server.pause(10)
            assert server.count == 0
            assert (await asks.receive())["parameters"]["services"]
            with suppress(anyio.EndOfStream, anyio.BrokenResourceError):
                assert await idle.stream.receive() == b""
        async with connected(path) as queued:
            await queued.send("Status", {"names": []})
            with anyio.move_on_after(0.05) as waited:
                await queued.receive()
            assert waited.cancelled_caught
            server.resume()
            assert (await queued.receive())["parameters"]["services"]


async def test_a_pause_cuts_who_takes_too_long(tmp_path: Path) -> None:
    path, found = tmp_path / "control", backend()
    found.holds = anyio.Event()
    async with running_server(found, path) as server, connected(path) as caller:
        await caller.send("Start", {"names": ["web"]})
        await until(lambda: found.waiting == 1)
        await server.pause(0.01)
        assert server.count == 0
        assert list(server.handed()) == [str(path)]

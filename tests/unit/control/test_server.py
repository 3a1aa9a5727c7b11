"""Who is let in, how many, and what happens to the rest."""

from pathlib import Path

import anyio
from tests.support.control import connected, running_server
from tests.support.hand_backend import HandBackend, snapshot_of, spec_of

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

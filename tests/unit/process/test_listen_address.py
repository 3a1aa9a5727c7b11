"""Where a socket listens, as text and as the kernel says it."""

import socket
from pathlib import Path

import pytest

from virtsupd.core.spec import SocketSpec
from virtsupd.errors import SpawnError
from virtsupd.process.listen_address import bound, file_identity, listens_as, parse_port


def spec(listen: str, **facts: str) -> SocketSpec:
    return SocketSpec(name="web", listen=listen, **facts)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("listen", "expected"),
    [
        ("80", (None, 80)),
        ("localhost:80", ("127.0.0.1", 80)),
        ("192.0.2.1:80", ("192.0.2.1", 80)),
        ("[2001:db8:0::1]:65535", ("2001:db8::1", 65535)),
    ],
)
def test_a_port_is_parsed(listen: str, expected: tuple[str | None, int]) -> None:
    assert parse_port(spec(listen)) == expected


@pytest.mark.parametrize("listen", ["", "x", "65536", "-1", "²", "host:80", "1.2.3:80", "::1:80"])
def test_what_is_no_address_is_refused(listen: str) -> None:
    with pytest.raises(SpawnError, match="not an address") as caught:
        parse_port(spec(listen))
    assert caught.value.is_permanent
    with socket.create_server(("127.0.0.1", 0)) as other:
        assert not listens_as(spec(listen), other)


def test_a_bare_port_listens_on_all_addresses_of_either_family() -> None:
    for family, address in ((socket.AF_INET, ""), (socket.AF_INET6, "::")):
        with socket.create_server((address, 0), family=family) as server:
            port = server.getsockname()[1]
            assert listens_as(spec(str(port)), server)
            assert not listens_as(spec(f"127.0.0.1:{port}"), server)


def test_a_socket_that_does_not_listen_yet_is_none() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        address = spec(f"127.0.0.1:{server.getsockname()[1]}")
        assert not listens_as(address, server)
        server.listen()
        assert listens_as(address, server)


def test_a_file_is_known_by_what_it_is(tmp_path: Path) -> None:
    path = tmp_path / "a"
    assert file_identity(spec(str(path))) is None
    assert file_identity(spec("80")) is None
    path.touch()
    assert file_identity(spec(str(path))) == (path.stat().st_dev, path.stat().st_ino)


def test_a_datagram_socket_has_its_path_without_listening(tmp_path: Path) -> None:
    address = spec(str(tmp_path / "a"), type="datagram")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as held:
        held.bind(address.listen)
        assert listens_as(address, held)
        assert len(bound(address)) == 1

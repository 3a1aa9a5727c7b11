from pathlib import Path

import pytest

from virtsupd.config.addresses import Clash, address_clashes
from virtsupd.config.settings import HostSettings
from virtsupd.core.names import Name
from virtsupd.core.spec import LogSpec, ProcessSpec, ServiceSpec, SocketSpec

HOST = HostSettings(socket=Path("/run/control"), herd_socket=Path("/run/herd"))


def service(name: str, *sockets: SocketSpec, conflicts: tuple[str, ...] = ()) -> ServiceSpec:
    process = ProcessSpec(("x",), LogSpec(""), sockets=sockets)
    rivals = tuple(map(Name, conflicts))
    return ServiceSpec(Name(name), (Name(name),), process=process, conflicts=rivals)


def stream(listen: str) -> SocketSpec:
    return SocketSpec(name="s", listen=listen)


def datagram(listen: str) -> SocketSpec:
    return SocketSpec(name="s", listen=listen, type="datagram")


def clashes(*specs: ServiceSpec) -> list[Clash]:
    return list(address_clashes(specs, HOST))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (stream("/run/x"), stream("/run/x")),
        (stream("/run/x"), datagram("/run/x")),
        (stream("@x"), stream("@x")),
        (stream("80"), stream("080")),
        (stream("80"), stream("10.0.0.1:80")),
        (stream("[::1]:80"), stream("80")),
        (stream("0.0.0.0:80"), stream("10.0.0.1:80")),
        (stream("[::1]:80"), stream("[::]:80")),
        (stream("localhost:80"), stream("127.0.0.1:80")),
        (datagram("80"), datagram("80")),
    ],
)
def test_an_address_belongs_to_one_service(one: SocketSpec, other: SocketSpec) -> None:
    web = stream("/run/web")
    expected = (Name("b"), 1, f"{other.listen} is taken by the service a")
    assert clashes(service("a", one), service("b", web, other)) == [expected]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (stream("/run/x"), stream("/run/y")),
        (stream("@x"), datagram("@x")),
        (stream("80"), stream("81")),
        (stream("80"), datagram("80")),
        (stream("10.0.0.1:80"), stream("10.0.0.2:80")),
        (stream("0.0.0.0:80"), stream("[::]:80")),
        (stream("127.0.0.1:80"), stream("[::1]:80")),
    ],
)
def test_what_does_not_meet_is_no_clash(one: SocketSpec, other: SocketSpec) -> None:
    assert clashes(service("a", one), service("b", other)) == []


def test_a_service_has_an_address_once() -> None:
    (found,) = clashes(service("a", stream("80"), stream("80")))
    assert found == ("a", 1, "80 is taken by the service a")


def test_services_that_are_never_up_together_may_share() -> None:
    a, b = service("a", stream("80")), service("b", stream("80"), conflicts=("a",))
    assert clashes(a, b) == clashes(b, a) == []


def test_the_control_sockets_are_virtsupds_own() -> None:
    found = clashes(service("a", stream("/run/control"), stream("/run/herd")))
    assert [text for _, _, text in found] == [
        "/run/control is taken by virtsupd itself",
        "/run/herd is taken by virtsupd itself",
    ]


def test_services_without_a_process_listen_nowhere() -> None:
    assert clashes(ServiceSpec(Name("t"), (Name("t"),))) == []

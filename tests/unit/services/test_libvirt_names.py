import socket

import pytest

from virtsupd.services.libvirt_names import is_host_name, own_name, server_names


@pytest.mark.parametrize("text", ["vm", "vm.example.org", "10.0.0.1", "::1", "xn--bcher-kva.de"])
def test_what_clients_can_ask_for(text: str) -> None:
    assert is_host_name(text)


@pytest.mark.parametrize(
    "text",
    ["", "a b", "-vm", "vm.", "bücher.de", "fe80::1%eth0", "*.example.org", "a" * 64, "(none)"],
)
def test_what_no_certificate_is_for(text: str) -> None:
    assert not is_host_name(text)


def test_a_server_has_the_names_given_first_then_its_own_and_its_addresses() -> None:
    found = server_names(["b.example.org", "localhost"], "0.0.0.0")
    assert found[:2] == ("b.example.org", "localhost")
    assert len(set(found)) == len(found)
    assert {"127.0.0.1", "localhost"} <= set(found)
    assert "0.0.0.0" not in found
    if is_host_name(socket.gethostname()):
        assert socket.gethostname() in found
        assert own_name() in found


def test_the_address_that_is_listened_on_is_one_of_them() -> None:
    assert "listens.example.org" in server_names([], "listens.example.org")

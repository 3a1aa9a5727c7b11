from pathlib import Path

import pytest

from virtsupd.services.libvirt import LibvirtTable
from virtsupd.services.libvirt_actions import libvirtd_actions
from virtsupd.services.libvirt_places import Pair, Places
from virtsupd.services.libvirt_tls import OWN_PLACES, remote


def test_every_action_says_what_it_does() -> None:
    table = LibvirtTable()
    for action in libvirtd_actions(table, table.libvirt, remote(table)).values():
        assert isinstance(action, dict)
        assert action["description"]


def command_of_make_pki(**keys: object) -> list[str]:
    """Return what the table says to make-pki."""
    table = LibvirtTable.model_validate(keys)
    action = libvirtd_actions(table, table.libvirt, remote(table))["make-pki"]
    assert isinstance(action, dict)
    assert action["admin"] is True
    command: list[str] = action["command"]
    return command[command.index("virtsupd.services.libvirt_pki") + 1 :]


def test_certificates_are_made_where_the_table_looks_for_them() -> None:
    assert command_of_make_pki() == [*OWN_PLACES.values(), "0.0.0.0", "16514", ""]
    files = {"key_file": "/p/k", "cert_file": "/p/c", "ca_file": "/p/a"}
    found = command_of_make_pki(**files, tls_port="16555", listen_addr="::1")
    assert found == ["/p/k", "/p/c", "/p/a", "::1", "16555", ""]
    places = Places.of(found)
    assert (places.server, places.authority.certificate) == (
        Pair(Path("/p/c"), Path("/p/k")),
        Path("/p/a"),
    )


@pytest.mark.parametrize(
    ("keys", "to_set"),
    [
        ({"listen": False}, 'listen = "auto"'),
        ({"listen_tls": False}, "listen_tls = true"),
        ({"listen": False, "listen_tls": False}, 'listen_tls = true and listen = "auto"'),
        ({"listen": True}, ""),
    ],
)
def test_make_pki_knows_what_turns_tls_on(keys: dict[str, object], to_set: str) -> None:
    assert Places.of(command_of_make_pki(**keys)).to_set == to_set

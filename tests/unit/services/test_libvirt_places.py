from pathlib import Path

import pytest

from virtsupd.services.libvirt_places import Pair, Places, authority_in, portable
from virtsupd.services.libvirt_tls import OWN_PLACES


def places(root: Path) -> Places:
    words = [str(root / "key"), str(root / "cert"), str(root / "ca/ca.pem"), "", "16514", ""]
    return Places.of(words)


def make(*pairs: Pair) -> None:
    for pair in pairs:
        for path in (pair.certificate, pair.key):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()


def test_libvirts_own_places_are_those_of_its_documentation() -> None:
    found = Places.of([*OWN_PLACES.values(), "", "", ""])
    assert found.authority.key == Path("/etc/pki/CA/private/cakey.pem")
    assert found.client.certificate == Path("/etc/pki/libvirt/clientcert.pem")
    assert found.client.key == Path("/etc/pki/libvirt/private/clientkey.pem")


def test_beside_places_of_the_table_a_client_has_a_directory_for_pkipath(tmp_path: Path) -> None:
    found = places(tmp_path)
    assert found.client == portable(tmp_path / "ca/client")
    assert authority_in(found.client_directory) == tmp_path / "ca/client/cacert.pem"


def test_what_is_not_there_yet_can_be_made(tmp_path: Path) -> None:
    found = places(tmp_path)
    assert list(found.faults(has_hosts=True)) == []
    make(found.authority)
    assert list(found.faults(has_hosts=True)) == []
    make(found.server)
    assert list(found.faults(has_hosts=False)) == []


def test_when_all_are_there_nothing_is_made(tmp_path: Path) -> None:
    found = places(tmp_path)
    make(found.authority, found.server, found.client)
    [fault] = found.faults(has_hosts=False)
    assert fault.startswith(f"all are there: {tmp_path}/ca/ca.pem, ")
    assert fault.endswith("; to renew one, move it and its key away")


@pytest.mark.parametrize("lost", ["key", "certificate"])
def test_half_a_pair_is_not_completed(tmp_path: Path, lost: str) -> None:
    found = places(tmp_path)
    make(found.authority)
    path: Path = getattr(found.authority, lost)
    path.unlink()
    [other] = found.authority.there
    [fault] = found.faults(has_hosts=False)
    expected = f"{other} is there without {path}; put that in its place, or move {other} away"
    assert fault == expected


def test_a_link_to_nowhere_is_there(tmp_path: Path) -> None:
    found = places(tmp_path)
    found.server.certificate.symlink_to(tmp_path / "nowhere")
    assert found.server.there == [found.server.certificate]


def test_certificates_of_another_ca_are_not_mixed_with_a_new_one(tmp_path: Path) -> None:
    found = places(tmp_path)
    make(found.server)
    [fault] = found.faults(has_hosts=False)
    assert fault.startswith(f"a new CA would not fit {tmp_path}/cert, {tmp_path}/key; move them")


def test_names_for_a_server_that_is_there_are_refused_and_not_forgotten(tmp_path: Path) -> None:
    found = places(tmp_path)
    make(found.authority, found.server)
    [fault] = found.faults(has_hosts=True)
    assert fault == f"--host: {tmp_path}/cert is there; move it and {tmp_path}/key away first"

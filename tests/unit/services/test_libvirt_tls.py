from pathlib import Path

import pytest

from virtsupd.services.libvirt_sockets import ConnectionTable
from virtsupd.services.libvirt_tls import OWN_PLACES, Remote, remote, tls_files


def table(**keys: object) -> ConnectionTable:
    return ConnectionTable.model_validate(keys)


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    found = {key: str(tmp_path / key) for key in OWN_PLACES}
    for file in found.values():
        Path(file).touch()
    return found


def test_tls_listens_when_all_its_files_are_there(files: dict[str, str]) -> None:
    assert remote(table(**files)) == Remote(tls=True, tcp=False)
    Path(files["ca_file"]).unlink()
    assert remote(table(**files)) == Remote(tls=False, tcp=False, missing=(files["ca_file"],))


def test_a_revocation_list_that_is_missing_turns_tls_off(files: dict[str, str]) -> None:
    found = remote(table(**files, crl_file="/nonexistent/crl"))
    assert not found.listens
    assert found.why_no_tls == "TLS is off: /nonexistent/crl is not there or not readable"


def test_a_directory_is_no_certificate(files: dict[str, str], tmp_path: Path) -> None:
    assert remote(table(**files | {"key_file": str(tmp_path)})).missing == (str(tmp_path),)


def test_what_is_turned_off_misses_nothing(files: dict[str, str]) -> None:
    assert remote(table(listen=False)) == Remote(tls=False, tcp=False)
    assert remote(table(listen_tls=False)) == Remote(tls=False, tcp=False)
    assert remote(table(listen_tls=False, listen_tcp=True)).listens
    assert Remote(tls=False, tcp=False).why_no_tls == ""


def test_without_names_the_files_are_in_libvirts_own_places() -> None:
    assert tls_files(table()) == OWN_PLACES
    assert tls_files(table(crl_file="/r")) == OWN_PLACES | {"crl_file": "/r"}

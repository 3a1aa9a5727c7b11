import pytest

from virtsupd.services.libvirt_limits import AdminTable, ClientsTable
from virtsupd.services.libvirt_rules import admin_faults, client_faults, connection_faults
from virtsupd.services.libvirt_sockets import ConnectionTable
from virtsupd.services.libvirt_tls import Remote

NOTHING = Remote(tls=False, tcp=False)


def keys_at_fault(listening: Remote = NOTHING, **keys: object) -> list[str]:
    table = ConnectionTable.model_validate(keys)
    return [str(at[0]) for at, _ in connection_faults(table, listening)]


def test_numbers_may_equal_their_bound() -> None:
    clients = {"max_clients": 20, "min_workers": 5, "max_workers": 5}
    assert list(client_faults(ClientsTable.model_validate(clients))) == []
    assert list(admin_faults(AdminTable(admin_min_workers=5))) == []


def test_no_admin_worker_at_all_is_fine() -> None:
    assert list(admin_faults(AdminTable(admin_max_workers=0))) == []


@pytest.mark.parametrize("given", ["key_file", "cert_file", "ca_file"])
def test_a_part_of_the_certificates_is_refused_naming_the_rest(given: str) -> None:
    missing = {"key_file", "cert_file", "ca_file"} - {given}
    assert set(keys_at_fault(NOTHING, **{given: "/f"})) == missing


def test_all_of_them_or_none_is_fine() -> None:
    assert keys_at_fault() == []
    assert keys_at_fault(key_file="/k", cert_file="/c", ca_file="/a") == []
    assert keys_at_fault(key_file="/k", cert_file="/c", ca_file="/a", crl_file="/r") == []


def test_a_revocation_list_that_libvirt_would_ignore_is_refused() -> None:
    assert keys_at_fault(crl_file="/r") == ["crl_file"]


def test_one_port_does_not_serve_both() -> None:
    assert keys_at_fault(listen_tcp=True, tls_port="1234", tcp_port="01234") == ["tcp_port"]
    assert keys_at_fault(listen_tcp=False, tls_port="1234", tcp_port="1234") == []


def test_insisting_needs_certificates() -> None:
    missing = Remote(tls=False, tcp=False, missing=("/c",))
    assert keys_at_fault(missing, listen=True) == ["listen"]
    assert keys_at_fault(missing) == []

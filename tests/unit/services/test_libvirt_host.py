from pathlib import Path

import pytest

from virtsupd.services.libvirt_host import connection_refusals, log_refusals
from virtsupd.services.libvirt_limits import LogTable
from virtsupd.services.libvirt_sockets import ConnectionTable
from virtsupd.services.libvirt_tls import Remote

NOTHING, TCP = Remote(tls=False, tcp=False), Remote(tls=False, tcp=True)
FOREIGN = "192.0.2.1"
"""An address for documentation, which no host has."""


def refused(listening: Remote, **keys: object) -> list[str]:
    table = ConnectionTable.model_validate({"unix_sock_group": "0", **keys})
    return [str(at[0]) for at, _ in connection_refusals(table, listening)]


def test_a_group_that_nobody_has_is_refused() -> None:
    assert refused(NOTHING, unix_sock_group="no-such-group") == ["unix_sock_group"]
    assert refused(NOTHING, unix_sock_group="root") == []


@pytest.mark.parametrize("address", ["127.0.0.1", "localhost", "0.0.0.0", ""])
def test_an_address_of_this_host_is_fine(address: str) -> None:
    assert refused(TCP, listen_addr=address) == []


def test_an_address_of_another_host_is_refused_where_something_listens() -> None:
    assert refused(TCP, listen_addr=FOREIGN) == ["listen_addr"]
    assert refused(NOTHING, listen_addr=FOREIGN) == []


def test_a_name_without_an_address_is_refused() -> None:
    assert refused(TCP, listen_addr="a.invalid.") == ["listen_addr"]


def test_a_port_that_has_no_such_name_is_refused_whether_it_is_used_or_not() -> None:
    assert refused(TCP, tcp_port="no-such-service") == ["tcp_port"]
    assert refused(NOTHING, tls_port="no-such-service") == ["tls_port"]
    assert refused(TCP, tcp_port="16509") == []


@pytest.mark.parametrize("key", ["cert_file", "ca_file", "crl_file"])
def test_certificates_that_are_none_are_refused(tmp_path: Path, key: str) -> None:
    """Whether real ones are accepted: tests/component/test_libvirt_accepts.py."""
    names = ("key_file", "cert_file", "ca_file", "crl_file")
    files = {name: str(tmp_path / name) for name in names}
    for file in files.values():
        Path(file).write_text("no PEM")
    assert key in refused(Remote(tls=True, tcp=False), **files)


def test_log_files_that_a_daemon_would_end_over_are_refused(tmp_path: Path) -> None:
    def refused(file: object) -> list[str]:
        table = LogTable.model_validate({"log_outputs": f"1:stderr 3:file:{file}"})
        assert all(at == ("log_outputs",) for at, _ in log_refusals(table))
        return [text for _, text in log_refusals(table)]

    file = tmp_path / "log"
    assert refused(file) == []
    file.touch()
    assert refused(file) == []
    assert refused(tmp_path) == [f"{tmp_path} is a directory"]
    assert refused(file / "x") == [
        f"{file}/x cannot be opened: {file} is not a directory; change log_outputs"
    ]
    next_step = f"mkdir -p {tmp_path}/no, or change log_outputs"
    why = f"there is no directory {tmp_path}/no; {next_step}"
    assert refused(tmp_path / "no/x") == [f"{tmp_path}/no/x cannot be opened: {why}"]
    assert refused("/proc/log") == ["/proc/log cannot be opened: no such file or directory"]

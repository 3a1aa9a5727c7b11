from pathlib import Path

import pytest
from hypothesis import given
from tests.support.libvirt_tables import tables

from virtsupd.config.model import KindTable
from virtsupd.errors import ConfigError
from virtsupd.services.conf_import import read_conf, table_of_conf
from virtsupd.services.libvirt import LibvirtTable
from virtsupd.services.render import ConfKey, conf_text, marked
from virtsupd.services.virtlock import VirtlockTable
from virtsupd.services.virtlog import VirtlogTable


def written(table: KindTable) -> dict[str, object]:
    """Return what of a table is in its file."""
    return {name: getattr(table, name) for name, _ in marked(type(table), ConfKey)}


@pytest.mark.parametrize("model", [LibvirtTable, VirtlogTable, VirtlockTable])
def test_the_defaults_come_back(model: type[KindTable]) -> None:
    imported = table_of_conf(conf_text(model()), model, "f")
    assert imported.table == model()
    assert imported.ignored == {}


@given(tables(LibvirtTable))
def test_what_a_table_becomes_is_read_back(table: LibvirtTable) -> None:
    assert written(table_of_conf(conf_text(table), LibvirtTable, "f").table) == written(table)


def test_without_a_key_it_is_as_libvirt_does_without_it() -> None:
    table = table_of_conf("", LibvirtTable, "f").table
    assert table.unix_sock_admin_perms == 0o700
    assert table.unix_sock_rw_perms == 0o777  # polkit decides
    assert (table.admin_max_workers, table.admin_max_clients) == (20, 5000)
    assert table.listen_addr == ""
    assert (
        table_of_conf('auth_unix_rw = "none"', LibvirtTable, "f").table.unix_sock_rw_perms == 0o700
    )
    assert table_of_conf("", VirtlockTable, "f").table.admin_max_clients == 5000


def test_keys_come_to_the_fields_that_the_specification_names_otherwise() -> None:
    text = 'sasl_allowed_username_list = ["joe"]\ntls_no_verify_certificate = 1\n'
    table = table_of_conf(text, LibvirtTable, "f").table
    assert table.sasl_allowed_usernames == ("joe",)
    assert table.tls_no_verify_cert is True


def test_keys_without_a_field_are_named() -> None:
    found = table_of_conf("tcp_min_ssf = 112\n\nlog_levle = 1\n", LibvirtTable, "f").ignored
    assert found == {"tcp_min_ssf": 1, "log_levle": 3}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("log_level = 7", "/f.conf: log_level: found 7, must be at most 4"),
        ("audit_logging = 2", "/f.conf: audit_logging: found 2, must be true or false"),
        ("log_level", "/f.conf:1: expecting = after log_level"),
    ],
)
def test_what_the_table_refuses_is_refused_with_file_and_field(text: str, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        table_of_conf(text, LibvirtTable, "/f.conf")
    assert caught.value.problems == (problem,)


def test_a_file_is_read_whatever_bytes_its_comments_have(tmp_path: Path) -> None:
    file = tmp_path / "libvirtd.conf"
    file.write_bytes(b"# \xff\nlog_level = 1\n")
    assert read_conf(file, LibvirtTable).table.log_level == 1

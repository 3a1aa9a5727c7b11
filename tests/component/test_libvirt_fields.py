"""Every field of libvirt's tables, one after the other, on the real daemons."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.libvirt_daemons import Daemons, libvirt_daemons
from tests.support.libvirt_tables import UUID, conf_keys

from virtsupd.config.model import KindTable
from virtsupd.services.conf_import import read_conf, table_of_conf
from virtsupd.services.libvirt import LibvirtTable
from virtsupd.services.render import Gone, conf_text, marked
from virtsupd.services.virtlock import VirtlockTable
from virtsupd.services.virtlog import VirtlogTable

pytestmark = [pytest.mark.component, pytest.mark.timeout(120)]

PROGRAMS: dict[type[KindTable], str] = {
    LibvirtTable: "libvirtd",
    VirtlogTable: "virtlogd",
    VirtlockTable: "virtlockd",
}
OTHER_THAN_DEFAULT: dict[str, object] = {
    "listen_tls": False,
    "listen_tcp": True,
    "tls_port": "16555",
    "tcp_port": "http",
    "listen_addr": "127.0.0.1",
    "unix_sock_group": "libvirt",
    "unix_sock_ro_perms": "0700",
    "unix_sock_rw_perms": "0700",
    "unix_sock_admin_perms": "0700",
    "unix_sock_dir": "/var/lib/libvirt",
    "auth_unix_ro": "none",
    "auth_unix_rw": "sasl",
    "auth_tcp": "none",
    "auth_tls": "sasl",
    "access_drivers": ["polkit"],
    "key_file": "/k",
    "cert_file": "/c",
    "ca_file": "/a",
    "crl_file": "/r",
    "tls_no_sanity_cert": True,
    "tls_no_verify_cert": True,
    "tls_allowed_dn_list": ["C=GB,O=it's,CN=a", 'O="x",*'],
    "sasl_allowed_usernames": ["joe@EXAMPLE.COM"],
    "tls_priority": "NORMAL:-VERS-TLS1.0",
    "log_filters": "1:qemu 4:util",
    "log_outputs": "1:file:/var/log/libvirt/x.log 3:stderr",
    "audit_logging": True,
    "audit_level": 2,
    "host_uuid": UUID,
    "host_uuid_source": "machine-id",
    "max_size": "1MB",
}
SHIPPED = Path("/etc/libvirt")
SAMPLE = re.compile(r"^#(\w+ *=)", re.MULTILINE)
NO_UUID = "00000000-0000-0000-0000-000000000000"
NO_FIELDS = {"tcp_min_ssf", "keepalive_required", "admin_keepalive_required", "admin_max_clients"}
"""Not in the specification; of them libvirtd reads the first and virtlogd the last."""
CASES = [
    pytest.param(model, field, id=f"{program}-{field}")
    for model, program in PROGRAMS.items()
    for field in conf_keys(model)
]


@pytest.fixture(scope="module")
def daemons(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemons]:
    with libvirt_daemons(tmp_path_factory.mktemp("fields")) as daemons:
        yield daemons


def other(model: type[KindTable], field: str) -> object:
    if field in OTHER_THAN_DEFAULT:
        return OTHER_THAN_DEFAULT[field]
    return int(model.model_fields[field].default) + 1


@pytest.mark.parametrize(("model", "field"), CASES)
def test_another_value_than_the_default_is_accepted(
    daemons: Daemons, model: type[KindTable], field: str
) -> None:
    table = model.model_validate({field: other(model, field)})
    assert getattr(table, field) != model.model_fields[field].default
    verdict = daemons.verdict(PROGRAMS[model], conf_text(table))
    assert verdict.is_ready, verdict
    assert verdict.status == 0


@pytest.mark.parametrize(("model", "field"), CASES)
def test_the_daemon_reads_the_key_that_is_written(
    daemons: Daemons, model: type[KindTable], field: str
) -> None:
    """Of a key that it does not know it would not say a word."""
    key = conf_keys(model)[field]
    is_string = isinstance(model.model_fields[field].default, str)
    verdict = daemons.verdict(PROGRAMS[model], f"{key} = {'-1' if is_string else '[1]'}\n")
    assert verdict.status == 1, verdict
    assert key in verdict.output


@pytest.mark.parametrize("model", PROGRAMS, ids=PROGRAMS.get)
def test_the_defaults_are_accepted(daemons: Daemons, model: type[KindTable]) -> None:
    assert daemons.verdict(PROGRAMS[model], conf_text(model())).is_ready


@pytest.mark.parametrize("key", ["sasl_allowed_usernames", "tls_no_verify_cert"])
def test_the_names_that_the_specification_gives_are_read_by_nobody(
    daemons: Daemons, key: str
) -> None:
    """Once libvirt reads them, they are written under both names, or this test says so."""
    assert daemons.verdict("libvirtd", f"{key} = -1\n").is_ready


@pytest.mark.parametrize("field", [name for name, _ in marked(LibvirtTable, Gone)])
def test_what_is_said_to_be_gone_is_gone(daemons: Daemons, field: str) -> None:
    assert daemons.verdict("libvirtd", f"{field} = [1]\n").is_ready


@pytest.mark.parametrize("program", ["libvirtd", "virtlogd", "virtlockd"])
def test_the_file_that_debian_ships_is_read_with_every_sample_turned_on(program: str) -> None:
    """Its samples stand in comments without a blank after the #."""
    model = next(model for model, name in PROGRAMS.items() if name == program)
    shipped = SHIPPED / f"{program}.conf"
    assert read_conf(shipped, model).ignored == {}
    text = SAMPLE.sub(r"\1", shipped.read_text()).replace(NO_UUID, UUID)
    text = text.replace('"DN', '"CN=DN')
    imported = table_of_conf(text, model, program)
    assert set(imported.ignored) <= NO_FIELDS
    assert imported.table.model_fields_set >= set(conf_keys(model))

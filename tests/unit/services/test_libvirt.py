import re
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import ValidationError

from virtsupd.config.kinds import Built, KindContext
from virtsupd.config.settings import GeneratedDirectory, HostSettings
from virtsupd.core.names import Name
from virtsupd.core.shutdown_policy import GuestEnd, ShutdownPolicy
from virtsupd.services.libvirt import LibvirtTable, build
from virtsupd.services.libvirt_guests import LibvirtGuests

CONTEXT = KindContext(
    HostSettings(run_dir=Path("/r")), {"libvirtd": {"requires": ["user-processes"]}}
)

# What the daemon of libvirt 9.0 reads; of its keys only tcp_min_ssf is not in the specification.
READ_BY_LIBVIRTD = """
access_drivers admin_keepalive_count admin_keepalive_interval admin_max_client_requests
admin_max_clients admin_max_queued_clients admin_max_workers admin_min_workers audit_level
audit_logging auth_tcp auth_tls auth_unix_ro auth_unix_rw ca_file cert_file crl_file host_uuid
host_uuid_source keepalive_count keepalive_interval key_file listen_addr listen_tcp listen_tls
log_filters log_level log_outputs max_anonymous_clients max_client_requests max_clients
max_queued_clients max_workers min_workers ovs_timeout prio_workers sasl_allowed_username_list
tcp_port tls_allowed_dn_list tls_no_sanity_certificate tls_no_verify_certificate tls_port
tls_priority unix_sock_admin_perms unix_sock_dir unix_sock_group unix_sock_ro_perms
unix_sock_rw_perms
"""


def made(**keys: object) -> Built:
    return build(LibvirtTable.model_validate(keys), CONTEXT)


def lines(**keys: object) -> list[str]:
    return made(**keys).files[0].content.splitlines()


def test_only_keys_that_libvirtd_reads_are_written() -> None:
    written = {re.sub(r"^# ", "", line).split(" = ")[0] for line in lines()[1:]}
    assert written == set(READ_BY_LIBVIRTD.split())


def test_values_are_written_as_libvirt_reads_them() -> None:
    text = lines(
        unix_sock_group="libvirt",
        tls_port="16555",
        listen_tls=False,
        tls_no_verify_cert=True,
        sasl_allowed_usernames=["joe", 'a"b'],
        access_drivers=["polkit"],
        host_uuid="8510b1a1-0afa-4da6-8111-785fae202c1d",
    )
    for line in (
        'unix_sock_group = "libvirt"',
        'tls_port = "16555"',
        "listen_tls = 0",
        "tls_no_verify_certificate = 1",
        'sasl_allowed_username_list = ["joe", \'a"b\']',
        'access_drivers = ["polkit"]',
        'host_uuid = "8510b1a1-0afa-4da6-8111-785fae202c1d"',
        "# tls_allowed_dn_list = []",
    ):
        assert line in text
    assert '# host_uuid = ""' in lines()


def test_prefixes_lead_to_programs_and_path() -> None:
    changes = made(libvirt="/opt/l", qemu="/opt/q", dmidecode="/opt/d").changes["libvirtd"]
    assert changes["command"] == [
        "/opt/l/sbin/libvirtd",
        "-f",
        "/r/generated/libvirt/libvirtd.conf",
    ]
    path = changes["environment"]
    assert isinstance(path, dict)
    assert path["PATH"].startswith("/opt/l/sbin:/opt/l/bin:/opt/q/sbin:/opt/q/bin:/opt/d/sbin:")
    assert "/usr/sbin" in path["PATH"].split(":")


def test_requirements_are_added_to_those_of_the_unit() -> None:
    changes = made(requirement=["dbus-system", "user-processes"]).changes["libvirtd"]
    assert changes["requires"] == ["user-processes", "dbus-system"]


def test_another_socket_directory_is_made() -> None:
    made_anyway = made().directories
    another = GeneratedDirectory(Path("/run/v"), 0o755)
    assert made(unix_sock_dir="/run/v").directories == (*made_anyway, another)


def test_what_nothing_reads_is_accepted_with_a_warning() -> None:
    built = made(mdns_adv=True, max_requests=30, mdns_name="x")
    assert [keys for keys, text in built.warnings if "no effect" in text] == [
        ("mdns_adv",),
        ("mdns_name",),
        ("max_requests",),
    ]
    assert not any("mdns" in line or "max_requests" in line for line in lines(mdns_adv=True))


def test_numbers_that_exceed_each_other_are_refused() -> None:
    built = made(max_clients=5, min_workers=30, admin_min_workers=9)
    assert built.problems == (
        (("max_anonymous_clients",), "found 20, must be at most max_clients, which is 5"),
        (("min_workers",), "found 30, must be at most max_workers, which is 20"),
        (("admin_min_workers",), "found 9, must be at most admin_max_workers, which is 5"),
    )


def test_an_empty_table_works_and_says_what_is_not_safe() -> None:
    assert made().problems == ()
    built = made(listen=False)
    assert [keys for keys, _ in built.warnings] == [("unix_sock_admin_perms",), ()]


def test_who_is_to_take_what_guests_write_is_asked_of_the_file() -> None:
    [text] = [text for keys, text in made(listen=False).warnings if not keys]
    assert "no table [virtlog]" in text
    along = replace(CONTEXT, tables=frozenset({"libvirt", "virtlog"}))
    built = build(LibvirtTable.model_validate({"listen": False}), along)
    assert [keys for keys, _ in built.warnings] == [("unix_sock_admin_perms",)]


def test_prefixes_without_their_programs_are_remarked(tmp_path: Path) -> None:
    def keys(**table: object) -> list[tuple[str | int, ...]]:
        return [keys for keys, _ in made(**table).host_remarks({})]

    assert keys() == []
    assert keys(qemu="/nonexistent", dmidecode=str(tmp_path)) == [("qemu",), ("dmidecode",)]
    (tmp_path / "bin").mkdir()
    (tmp_path / "sbin").mkdir()
    (tmp_path / "bin/qemu-system-x86_64").touch()
    (tmp_path / "sbin/dmidecode").touch()
    assert keys(qemu=str(tmp_path), dmidecode=str(tmp_path)) == []


NONE = "/nonexistent/none.pem"
NO_CERTIFICATES = {"key_file": NONE, "cert_file": NONE, "ca_file": NONE}


@pytest.fixture
def certificates(tmp_path: Path) -> dict[str, str]:
    files = {key: str(tmp_path / key) for key in NO_CERTIFICATES}
    for file in files.values():
        Path(file).touch()
    return files


def command(built: Built) -> object:
    return built.changes["libvirtd"]["command"]


FILE = "/r/generated/libvirt/libvirtd.conf"


def test_without_certificates_libvirtd_starts_on_its_local_sockets_and_says_so() -> None:
    built = made(**NO_CERTIFICATES)
    assert built.problems == ()
    assert command(built) == ["libvirtd", "-f", FILE]
    assert "listen_tls = 0" in built.files[0].content.splitlines()
    assert (("listen_tls",), WHY_NO_TLS) in built.warnings
    assert str(built.changes["libvirtd"]["description"]).endswith(
        WHY_NO_TLS.split(";", maxsplit=1)[0]
    )


WHY_NO_TLS = (
    f"TLS is off: {NONE} is not there or not readable; virtsupctl make-pki libvirtd makes"
    " certificates, listen_tls = false does without"
)


def test_without_certificates_tcp_listens_alone() -> None:
    built = made(listen_tcp=True, **NO_CERTIFICATES)
    assert command(built) == ["libvirtd", "-f", FILE, "--listen"]
    assert {"listen_tls = 0", "listen_tcp = 1"} <= set(built.files[0].content.splitlines())


def test_with_certificates_tls_listens(certificates: dict[str, str]) -> None:
    built = made(**certificates)
    assert command(built) == ["libvirtd", "-f", FILE, "--listen"]
    assert "listen_tls = 1" in built.files[0].content.splitlines()
    assert "description" not in built.changes["libvirtd"]


def test_whoever_insists_on_tls_without_certificates_is_refused() -> None:
    (problem,) = made(listen=True, **NO_CERTIFICATES).problems
    assert problem[0] == ("listen",)
    assert NONE in problem[1]


def test_whoever_forbids_it_has_nothing_listening(certificates: dict[str, str]) -> None:
    built = made(listen=False, listen_tcp=True, **certificates)
    assert command(built) == ["libvirtd", "-f", FILE]
    assert (("listen_tcp",), "has no effect: listen is false") in built.warnings


def test_the_host_is_asked_when_somebody_checks() -> None:
    built = made(unix_sock_group="no-such-group", log_outputs="1:file:/nonexistent/x/log")
    assert built.problems == ()
    assert [keys for keys, _ in built.host_faults()] == [("unix_sock_group",), ("log_outputs",)]


def test_firmware_is_offered_to_guests(tmp_path: Path) -> None:
    (tmp_path / "share/qemu/firmware").mkdir(parents=True)
    (tmp_path / "share/qemu/firmware/60-ovmf.json").write_text("{}")
    target = Path("/etc/qemu/firmware/60-ovmf.virtsupd.json")
    assert made(firmwares=[str(tmp_path)]).files[1].path == target
    assert made(firmwares=["/nonexistent"]).problems[0][0] == ("firmwares", 0)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("tls_port", 16514),
        ("tls_port", "0"),
        ("tls_port", "65536"),
        ("tls_port", "a b"),
        ("unix_sock_rw_perms", "rw"),
        ("unix_sock_rw_perms", 770),
        ("auth_unix_rw", "foo"),
        ("auth_tcp", "polkit"),
        ("access_drivers", ["nop"]),
        ("key_file", "key.pem"),
        ("max_workers", 0),
        ("max_clients", -1),
        ("log_level", 5),
        ("audit_level", 3),
        ("audit_logging", 2),
        ("host_uuid", "0" * 32),
        ("host_uuid", "00000000-0000-0000-0000-000000000000"),
        ("host_uuid", "x"),
        ("host_uuid_source", "dice"),
        ("keepalive_interval", -2),
        ("keepalive_count", -1),
        ("listen_addr", "a\nb"),
        ("unix_sock_dir", "run"),
        ("requirement", ["a b"]),
        ("unix_sock_group", ""),
        ("log_outputs", "3:syslog:a:b"),
        ("log_filters", "1:+"),
        ("prio_workers", 4294967295),
        ("tls_allowed_dn_list", ["client1"]),
        ("sasl_allowed_usernames", [""]),
        ("listen", "yes"),
        ("listen", 1),
        ("listen_addr", "[::]"),
    ],
)
def test_what_libvirtd_would_end_over_is_refused_before(key: str, value: object) -> None:
    with pytest.raises(ValidationError):
        LibvirtTable.model_validate({key: value})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("tls_port", "https"),
        ("keepalive_interval", -1),
        ("key_file", "/k"),
        ("admin_max_workers", 0),
    ],
)
def test_what_libvirtd_takes_is_taken(key: str, value: object) -> None:
    assert getattr(LibvirtTable.model_validate({key: value}), key) == value


@pytest.mark.parametrize(
    ("policy", "paused"),
    [(GuestEnd.SHUTDOWN, GuestEnd.SAVE), (GuestEnd.SAVE, None), (GuestEnd.KILL, None)],
)
def test_guests_end_through_its_own_socket_and_paused_ones_are_saved_where_others_are_asked(
    policy: GuestEnd, paused: GuestEnd | None
) -> None:
    host = HostSettings(run_dir=Path("/r"), shutdown=ShutdownPolicy(guest_end=policy))
    table = LibvirtTable.model_validate({"libvirt": "/opt/l", "unix_sock_dir": "/srv/virt"})
    found = build(table, KindContext(host, CONTEXT.units)).guest_hosts[Name("libvirtd")]
    uri = "qemu+unix:///system?socket=/srv/virt/libvirt-sock"
    assert found == LibvirtGuests("/opt/l/sbin/virsh", uri, paused_end=paused)


def test_with_activation_libvirtd_is_not_told_to_listen_itself() -> None:
    built = made(activation=True, listen_tcp=True, listen_tls=False)
    assert command(built) == ["libvirtd", "-f", FILE]
    assert "sockets" in built.changes["libvirtd"]
    assert "sockets" not in made().changes["libvirtd"]
    (problem,) = made(activation=True, listen_tcp=True, listen_addr="a.example").problems
    assert problem[0] == ("listen_addr",)

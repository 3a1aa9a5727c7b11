"""`[libvirt]`: libvirtd, whose guests outlive it."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import Field, PlainValidator

from virtsupd.config.kinds import Built, KindContext, KindParts
from virtsupd.config.model import KindTable
from virtsupd.config.problems import Fault
from virtsupd.config.settings import GeneratedDirectory, GeneratedFile
from virtsupd.config.values import AbsolutePath, ServiceNames
from virtsupd.services.libvirt_values import (
    ConfString,
    LogFilters,
    LogLevel,
    LogOutputs,
    Positive,
    Unsigned,
)
from virtsupd.services.package import program, search_path
from virtsupd.services.render import ConfKey, Gone, conf_string, conf_text, gone_warnings

_PORT = re.compile(r"[A-Za-z0-9-]{1,15}\Z", re.ASCII)
_MODE = re.compile(r"0?[0-7]{3}\Z", re.ASCII)
_UUID = re.compile(r"[0-9a-f]{8}(-?[0-9a-f]{4}){3}-?[0-9a-f]{12}\Z", re.IGNORECASE)
_DEFAULT_SOCKET_DIR: Final = "/var/run/libvirt"
_NOT_READ: Final = "libvirt does not read it any more"


def _port(value: object) -> str:
    found = conf_string(value)
    is_number = found.isdigit()
    if not _PORT.match(found) or (is_number and not 1 <= int(found) <= 65535):
        raise ValueError('a port as a string, "16514", or a name of /etc/services')
    return found


def _mode(value: object) -> str:
    if not isinstance(value, str) or not _MODE.match(value):
        raise ValueError('three octal digits as a string, such as "0770"')
    return value


def _uuid(value: object) -> str:
    found = conf_string(value)
    if found and (not _UUID.match(found) or len(set(found) - {"-"}) == 1):
        raise ValueError("a UUID whose digits are not all the same, or empty")
    return found


def _path_or_empty(value: object) -> str:
    found = conf_string(value)
    if found and not found.startswith("/"):
        raise ValueError("an absolute path, or empty for none")
    return found


Port = Annotated[str, PlainValidator(_port), ConfKey()]
SocketMode = Annotated[str, PlainValidator(_mode), ConfKey()]
Uuid = Annotated[str, PlainValidator(_uuid), ConfKey(omit_empty=True)]
OptionalPath = Annotated[str, PlainValidator(_path_or_empty), ConfKey()]
String = Annotated[ConfString, ConfKey()]
Strings = tuple[ConfString, ...]
Bool = Annotated[bool, Field(strict=True), ConfKey()]
UnixAuth = Annotated[Literal["none", "sasl", "polkit"], ConfKey()]
NetAuth = Annotated[Literal["none", "sasl"], ConfKey()]
Number = Annotated[Unsigned, ConfKey()]
PositiveNumber = Annotated[Positive, ConfKey()]
Interval = Annotated[int, Field(strict=True, ge=-1, lt=2**31), ConfKey()]


class LibvirtTable(KindTable):
    """The fields of libvirt-configuration, under the names the specification gives them."""

    libvirt: AbsolutePath | None = None
    qemu: AbsolutePath | None = None
    dmidecode: AbsolutePath | None = None
    requirement: ServiceNames = ()

    listen_tls: Bool = True
    listen_tcp: Bool = False
    tls_port: Port = "16514"
    tcp_port: Port = "16509"
    listen_addr: String = "0.0.0.0"  # noqa: S104 - the specification's default, used with --listen only
    mdns_adv: Annotated[bool, Field(strict=True), Gone(_NOT_READ)] = False
    mdns_name: Annotated[ConfString, Gone(_NOT_READ)] = "Virtualization Host <hostname>"

    unix_sock_group: String = "root"
    unix_sock_ro_perms: SocketMode = "0777"
    unix_sock_rw_perms: SocketMode = "0770"
    unix_sock_admin_perms: SocketMode = "0777"
    unix_sock_dir: Annotated[AbsolutePath, ConfKey()] = _DEFAULT_SOCKET_DIR

    auth_unix_ro: UnixAuth = "polkit"
    auth_unix_rw: UnixAuth = "polkit"
    auth_tcp: NetAuth = "sasl"
    auth_tls: NetAuth = "none"
    access_drivers: Annotated[tuple[Literal["none", "polkit"], ...], ConfKey()] = ()

    key_file: OptionalPath = ""
    cert_file: OptionalPath = ""
    ca_file: OptionalPath = ""
    crl_file: OptionalPath = ""
    tls_no_sanity_cert: Annotated[
        bool, Field(strict=True), ConfKey("tls_no_sanity_certificate")
    ] = False
    tls_no_verify_cert: Annotated[
        bool, Field(strict=True), ConfKey("tls_no_verify_certificate")
    ] = False
    tls_allowed_dn_list: Annotated[Strings, ConfKey()] = ()
    sasl_allowed_usernames: Annotated[Strings, ConfKey("sasl_allowed_username_list")] = ()
    tls_priority: String = "NORMAL"

    max_clients: PositiveNumber = 5000
    max_queued_clients: Number = 1000
    max_anonymous_clients: Number = 20
    min_workers: Number = 5
    max_workers: PositiveNumber = 20
    prio_workers: Number = 5
    max_requests: Annotated[Positive, Gone(_NOT_READ)] = 20
    max_client_requests: Number = 5

    admin_min_workers: Number = 1
    admin_max_workers: Number = 5
    admin_max_clients: Number = 5
    admin_max_queued_clients: Number = 5
    admin_max_client_requests: Number = 5

    log_level: Annotated[LogLevel, ConfKey()] = 3
    log_filters: Annotated[LogFilters, ConfKey()] = "3:remote 4:event"
    log_outputs: Annotated[LogOutputs, ConfKey()] = "3:stderr"
    audit_level: Annotated[int, Field(strict=True, ge=0, le=2), ConfKey()] = 1
    audit_logging: Bool = False

    host_uuid: Uuid = ""
    host_uuid_source: Annotated[Literal["smbios", "machine-id"], ConfKey()] = "smbios"

    keepalive_interval: Interval = 5
    keepalive_count: Number = 5
    admin_keepalive_interval: Interval = 5
    admin_keepalive_count: Number = 5
    ovs_timeout: Number = 5


def build(table: LibvirtTable, context: KindContext) -> Built:
    """Return what the table changes in the unit libvirtd, and its libvirtd.conf."""
    file = context.host.generated_dir / "libvirt" / "libvirtd.conf"
    unit = context.units["libvirtd"]
    required = unit.get("requires", [])
    keys = {
        "command": [program("libvirtd", table.libvirt), "-f", str(file)],
        "environment": {"PATH": search_path([table.libvirt, table.qemu, table.dmidecode])},
        "requires": _joined(required, table.requirement),
        "autostart": table.autostart,
    }
    return Built(
        {"libvirtd": keys},
        files=(GeneratedFile(file, 0o644, conf_text(table)),),
        directories=tuple(_directories(table)),
        problems=tuple(_problems(table)),
        warnings=tuple(gone_warnings(table)),
    )


def _joined(built_in: object, more: tuple[str, ...]) -> list[str]:
    first = built_in if isinstance(built_in, list) else []
    return list(dict.fromkeys((*first, *more)))


def _directories(table: LibvirtTable) -> Iterator[GeneratedDirectory]:
    """Yield the socket directory if it is another: libvirtd makes only the one it was built with."""
    if table.unix_sock_dir != _DEFAULT_SOCKET_DIR:
        yield GeneratedDirectory(Path(table.unix_sock_dir), 0o755)


def _problems(table: LibvirtTable) -> Iterator[Fault]:
    # libvirtd ends with exit code 3 for the first and runs on with nonsense for the second.
    for lower, upper in (("max_anonymous_clients", "max_clients"), ("min_workers", "max_workers")):
        found, bound = getattr(table, lower), getattr(table, upper)
        if found > bound:
            yield (lower,), f"found {found}, must be at most {upper}, which is {bound}"


LIBVIRT = KindParts(LibvirtTable, build)

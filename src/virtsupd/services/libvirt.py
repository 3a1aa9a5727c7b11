"""`[libvirt]`: libvirtd, whose guests outlive it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from virtsupd.config.kinds import Built, KindContext, KindParts
from virtsupd.config.problems import Fault
from virtsupd.config.settings import GeneratedFile
from virtsupd.config.values import AbsolutePath, ServiceNames
from virtsupd.core.names import Name
from virtsupd.core.shutdown_policy import GuestEnd
from virtsupd.services.firmware import FirmwareDescriptions
from virtsupd.services.libvirt_actions import admin_actions, libvirtd_actions
from virtsupd.services.libvirt_activation import activation_faults, libvirtd_sockets
from virtsupd.services.libvirt_directories import libvirt_directories
from virtsupd.services.libvirt_guests import LibvirtGuests, local_uri
from virtsupd.services.libvirt_health import libvirtd_watch
from virtsupd.services.libvirt_host import connection_refusals, log_refusals
from virtsupd.services.libvirt_limits import (
    AdminTable,
    AuditTable,
    ClientsTable,
    IdentityTable,
    KeepaliveTable,
    LogTable,
    OpenVSwitchTable,
)
from virtsupd.services.libvirt_polkit import without_polkit
from virtsupd.services.libvirt_rules import admin_faults, client_faults, connection_faults
from virtsupd.services.libvirt_sockets import OWN_SOCKET_DIRS, ConnectionTable
from virtsupd.services.libvirt_tls import Remote, remote
from virtsupd.services.libvirt_unsafe import lost_logs, unsafe
from virtsupd.services.package import PackageTable, program, search_path
from virtsupd.services.render import conf_text, gone_warnings

_AFTER_RELOAD: Final = (
    "it has read again what is defined below /etc/libvirt (domains, networks, pools, filters); of"
    " libvirtd.conf it reads nothing before its next start: virtsupctl restart libvirtd ends no guest"
)


class ProgramsTable(PackageTable):
    """What libvirtd runs, and what has to run before it."""

    qemu: AbsolutePath | None = None
    """Prefix of the QEMU put on its PATH, before the system's directories."""
    dmidecode: AbsolutePath | None = None
    """Prefix of the dmidecode put on its PATH, which reads the host's UUID. A libvirt that was built
    where dmidecode was, such as Debian's, calls that one (/usr/sbin/dmidecode) and no other."""
    requirement: ServiceNames = ()
    """More services that must be ready before it. Newer Guix has ["dbus-system"] here; virtsupd wants
    that one anyway, and lets libvirtd start where there is no system bus."""
    firmwares: tuple[AbsolutePath, ...] = ()
    """Prefixes of packages of UEFI firmware, whose share/qemu/firmware/*.json are offered to guests
    in /etc/qemu/firmware; empty: what QEMU's own packages brought."""


class LibvirtTable(
    OpenVSwitchTable,
    KeepaliveTable,
    IdentityTable,
    AuditTable,
    LogTable,
    AdminTable,
    ClientsTable,
    ConnectionTable,
    ProgramsTable,
):
    """The fields of libvirt-configuration, under the names the specification gives them.

    The parts stand in reverse, so that the fields come in the specification's order.
    """


def build(table: LibvirtTable, context: KindContext) -> Built:
    """Return what the table changes in the unit libvirtd, and its libvirtd.conf.

    Looks whether the certificates and firmware descriptions are there.
    """
    file = context.host.generated_dir / "libvirt" / "libvirtd.conf"
    unit = context.units["libvirtd"]
    listening, firmware = remote(table), FirmwareDescriptions.read(table.firmwares)
    return Built(
        {"libvirtd": _keys(table, unit.get("requires", []), file, listening)},
        files=(_conf(file, table, listening), *firmware.files),
        directories=tuple(libvirt_directories(table.unix_sock_dir, table.libvirt)),
        problems=(
            *client_faults(table),
            *admin_faults(table),
            *connection_faults(table, listening),
            *(activation_faults(table, listening) if table.activation else ()),
            *firmware.problems,
        ),
        warnings=(
            *gone_warnings(table),
            *unsafe(table, listening),
            *lost_logs(table),
            *libvirtd_watch(table).warnings,
            *without_polkit(table),
            *_without_virtlog(context),
        ),
        host_faults=lambda: (*connection_refusals(table, listening), *log_refusals(table)),
        host_remarks=lambda _: _empty_prefixes(table),
        guest_hosts={Name("libvirtd"): _guests(table, context)},
        addresses={"qemu:///system": local_uri(table.unix_sock_dir)}
        if table.unix_sock_dir not in OWN_SOCKET_DIRS
        else {},
    )


def _without_virtlog(context: KindContext) -> Iterator[Fault]:
    """Yield that nobody takes what guests write, as far as the file shows it."""
    if "virtlog" not in context.tables:
        text = (
            "there is no table [virtlog]: unless something else runs virtlogd, or qemu.conf says "
        )
        yield (), f'{text}stdio_handler = "file", no guest can be started'


def _empty_prefixes(table: ProgramsTable) -> Iterator[Fault]:
    """Yield prefixes that have none of the programs for whose sake they are named."""
    wanted = {"qemu": (table.qemu, "qemu-system-*"), "dmidecode": (table.dmidecode, "dmidecode")}
    for key, (prefix, pattern) in wanted.items():
        if prefix is None:
            continue
        if not Path(prefix).is_dir():
            yield (key,), f"{prefix} is not a directory; libvirtd uses what its PATH has"
        elif not any(any(Path(prefix, part).glob(pattern)) for part in ("bin", "sbin")):
            text = (
                f"there is no {pattern} in bin or sbin of {prefix}; libvirtd uses what its PATH has"
            )
            yield (key,), text


def _guests(table: LibvirtTable, context: KindContext) -> LibvirtGuests:
    """Return how a shutdown ends guests.

    A paused one does not hear that it is to power off, and somebody paused it for a reason: it is
    saved as it is, unless `[host]` wants another end than the polite one anyway.
    """
    is_asked = context.host.shutdown.guest_end is GuestEnd.SHUTDOWN
    return LibvirtGuests(
        program("virsh", table.libvirt),
        local_uri(table.unix_sock_dir),
        paused_end=GuestEnd.SAVE if is_asked else None,
    )


def _conf(file: Path, table: LibvirtTable, listening: Remote) -> GeneratedFile:
    """Return libvirtd.conf. At HUP libvirtd reads no key of it again (measured with libvirt 9.0)."""
    content = conf_text(effective(table, listening))
    return GeneratedFile(file, 0o644, content, Name("libvirtd"), after_reload=_AFTER_RELOAD)


def effective(table: LibvirtTable, listening: Remote) -> LibvirtTable:
    """Return what libvirtd is to be told: TLS is off where it cannot be had.

    With --listen for TCP and TLS turned on, libvirtd would end over certificates that are missing.
    """
    return table.model_copy(update={"listen_tls": table.listen_tls and not listening.missing})


def _keys(
    table: LibvirtTable, required: object, file: Path, listening: Remote
) -> dict[str, object]:
    prefixes = [table.libvirt, table.qemu, table.dmidecode]
    flags = ["--listen"] if listening.listens and not table.activation else []
    keys: dict[str, object] = {
        "command": [program("libvirtd", table.libvirt), "-f", str(file), *flags],
        "environment": {"PATH": search_path(prefixes)},
        "requires": _joined(required, table.requirement),
        "autostart": table.autostart,
        "actions": {
            **admin_actions("libvirtd", table.unix_sock_dir, table, table.libvirt),
            **libvirtd_actions(table, table.libvirt, listening),
        },
        **libvirtd_watch(table).keys,
    }
    if table.activation:
        keys["sockets"] = libvirtd_sockets(table, listening)
    if listening.why_no_tls:
        keys["description"] = f"manages virtual machines; {listening.why_no_tls}"
    return keys


def _joined(built_in: object, more: tuple[str, ...]) -> list[str]:
    first = built_in if isinstance(built_in, list) else []
    return list(dict.fromkeys((*first, *more)))


LIBVIRT = KindParts(LibvirtTable, build)

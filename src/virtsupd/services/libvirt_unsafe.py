"""What `[libvirt]` allows and an operator should know of: it works, and is not safe, or is lost."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from virtsupd.config.problems import Fault
from virtsupd.services.libvirt_limits import LogTable
from virtsupd.services.libvirt_sockets import EVERY_ADDRESS, ConnectionTable
from virtsupd.services.libvirt_tls import Remote

_EVERY: Final = {EVERY_ADDRESS, "::", ""}
_RECEIVERS: Final = {"syslog": "/dev/log", "journald": "/run/systemd/journal/socket"}


def unsafe(table: ConnectionTable, listening: Remote) -> Iterator[Fault]:
    """Yield what opens libvirtd to more than most operators mean to."""
    if table.unix_sock_admin_perms & 0o077:
        text = f'"{table.unix_sock_admin_perms}" opens the socket that manages the daemon to others'
        yield ("unix_sock_admin_perms",), f'{text}; libvirt ships "0700"'
    if table.unix_sock_rw_perms & 0o007 and table.auth_unix_rw == "none":
        yield (
            ("auth_unix_rw",),
            f'"none" with unix_sock_rw_perms "{table.unix_sock_rw_perms}" makes every user root',
        )
    yield from _network(table, listening)


def _network(table: ConnectionTable, listening: Remote) -> Iterator[Fault]:
    if listening.why_no_tls and table.listen == "auto":
        text = "virtsupctl make-pki libvirtd makes certificates, listen_tls = false does without"
        yield ("listen_tls",), f"{listening.why_no_tls}; {text}"
    if table.listen is True and not (table.listen_tls or table.listen_tcp):
        yield ("listen",), "has no effect: neither listen_tls nor listen_tcp is true"
    if table.listen is False and table.listen_tcp:
        yield ("listen_tcp",), "has no effect: listen is false"
    if listening.listens and table.listen_addr in _EVERY:
        yield ("listen_addr",), f'"{table.listen_addr}" listens on every address of this host'
    if listening.tcp and table.auth_tcp == "none":
        yield ("auth_tcp",), '"none" makes everybody who reaches the port root, unencrypted'
    if listening.tls and table.tls_no_verify_cert:
        yield ("tls_no_verify_cert",), "lets clients in without a certificate of our CA"


def lost_logs(table: LogTable) -> Iterator[Fault]:
    """Yield the outputs whose receiver is not there: libvirt says nothing and loses the messages."""
    for destination in dict.fromkeys(output.destination for output in table.log_outputs):
        receiver = _RECEIVERS.get(destination)
        if receiver is not None and not Path(receiver).exists():
            text = f"{destination} loses what is logged while {receiver} is not there, as now"
            yield ("log_outputs",), text

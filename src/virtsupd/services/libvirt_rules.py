"""What two fields of `[libvirt]`, each fine by itself, make wrong together."""

from collections.abc import Iterator
from typing import Final

from virtsupd.config.model import KindTable
from virtsupd.config.problems import Fault
from virtsupd.services.libvirt_limits import AdminTable, ClientsTable
from virtsupd.services.libvirt_sockets import ConnectionTable
from virtsupd.services.libvirt_tls import OWN_PLACES, Remote

_AT_MOST: Final = (("max_anonymous_clients", "max_clients"), ("min_workers", "max_workers"))


def client_faults(table: ClientsTable) -> Iterator[Fault]:
    """Yield the numbers that exceed the bound another field sets.

    libvirtd ends with exit code 3 over the clients, and runs on with nonsense for the workers.
    """
    for lower, upper in _AT_MOST:
        yield from _exceeding(table, lower, upper)


def admin_faults(table: AdminTable) -> Iterator[Fault]:
    """Yield the same for the admin socket, whose calls no worker may have to do (maximum 0)."""
    if table.admin_max_workers:
        yield from _exceeding(table, "admin_min_workers", "admin_max_workers")


def _exceeding(table: KindTable, lower: str, upper: str) -> Iterator[Fault]:
    found, bound = getattr(table, lower), getattr(table, upper)
    if found > bound:
        yield (lower,), f"found {found}, must be at most {upper}, which is {bound}"


def connection_faults(table: ConnectionTable, listening: Remote) -> Iterator[Fault]:
    """Yield what libvirtd would end over as soon as it listens."""
    named = [name for name in OWN_PLACES if getattr(table, name)]
    if named:
        for name in OWN_PLACES:
            if name not in named:
                text = f"is empty, but {' and '.join(named)} set: set all three, or none"
                yield (name,), text
    elif table.crl_file:
        yield ("crl_file",), f"libvirt ignores it unless {', '.join(OWN_PLACES)} are set, too"
    if table.listen is True and listening.missing:
        text = f"found true, but {listening.why_no_tls}; see key_file, cert_file, ca_file"
        yield ("listen",), f'{text}, or set "auto" until virtsupctl make-pki libvirtd has made them'
    if table.listen_tls and table.listen_tcp and table.tls_port == table.tcp_port:
        yield ("tcp_port",), f"found {table.tcp_port!r}, which is tls_port already"

"""Whether libvirtd listens to other hosts, which depends on the certificates that are there."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from virtsupd.services.libvirt_sockets import ConnectionTable, TlsTable

OWN_PLACES: Final = {
    "key_file": "/etc/pki/libvirt/private/serverkey.pem",
    "cert_file": "/etc/pki/libvirt/servercert.pem",
    "ca_file": "/etc/pki/CA/cacert.pem",
}
"""Where libvirt looks if the table names no file; each of them is needed for TLS."""


@dataclass(frozen=True, slots=True)
class Remote:
    """What listens."""

    tls: bool
    tcp: bool
    missing: tuple[str, ...] = ()
    """Files without which TLS is off although the table turns it on."""

    @property
    def listens(self) -> bool:
        """Whether anything does, so that libvirtd is started with --listen."""
        return self.tls or self.tcp

    @property
    def why_no_tls(self) -> str:
        """What to say of `missing`; empty if there is none."""
        if not self.missing:
            return ""
        verb = "is" if len(self.missing) == 1 else "are"
        return f"TLS is off: {', '.join(self.missing)} {verb} not there or not readable"


def remote(table: ConnectionTable) -> Remote:
    """Return what listens on this host, as its files are now."""
    if table.listen is False:
        return Remote(tls=False, tcp=False)
    missing = tuple(dict.fromkeys(_unreadable(table))) if table.listen_tls else ()
    return Remote(table.listen_tls and not missing, table.listen_tcp, missing)


def tls_files(table: TlsTable) -> dict[str, str]:
    """Return the files that TLS needs, by the field that names each."""
    named = {name: getattr(table, name) for name in OWN_PLACES}
    files = named if any(named.values()) else dict(OWN_PLACES)
    # libvirt goes on without a revocation list that is missing, and accepts who was revoked.
    return files | ({"crl_file": table.crl_file} if table.crl_file else {})


def _unreadable(table: TlsTable) -> Iterator[str]:
    for file in tls_files(table).values():
        if file and not (Path(file).is_file() and os.access(file, os.R_OK)):
            yield file

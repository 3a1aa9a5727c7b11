"""What make-pki makes, and what it says of it."""

import os
import shlex
import socket
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote

from virtsupd.errors import VirtsupdError
from virtsupd.process.files import demand_own
from virtsupd.process.new_files import new_files
from virtsupd.services.certificates import (
    CA_DAYS,
    MAX_NAME_CHARACTERS,
    CertificateError,
    Issued,
    Period,
    dn_text,
    issue_client,
    issue_server,
    new_authority,
    read_authority,
)
from virtsupd.services.libvirt_names import own_name, server_names
from virtsupd.services.libvirt_places import Pair, Places, authority_in, portable

DAYS: Final = 1095
"""How long a certificate is valid if nobody says it, and the CA is as long."""
_KEY_MODE: Final = 0o600
_USUAL_PORT: Final = "16514"


class RefusedError(VirtsupdError):
    """Nothing was made; the message says why, and what to do."""

    code = "refused"


@dataclass(frozen=True, slots=True)
class Term:
    """For how long certificates are to be valid."""

    now: float
    """Wall clock."""
    days: int | None = None

    def period(self, authority: Issued) -> Period:
        """Return it; unless it was asked for, no longer than the CA is valid."""
        if self.days is not None:
            return Period.starting(self.now, days=self.days)
        return Period.starting(self.now, days=DAYS).within(authority)

    def of_authority(self) -> Period:
        """Return that of a new CA."""
        return Period.starting(self.now, days=max(CA_DAYS, self.days or 0))


@dataclass(frozen=True, slots=True)
class _File:
    path: Path
    content: bytes
    mode: int = 0o644


def make_all(places: Places, hosts: Sequence[str], term: Term) -> list[str]:
    """Make what is missing of CA, server and this host's own client; return what to say.

    Raises:
        RefusedError: nothing is missing, or what is there stands in the way.
        VirtsupdError, OSError: it cannot be made or written; nothing is left of the rest.
    """
    for fault in places.faults(has_hosts=bool(hosts)):
        raise RefusedError(fault)
    files, about = [], []
    if places.authority.is_there:
        authority = _authority(places.authority)
    else:
        authority = new_authority(f"CA of {own_name()}"[:MAX_NAME_CHARACTERS], term.of_authority())
        files += _pair(places.authority, authority)
        about.append(f"the CA is valid until {_date(authority)}")
    if not places.client.is_there:
        name = f"root@{own_name()}"[:MAX_NAME_CHARACTERS]
        client = issue_client(authority, name, term.period(authority))
        files += [*_pair(places.client, client), *_copies(places, authority)]
        about.append(_about_client(name, client))
    if not places.server.is_there:
        names = server_names(hosts, places.listen_addr)
        server = issue_server(authority, names, term.period(authority))
        files += _pair(places.server, server)
        about.append(f"the server is {', '.join(names)}, valid until {_date(server)}")
    _write(files)
    return [*_listed(files), *about, *_next(places, hosts)]


def make_client(places: Places, name: str, directory: Path, term: Term) -> list[str]:
    """Make the certificate of one more client in a directory of its own; return what to say.

    Raises:
        RefusedError: there is no CA to sign it, one of the files is there, or nothing that the
            directory could be made in.
        UnsafeDirectoryError: others could put something else where it is to be made.
        VirtsupdError, OSError: it cannot be made or written; nothing is left of the rest.
    """
    for path in (places.authority.key, places.authority.certificate):
        if path not in places.authority.there:
            raise RefusedError(f"{path} is not there; first: virtsupctl make-pki libvirtd")
    for path in (*portable(directory).there, authority_in(directory)):
        if os.path.lexists(path):
            raise RefusedError(f"{path} is there; name another directory, or move it away")
    if not directory.parent.is_dir():
        raise RefusedError(
            f"{directory.parent} is no directory; make it first, or name another one"
        )
    demand_own(directory.parent)
    authority = _authority(places.authority)
    client = issue_client(authority, name, term.period(authority))
    files = _pair(portable(directory), client)
    files.append(_File(authority_in(directory), places.authority.certificate.read_bytes()))
    _write(files)
    return [
        *_listed(files),
        _about_client(name, client),
        f"give {directory} to the client, where its key stays secret, and there try:",
        f"  {_virsh(places, (), directory)}",
    ]


def _authority(pair: Pair) -> Issued:
    """Read the CA that is there."""
    try:
        return read_authority(pair.certificate.read_bytes(), pair.key.read_bytes())
    except CertificateError as error:
        raise CertificateError(f"{pair.certificate} with key {pair.key}: {error}") from error


def _pair(pair: Pair, issued: Issued) -> list[_File]:
    """Return both files."""
    return [
        _File(pair.key, issued.key_pem, _KEY_MODE),
        _File(pair.certificate, issued.certificate_pem),
    ]


def _copies(places: Places, authority: Issued) -> list[_File]:
    """Return the CA for this host's client, where it does not look at the CA's own place."""
    path = authority_in(places.client_directory)
    if places.are_libvirts or path.exists():
        return []
    return [_File(path, authority.certificate_pem)]


def _write(files: Sequence[_File]) -> None:
    """Make all of them, or none, with the directories they need, closed ones for keys.

    They are made from the last to the first, the CA: until that is there, whoever else runs
    make-pki is refused, and so nobody uses a CA that goes again because another file could not be
    made.
    """
    closed = {file.path.parent for file in files if file.mode == _KEY_MODE}
    with new_files() as made:
        for directory in sorted({file.path.parent for file in files}):
            made.add_directory(directory, mode=0o700 if directory in closed else 0o755)
        for file in reversed(files):
            made.add(file.path, file.content, mode=file.mode)


def _listed(files: Sequence[_File]) -> list[str]:
    return ["made:", *(f"  {file.path}" for file in files)]


def _about_client(name: str, client: Issued) -> str:
    text = f'the client is "{dn_text(name)}" in tls_allowed_dn_list'
    return f"{text}, valid until {_date(client)}"


def _date(issued: Issued) -> str:
    return f"{issued.certificate.not_valid_after_utc:%Y-%m-%d}"


def _next(places: Places, hosts: Sequence[str]) -> list[str]:
    directory = None if places.are_libvirts else places.client_directory
    first = f"say {places.to_set} in [libvirt] of the host file, which turns TLS off; then"
    return [
        f"next, so that libvirtd listens, and to try it:{f' {first}' if places.to_set else ''}",
        "  virtsupctl reload && virtsupctl restart libvirtd",
        f"  {_virsh(places, hosts, directory)}",
    ]


def _virsh(places: Places, hosts: Sequence[str], directory: Path | None) -> str:
    """Return a command for a client that has its certificate in that directory, or in its place."""
    host = next(iter(hosts), own_name())
    address = f"[{host}]" if ":" in host else host
    port = "" if places.port == _USUAL_PORT else f":{_number(places.port)}"
    where = f"?pkipath={quote(str(directory))}" if directory is not None else ""
    uri = f"qemu+tls://{address}{port}/system{where}"
    return shlex.join(["virsh", "-c", uri, "list", "--all"])


def _number(port: str) -> str:
    """Return a port by its number; its name where /etc/services has none."""
    with suppress(OSError):
        return str(socket.getservbyname(port, "tcp"))
    return port

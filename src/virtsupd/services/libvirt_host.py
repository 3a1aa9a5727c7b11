"""What libvirt's daemons would refuse on this host as it is now, found before they are started."""

import errno
import socket
from collections.abc import Iterator
from pathlib import Path

from virtsupd.config.host import group_id
from virtsupd.config.problems import Fault
from virtsupd.process.files import no_directory, try_append
from virtsupd.services.libvirt_limits import LogTable
from virtsupd.services.libvirt_sockets import ConnectionTable
from virtsupd.services.libvirt_tls import Remote, tls_files


def connection_refusals(table: ConnectionTable, listening: Remote) -> Iterator[Fault]:
    """Yield what makes libvirtd end at its start: exit code 6.

    May ask the DNS for `listen_addr` and opens a socket on it for a moment.
    """
    if group_id(table.unix_sock_group) is None:
        yield ("unix_sock_group",), f"no group is named {table.unix_sock_group!r}"
    yield from _port_faults(table)
    if listening.listens and table.listen_addr:
        yield from _address_faults(table.listen_addr)
    if listening.tls:
        yield from _certificate_faults(table)


def log_refusals(table: LogTable) -> Iterator[Fault]:
    """Yield log files that cannot be opened: exit code 1."""
    for output in table.log_outputs:
        if output.destination == "file":
            file = Path(output.target)
            try:
                try_append(file)
            except IsADirectoryError:
                yield ("log_outputs",), f"{file} is a directory"
            except OSError as error:
                why = (error.strerror or str(error)).lower()
                if not file.parent.is_dir():
                    why = no_directory(file.parent, "log_outputs")
                yield ("log_outputs",), f"{file} cannot be opened: {why}"


def _port_faults(table: ConnectionTable) -> Iterator[Fault]:
    """Yield names that are no ports here, also of those that nothing uses yet."""
    for key in ("tls_port", "tcp_port"):
        try:
            _number(getattr(table, key))
        except OSError:
            yield (key,), f"no TCP service is named {getattr(table, key)!r} in /etc/services"


def _number(port: str) -> int:
    return int(port) if port.isdigit() else socket.getservbyname(port, "tcp")


def _address_faults(address: str) -> Iterator[Fault]:
    """Yield why nothing can listen on an address: it is not of this host, or no address at all."""
    try:
        found = socket.getaddrinfo(address, 0, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        yield ("listen_addr",), f"cannot find the address of {address!r}: {error.strerror}"
        return
    for family, kind, protocol, _, name in found:
        try:
            with socket.socket(family, kind, protocol) as probe:
                probe.bind(name)
        except OSError as error:
            if error.errno != errno.EAFNOSUPPORT:  # libvirt passes such an address over
                text = f"cannot listen on {name[0]}: {(error.strerror or str(error)).lower()}"
                yield ("listen_addr",), text


def _certificate_faults(table: ConnectionTable) -> Iterator[Fault]:
    """Yield certificates that do not fit their key, and files that hold none."""
    import ssl  # noqa: PLC0415 - takes long, and is needed when somebody checks

    files = tls_files(table)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("DEFAULT@SECLEVEL=0")  # libvirt is content with shorter keys than OpenSSL
    try:
        context.load_cert_chain(files["cert_file"], files["key_file"], password="")
    except (OSError, ValueError) as error:
        yield ("cert_file",), f"{files['cert_file']} with key {files['key_file']}: {error}"
    for key in ("ca_file", "crl_file"):
        if key in files:
            try:
                context.load_verify_locations(files[key])
            except (OSError, ValueError) as error:
                yield (key,), f"{files[key]} holds no PEM that fits: {error}"

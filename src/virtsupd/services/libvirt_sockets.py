"""Fields of libvirt's daemons about whom they talk to: network, local sockets, authentication, TLS.

Each table here is a part of `[libvirt]`, apart so that libvirt's split daemons, whose files have the
same keys, can be made of the same declarations. Names and defaults are the specification's
(libvirt-configuration) where a field does not say otherwise; ranges were measured on libvirt 9.0.
"""

from typing import Annotated, Final, Literal

from pydantic import Field, PlainValidator

from virtsupd.config.model import KindTable
from virtsupd.services.libvirt_values import (
    Address,
    Group,
    Mode,
    Names,
    OptionalPath,
    Port,
    SocketDirectory,
    SocketMode,
    Users,
)
from virtsupd.services.render import ConfKey, Gone
from virtsupd.services.virconf import conf_string

OWN_SOCKET_DIRS: Final = ("/var/run/libvirt", "/run/libvirt")
"""The directory that libvirt is built with, by both its names."""
NOT_READ: Final = "libvirt does not read it any more"
EVERY_ADDRESS: Final = "0.0.0.0"  # noqa: S104 - the specification's default

Bool = Annotated[bool, Field(strict=True)]
Listen = Literal["auto"] | bool
UnixAuth = Literal["none", "sasl", "polkit"]
NetAuth = Literal["none", "sasl"]
_String = Annotated[str, PlainValidator(conf_string)]


def _listen(value: object) -> Listen:
    if isinstance(value, bool):
        return value
    if value == "auto":
        return "auto"
    raise ValueError('"auto", true or false')


class NetworkTable(KindTable):
    """Connections from other hosts."""

    listen: Annotated[Listen, PlainValidator(_listen)] = "auto"
    """Whether the daemon is started with `--listen`, without which it opens no port at all. "auto":
    when listen_tcp is set, or listen_tls and the certificates are there. true: also refuse TLS
    without certificates. The specification only says that it must be set."""
    listen_tls: Annotated[Bool, ConfKey()] = True
    """Accept TLS connections from clients with a certificate of our CA."""
    listen_tcp: Annotated[Bool, ConfKey()] = False
    """Accept TCP connections without encryption of their own."""
    tls_port: Annotated[Port, ConfKey()] = "16514"
    """TCP port for TLS connections: a number from 1 to 65535 or a name of /etc/services."""
    tcp_port: Annotated[Port, ConfKey()] = "16509"
    """TCP port for connections without TLS: a number from 1 to 65535 or a name of /etc/services."""
    listen_addr: Annotated[Address, ConfKey(omit_empty=True)] = EVERY_ADDRESS
    """Address or host name that both ports are opened on, IPv6 without brackets; empty: all of both
    families."""
    mdns_adv: Annotated[Bool, Gone(NOT_READ)] = False
    """Once: announce the daemon by mDNS. Without effect."""
    mdns_name: Annotated[_String, Gone(NOT_READ)] = "Virtualization Host <hostname>"
    """Once: the name in that announcement. Without effect."""


class UnixTable(KindTable):
    """Connections from this host."""

    unix_sock_group: Annotated[Group, ConfKey()] = "root"
    """Group of the sockets for reading and for everything, by name or number."""
    unix_sock_ro_perms: Annotated[Mode, ConfKey()] = SocketMode(0o777)
    """Permissions of the socket for looking only, in octal: "0000" to "0777"."""
    unix_sock_rw_perms: Annotated[Mode, ConfKey()] = SocketMode(0o770)
    """Permissions of the socket for everything, in octal: "0000" to "0777"."""
    unix_sock_admin_perms: Annotated[Mode, ConfKey()] = SocketMode(0o777)
    """Permissions of the socket that manages the daemon itself, in octal. libvirt lets only its own
    user in whatever they are, and ships "0700"."""
    unix_sock_dir: Annotated[SocketDirectory, ConfKey()] = "/var/run/libvirt"
    """Directory of the three sockets, at most 88 bytes; made if it is another than the default. A reload
    does not change it while libvirtd is alive: stop that first, its guests run on."""


class AuthTable(KindTable):
    """Who may connect, and who may do what."""

    auth_unix_ro: Annotated[UnixAuth, ConfKey()] = "polkit"
    """How clients of the socket for looking prove who they are: "none", "sasl" or "polkit". Without
    a system bus polkit lets only root in."""
    auth_unix_rw: Annotated[UnixAuth, ConfKey()] = "polkit"
    """The same for the socket for everything. With "none" its permissions alone decide."""
    auth_tcp: Annotated[NetAuth, ConfKey()] = "sasl"
    """How clients over TCP prove who they are: "sasl", or "none", which lets everybody in."""
    auth_tls: Annotated[NetAuth, ConfKey()] = "none"
    """What clients prove inside TLS, beside their certificate: "none" or "sasl"."""
    access_drivers: Annotated[tuple[Literal["none", "polkit"], ...], ConfKey()] = ()
    """Asked before each call: ["polkit"]; empty: whoever is connected may do all his socket can."""


class TlsTable(KindTable):
    """Certificates, and whose are accepted."""

    key_file: Annotated[OptionalPath, ConfKey(omit_empty=True)] = ""
    """The server's private key (PEM). Set all three of key, certificate and CA, or none."""
    cert_file: Annotated[OptionalPath, ConfKey(omit_empty=True)] = ""
    """The server's certificate (PEM); empty: /etc/pki/libvirt/servercert.pem."""
    ca_file: Annotated[OptionalPath, ConfKey(omit_empty=True)] = ""
    """Certificate of the CA that clients' certificates must be signed by (PEM); empty:
    /etc/pki/CA/cacert.pem."""
    crl_file: Annotated[OptionalPath, ConfKey(omit_empty=True)] = ""
    """Certificates that the CA has revoked (PEM), only along with the three files above. If it is set
    and missing, TLS is off: libvirt would accept the revoked ones. Empty: none, or with libvirt's own
    places /etc/pki/CA/cacrl.pem, if it exists."""
    tls_no_sanity_cert: Annotated[Bool, ConfKey("tls_no_sanity_certificate")] = False
    """Do not check our own certificate when the daemon starts."""
    tls_no_verify_cert: Annotated[Bool, ConfKey("tls_no_verify_certificate")] = False
    """Accept clients without a certificate of our CA."""
    tls_allowed_dn_list: Annotated[Names, ConfKey()] = ()
    """Names in the certificates of clients that may connect, * for anything; empty: all."""
    sasl_allowed_usernames: Annotated[Users, ConfKey("sasl_allowed_username_list")] = ()
    """Names of SASL users who may connect, * for anything; empty: all. Under the specification's
    name libvirt would not read it, and let all in."""
    tls_priority: Annotated[_String, ConfKey(omit_empty=True)] = "NORMAL"
    """Algorithms of TLS as GnuTLS names them; empty: the build's own. libvirt starts with nonsense
    here, and then every handshake fails."""


class ConnectionTable(TlsTable, AuthTable, UnixTable, NetworkTable):
    """All of that: everything about connections."""

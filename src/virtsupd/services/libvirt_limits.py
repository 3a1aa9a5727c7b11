"""Fields of libvirt's daemons about themselves: limits, logs, audit, identity, keepalive.

As in `libvirt_sockets`, each table is a part of those of the daemons, with the specification's names
and defaults, and ranges measured on libvirt 9.0.
"""

from typing import Annotated, Final, Literal

from pydantic import Field

from virtsupd.config.model import KindTable
from virtsupd.services.libvirt_sockets import NOT_READ, Bool
from virtsupd.services.libvirt_values import (
    Filters,
    Interval,
    LogLevel,
    Outputs,
    Positive,
    Threads,
    Unsigned,
    Uuid,
    log_filters,
    log_outputs,
)
from virtsupd.services.render import ConfKey, Gone

FILTERS: Final = log_filters("3:remote 4:event")
OUTPUTS: Final = log_outputs("3:stderr")


class LogTable(KindTable):
    """What the daemon says, and where; the same in every daemon of libvirt."""

    log_level: Annotated[LogLevel, ConfKey()] = 3
    """Least level of messages that no filter is about: 1 debug, 2 information, 3 warnings, 4 errors."""
    log_filters: Annotated[Filters, ConfKey()] = FILTERS
    """Other levels for parts of the daemon: LEVEL:MATCH with spaces between, the first match counts;
    may be empty."""
    log_outputs: Annotated[Outputs, ConfKey()] = OUTPUTS
    """Where messages go: LEVEL:stderr (into the service's log), LEVEL:journald, LEVEL:syslog:NAME,
    LEVEL:file:/PATH, with spaces between."""


class ClientsTable(KindTable):
    """How many clients, and how much each may ask."""

    max_clients: Annotated[Positive, ConfKey()] = 5000
    """Connections over all sockets together, 1 to 4294967295."""
    max_queued_clients: Annotated[Unsigned, ConfKey()] = 1000
    """Connections that wait to be accepted (the backlog of listen), 0 to 4294967295."""
    max_anonymous_clients: Annotated[Unsigned, ConfKey()] = 20
    """Connections that are accepted and not yet authenticated, at most max_clients; 0: no limit."""
    min_workers: Annotated[Threads, ConfKey()] = 5
    """Threads made at the start, 0 to 1000, at most max_workers."""
    max_workers: Annotated[Positive, ConfKey()] = 20
    """Threads that work on calls at most, 1 to 4294967295; one is made when there is work for it."""
    prio_workers: Annotated[Threads, ConfKey()] = 5
    """Threads, 0 to 1000, kept for calls that never wait for a guest, such as ending one."""
    max_requests: Annotated[Positive, Gone(NOT_READ)] = 20
    """Once: calls at work for all clients together. Without effect."""
    max_client_requests: Annotated[Unsigned, ConfKey()] = 5
    """Calls of one client at work at the same time, 0 to 4294967295."""


class AdminTable(KindTable):
    """The same for the socket that manages the daemon itself."""

    admin_min_workers: Annotated[Threads, ConfKey()] = 1
    """Threads made at the start, 0 to 1000, at most admin_max_workers where that is not 0."""
    admin_max_workers: Annotated[Unsigned, ConfKey()] = 5
    """Threads that work on its calls at most, 0 to 4294967295."""
    admin_max_clients: Annotated[Unsigned, ConfKey()] = 5
    """Its connections, 0 to 4294967295."""
    admin_max_queued_clients: Annotated[Unsigned, ConfKey()] = 5
    """Its connections that wait to be accepted, 0 to 4294967295."""
    admin_max_client_requests: Annotated[Unsigned, ConfKey()] = 5
    """Calls of one of its clients at work at the same time, 0 to 4294967295."""


class AuditTable(KindTable):
    """The host's audit log."""

    audit_level: Annotated[int, Field(strict=True, ge=0, le=2), ConfKey()] = 1
    """0: no audit messages; 1: if the host audits; 2: do not start if it does not."""
    audit_logging: Annotated[Bool, ConfKey()] = False
    """Write audit messages into the daemon's log, too."""


class IdentityTable(KindTable):
    """What this host is called in migrations."""

    host_uuid: Annotated[Uuid, ConfKey(omit_empty=True)] = ""
    """UUID of the host, its digits not all the same; empty: as host_uuid_source says."""
    host_uuid_source: Annotated[Literal["smbios", "machine-id"], ConfKey()] = "smbios"
    """Where it comes from: "smbios" (the firmware, by dmidecode) or "machine-id" (/etc/machine-id)."""


class KeepaliveTable(KindTable):
    """When a silent client is given up: after about interval * (count + 1) seconds."""

    keepalive_interval: Annotated[Interval, ConfKey()] = 5
    """Seconds without a word before a client is asked for a sign of life, 0 to 2147483647; -1: never."""
    keepalive_count: Annotated[Unsigned, ConfKey()] = 5
    """Questions without an answer before it is disconnected, 0 to 4294967295."""
    admin_keepalive_interval: Annotated[Interval, ConfKey()] = 5
    """Seconds, the same for the socket that manages the daemon."""
    admin_keepalive_count: Annotated[Unsigned, ConfKey()] = 5
    """Questions, the same for the socket that manages the daemon."""


class OpenVSwitchTable(KindTable):
    """Calls of Open vSwitch."""

    ovs_timeout: Annotated[Unsigned, ConfKey()] = 5
    """Seconds that a call of ovs-vsctl may take, 0 to 4294967295."""

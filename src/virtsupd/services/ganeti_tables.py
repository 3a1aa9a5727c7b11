"""The tables `[ganeti]` and `[ganeti.NAME]`: the specification's fields, and what each becomes.

Flags are those of Ganeti 3.0.2 (`--help` of each daemon). Of the watcher's and the cleaner's fields the
kind makes the command itself.
"""

from ipaddress import ip_address
from typing import Annotated, Literal

from pydantic import Field, PlainValidator

from virtsupd.config.model import KindTable
from virtsupd.config.timer import Timer, TimerTable
from virtsupd.config.values import AbsolutePath, Flag, PositiveCount, ServiceName, Text
from virtsupd.services.ganeti_accounts import AccountsOf
from virtsupd.services.ganeti_os_table import OsTable
from virtsupd.services.render import Option

ANY: str = "0.0.0.0"  # noqa: S104 - the specification's default, which the manual explains
LIBRARY = "/var/lib/ganeti"

Syslog = Annotated[Literal["no", "yes", "only"] | None, Option("--syslog")]


def _ip(value: object) -> str:
    try:
        return str(ip_address(str(value)))
    except ValueError as error:
        raise ValueError('an IP address, such as "192.0.2.1" or "2001:db8::1"') from error


IpAddress = Annotated[str, PlainValidator(_ip)]
ListenPort = Annotated[int, Field(strict=True, ge=1, le=65535), Option("--port")]
Voting = Annotated[Flag, Option("--no-voting", with_it="--yes-do-it")]


class DaemonTable(KindTable):
    """What all daemons have."""

    ganeti: AbsolutePath | None = None
    """Prefix of the Ganeti whose program is run; default: that of [ganeti]."""
    debug: Annotated[Flag, Option("--debug")] = False
    """Whether it logs what it does, down to the content of requests."""


class LoggingTable(DaemonTable):
    """A daemon that can write to syslog."""

    syslog: Syslog = None
    """"yes": also to syslog, "only": not to its own log file."""


class AskedTable(DaemonTable):
    """A daemon that can be asked whether it is well."""

    health: Flag = False
    """Whether it is asked every 30 s, in its own protocol, whether it is well, and started again after three times
    without an answer; else it is well as long as it runs."""


class ListeningTable(AskedTable):
    """A daemon with a port."""

    port: ListenPort
    address: Annotated[IpAddress | None, Option("--bind")] = ANY
    """Where it listens: an IP address of this host."""


class TlsTable(ListeningTable, LoggingTable):
    """A daemon that speaks HTTPS."""

    interface: Annotated[Text | None, Option("--interface")] = None
    """Listen on the first address of this network interface instead; not with an address of your own."""
    max_clients: Annotated[PositiveCount, Option("--max-clients")] = 20
    """Connections served at a time."""
    ssl: Annotated[Flag, Option("--no-ssl", if_false=True)] = True
    """Whether it speaks TLS; all nodes alike. Without it anybody on the way can read and command."""

    @property
    def listens_at(self) -> str | None:
        """The address it is told; None: none, since Ganeti takes no address beside an interface."""
        is_said = "address" in self.model_fields_set
        return self.address if self.interface is None or is_said else None


class NodedTable(TlsTable):
    """`[ganeti.noded]`: the node daemon, which does what the master asks of this node."""

    port: ListenPort = 1811
    """TCP; the same on all nodes (and in /etc/services, where the other nodes look it up)."""
    ssl_key: Annotated[AbsolutePath, Option("--ssl-key")] = f"{LIBRARY}/server.pem"
    """Private key, most often in the same file as the certificate."""
    ssl_cert: Annotated[AbsolutePath, Option("--ssl-cert")] = f"{LIBRARY}/server.pem"
    """Certificate of the cluster. It starts once this file is there."""
    mlock: Annotated[Flag, Option("--no-mlock", if_false=True)] = True
    """Whether it keeps its 60 MB from being swapped out."""


class ConfdTable(ListeningTable, LoggingTable):
    """`[ganeti.confd]`: answers questions about the cluster, on master candidates."""

    port: ListenPort = 1814
    """UDP."""


class WconfdTable(AskedTable, LoggingTable):
    """`[ganeti.wconfd]`: the keeper of the cluster's configuration, on the master."""

    no_voting: Voting = False
    """Whether it starts without asking the other nodes who is master. Dangerous: two masters at a
    time destroy the cluster's configuration."""


class LuxidTable(AskedTable, LoggingTable):
    """`[ganeti.luxid]`: takes jobs and queries, on the master."""

    no_voting: Voting = False
    """As of wconfd."""


class RapiTable(TlsTable):
    """`[ganeti.rapi]`: the remote API, on the master."""

    require_authentication: Annotated[Flag, Option("--require-authentication")] = False
    """Whether also reading needs a user and password of /var/lib/ganeti/rapi/users."""
    port: ListenPort = 5080
    """TCP."""
    ssl_key: Annotated[AbsolutePath, Option("--ssl-key")] = f"{LIBRARY}/rapi.pem"
    """Private key, readable for gnt-rapi, most often in the same file as the certificate."""
    ssl_cert: Annotated[AbsolutePath, Option("--ssl-cert")] = f"{LIBRARY}/rapi.pem"
    """Certificate. It starts once this file is there."""


class KvmdTable(LoggingTable):
    """`[ganeti.kvmd]`: notices instances that their users have shut down."""


class MondTable(ListeningTable):
    """`[ganeti.mond]`: figures for monitoring systems, over HTTP."""

    port: ListenPort = 1815
    """TCP."""


class MetadTable(ListeningTable):
    """`[ganeti.metad]`: tells instances about themselves; Ganeti starts it when one is made."""

    autostart: Flag = False
    """Whether it starts with the others; else when Ganeti asks for it."""
    port: ListenPort = 80
    """TCP; 80 is what instances expect."""
    address: Annotated[IpAddress | None, Option("--bind")] = None
    """Where it listens; default: everywhere."""


class JobTable(KindTable):
    """A program that runs at its times."""

    ganeti: AbsolutePath | None = None
    """Prefix of the Ganeti whose program is run; default: that of [ganeti]."""


class WatcherTable(JobTable):
    """`[ganeti.watcher]`: starts again what has died, instances among it."""

    schedule: Timer = TimerTable(cron=("*/5 * * * *",))
    """When it runs; never twice at a time, and not while virtsupd shuts down."""
    rapi_ip: IpAddress | None = None
    """Where it asks rapi; default: where rapi listens, by its table."""
    job_age: PositiveCount = 21600
    """Seconds after which a finished job is archived."""
    verify_disks: Flag = True
    """Whether it looks after degraded disks."""
    debug: Flag = False
    """Whether it logs more."""


class CleanerTable(JobTable):
    """`[ganeti.cleaner]`: removes old jobs, certificates and logs."""

    master_schedule: Timer = TimerTable(cron=("45 1 * * *",))
    """When it runs for the cluster: archived jobs older than 21 days."""
    node_schedule: Timer = TimerTable(cron=("45 2 * * *",))
    """When it runs for this node: certificates that have expired, the watcher's old state."""


PARTS = ["noded", "confd", "wconfd", "rapi", "luxid", "kvmd", "mond", "metad", "watcher", "cleaner"]
"""Names of the tables below [ganeti]: the daemons in the order of their start, then what runs at its times."""


class GanetiTable(KindTable):
    """The fields of ganeti-configuration."""

    ganeti: AbsolutePath | None = None
    """Prefix of the Ganeti that is run; default: PATH, and /usr/lib/ganeti for its helpers."""
    accounts: AccountsOf = "auto"
    """Whose accounts its build has: "debian" (gnt-masterd and others), "root", or those of Debian if
    this host has them."""
    ssh: ServiceName | None = None
    """The service that runs this node's SSH server, which reads its host keys again when the node joins a
    cluster; none: somebody else has to reload it then."""
    file_storage_paths: tuple[Text, ...] = ()
    """Directories below which instances may have their disks as files, the same on all nodes."""
    hooks: AbsolutePath | None = None
    """Directory of the hooks that Ganeti runs at operations; /etc/ganeti/hooks becomes a link to it."""
    os: tuple[OsTable, ...] | None = None
    """OS providers and their variants; default: debootstrap and guix with the variant default, each where
    it is installed; []: none. See docs/ganeti-os.md."""
    guests: Literal["shutdown", "leave"] = "shutdown"
    """What becomes of this node's KVM instances when the host shuts down: they power off before any
    daemon stops, each with the time that [host] gives, or they are left to themselves."""
    noded: NodedTable = Field(default_factory=NodedTable)
    """The node daemon."""
    confd: ConfdTable = Field(default_factory=ConfdTable)
    """Answers questions about the cluster."""
    wconfd: WconfdTable = Field(default_factory=WconfdTable)
    """Keeps the configuration of the cluster."""
    luxid: LuxidTable = Field(default_factory=LuxidTable)
    """Takes jobs and queries."""
    rapi: RapiTable = Field(default_factory=RapiTable)
    """The remote API."""
    kvmd: KvmdTable = Field(default_factory=KvmdTable)
    """Notices instances that their users have shut down."""
    mond: MondTable = Field(default_factory=MondTable)
    """Figures for monitoring."""
    metad: MetadTable = Field(default_factory=MetadTable)
    """Tells instances about themselves."""
    watcher: WatcherTable = Field(default_factory=WatcherTable)
    """Starts again what has died."""
    cleaner: CleanerTable = Field(default_factory=CleanerTable)
    """Removes what is old."""

"""What a service is: definitions, frozen, as the configuration made them.

A definition has two halves. `ProcessSpec` is all that makes the process: when it changes while the
service runs, the change is a *replacement* that waits for the next start. Everything else (names,
edges, policies) holds at once. Durations are seconds, sizes bytes.
"""

import math
from dataclasses import field
from enum import StrEnum
from typing import Literal

from virtsupd.core.domain import DomainSpec, GuestStop
from virtsupd.core.frozen import frozen
from virtsupd.core.machine import MachineSpec, RungSpec, StopStep
from virtsupd.core.names import Name


class StopMode(StrEnum):
    """Who is signalled when a service stops.

    `CGROUP`: TERM to the leader's process group, then KILL to all that is in the service's cgroup.
    `GROUP`: the leader's process group, twice. `PROCESS`: the leader alone, for daemons whose
    children are guests or jobs; whatever else lives in the cgroup is never signalled.
    """

    CGROUP = "cgroup"
    GROUP = "group"
    PROCESS = "process"


class HostCheck(StrEnum):
    """A fact of the host that a built-in condition waits for."""

    LOOPBACK = "loopback"
    NETWORKING = "networking"
    UDEV = "udev"


@frozen
class NotifyProbe:
    """The service says READY=1 on its NOTIFY_SOCKET (sd_notify(3))."""


@frozen
class FdProbe:
    """The service writes a newline to a descriptor it was started with (as s6 and dinit have it)."""

    fd: int | None = None
    """Number in the child; None takes the first free one after the activation sockets."""
    variable: str | None = None
    """Environment variable that tells the child the number."""


@frozen
class PidFileProbe:
    """A file holds the pid of a process of this service, which from then on is its leader."""

    path: str


@frozen
class SocketProbe:
    """A Unix socket at `path` listens and is held by a process of this service."""

    path: str


@frozen
class ListenProbe:
    """Processes of this service itself listen in all these places, and a file has its leader's pid."""

    on: tuple[str, ...] = ()
    """"tcp:PORT", "tcp:ADDRESS:PORT", the same with udp, an IPv6 address in brackets; or a Unix socket's path."""
    pid_file: str | None = None


@frozen
class TcpProbe:
    """A TCP connection is accepted."""

    port: int
    host: str = "127.0.0.1"


@frozen
class BannerProbe:
    """A connection is accepted and what it sends first matches `expect` (a regular expression).

    Either `port` (with `host`) or `path` of a Unix socket. `send` is written before reading.
    """

    expect: str
    port: int | None = None
    host: str = "127.0.0.1"
    path: str | None = None
    send: str | None = None


@frozen
class HttpProbe:
    """A GET of `url` (http only) answers with one of `statuses`."""

    url: str
    statuses: tuple[int, ...] = (200, 201, 202, 203, 204)


@frozen
class ExecProbe:
    """A command exits 0. It runs as the service's user, in its cgroup, with its environment."""

    command: tuple[str, ...]


@frozen
class LogLineProbe:
    """A line of the service's output, written since this start, matches `pattern`."""

    pattern: str


@frozen
class ExitProbe:
    """The process ends with a success code: the readiness of one-shots."""

    status: bool = False
    """Whether it has a NOTIFY_SOCKET, on which it may say how far it is (STATUS=)."""


@frozen
class MountProbe:
    """Something of type `file_system` (any, if None) is mounted at `path`."""

    path: str
    file_system: str | None = None


@frozen
class PathProbe:
    """`path` exists."""

    path: str


@frozen
class HostProbe:
    """A fact of the host holds."""

    check: HostCheck
    assume: bool = False
    """Take it for granted (`[host] networking = "assume"`)."""


@frozen
class AgentProbe:
    """The guest agent of a libvirt domain answers."""


@frozen
class MachineProbe:
    """A machine has climbed all of these rungs that count."""

    rungs: tuple[RungSpec, ...]
    """In the order in which they are climbed."""


Probe = (
    NotifyProbe
    | FdProbe
    | PidFileProbe
    | SocketProbe
    | ListenProbe
    | TcpProbe
    | BannerProbe
    | HttpProbe
    | ExecProbe
    | LogLineProbe
    | ExitProbe
    | MountProbe
    | PathProbe
    | HostProbe
    | AgentProbe
    | MachineProbe
)


@frozen
class Readiness:
    """When a start counts as done. `probe` None: as soon as the process exists."""

    probe: Probe | None = None
    timeout_seconds: float = 60.0
    """From the spawn; 0 waits for ever."""


@frozen
class Health:
    """A probe repeated while the service runs."""

    probe: Probe
    interval_seconds: float = 30.0
    timeout_seconds: float = 10.0
    failures: int = 3
    """So many in a row count as one crash."""
    on_failure: Literal["restart", "degrade"] = "restart"


@frozen
class Respawn:
    """How a service that ended by itself is started again.

    The n-th respawn in a row waits `delay * factor**(n-1)`, at most `max_delay`. More than `limit`
    of them within `window`, or for starts in a row that never became ready, fail the service until
    an operator starts it; 0 is no limit. A run as long as the window empties the record.
    """

    delay_seconds: float = 0.1
    factor: float = 2.0
    max_delay_seconds: float = 30.0
    limit: int = 5
    window_seconds: float = 30.0
    only_failures: bool = False
    """One that ended with a success code is finished, until it is started by a command."""


@frozen
class Stop:
    """How a service is ended: `signal`, then KILL after `delay_seconds`."""

    signal: str = "SIGTERM"
    delay_seconds: float = 5.0
    mode: StopMode = StopMode.CGROUP
    how: GuestStop | None = None
    """Of a libvirt domain, in place of signal and mode; it is destroyed after the delay."""
    steps: tuple[StopStep, ...] = ()
    """Of a machine: what is tried before KILL, which comes after `delay_seconds`, the sum of them."""


@frozen
class Reload:
    """How a running service takes over a changed configuration: a signal, or a command that exits 0."""

    signal: str | None = None
    command: tuple[str, ...] = ()
    timeout_seconds: float = 30.0
    files: tuple[str, ...] = ()
    """Digests of what it then reads again of the files that are written for it."""


@frozen
class Prepare:
    """A command that is run before each process of a service is made, and has to end well."""

    command: tuple[str, ...]
    timeout_seconds: float = 30.0


@frozen
class CleanUp:
    """A command that takes away what a service leaves behind, run once it is down and stays so.

    It may be run twice: a successor of a virtsupd that died meanwhile runs it again.
    """

    command: tuple[str, ...]
    timeout_seconds: float = 30.0


@frozen
class Limit:
    """One resource limit, in setrlimit(2)'s units; None is infinity."""

    name: str
    """Lower case without RLIMIT_: "nofile", "memlock", "core" …"""
    soft: int | None
    hard: int | None


@frozen
class SocketSpec:
    """A listening socket that virtsupd holds and passes to the service (sd_listen_fds(3))."""

    name: str
    """What LISTEN_FDNAMES says."""
    listen: str
    """`/path` or `@abstract` (Unix), `host:port`, `[v6]:port` or `port` (TCP on all addresses)."""
    type: Literal["stream", "datagram", "seqpacket"] = "stream"
    mode: int = 0o600
    owner: str | None = None
    group: str | None = None
    backlog: int = 128


@frozen
class LogSpec:
    """Where output goes and how it is rotated."""

    file: str
    """Absolute path; "" for no capture (output goes to /dev/null)."""
    max_size_bytes: int = 10 * 1024 * 1024
    """Rotate at the first line end after it; 0 never."""
    max_age_seconds: float = 0.0
    """Rotate a file this old; 0 never."""
    keep: int = 5
    """Rotated files kept."""
    compress: Literal["zstd", "none"] = "zstd"
    on_full: Literal["drop", "block"] = "drop"
    """When it cannot be written: drop with a counted gap, or let the writer wait."""
    mode: int = 0o640


@frozen
class ProcessSpec:
    """All that makes the process. Equal specs make equal processes."""

    command: tuple[str, ...]
    """Program and arguments. A program without a slash is sought in the service's PATH."""
    log: LogSpec
    user: str | None = None
    """Name or number; None is the daemon's own."""
    group: str | None = None
    """None: the user's primary group."""
    supplementary_groups: tuple[str, ...] | None = None
    """None: the user's groups of the group database; () none at all."""
    directory: str = "/"
    umask: int = 0o022
    environment: tuple[tuple[str, str], ...] = ()
    """Sorted; set over the small default environment (PATH, LANG, and HOME, USER, LOGNAME, SHELL of `user`)."""
    environment_files: tuple[str, ...] = ()
    """Files of NAME=value lines, read at each start; a leading "-" allows a file to be missing."""
    limits: tuple[Limit, ...] = ()
    capabilities: tuple[str, ...] | None = None
    """None: unchanged. Else the bounding set is reduced to these ("CAP_NET_ADMIN"), and a service with
    a user of its own keeps them as ambient capabilities."""
    no_new_privileges: bool = False
    oom_score_adjust: int | None = None
    """-1000 to 1000."""
    nice: int | None = None
    sockets: tuple[SocketSpec, ...] = ()
    secret_environment: frozenset[str] = field(default=frozenset())
    """Names of variables whose values never appear in status, `cat` or logs."""
    files: tuple[str, ...] = ()
    """Digests of what it reads once of the files that are written for it."""
    machine: MachineSpec | None = None
    """It is QEMU, and virtsupd attends to its guest."""


@frozen
class TimerSpec:
    """When the process of a service runs: the service is running while armed, the process is a job."""

    expressions: tuple[str, ...]
    """Each alone fires it. They have been found sound, and not to miss every day there is."""
    kind: Literal["calendar", "cron"] = "calendar"
    """Whose syntax they have: systemd.time(7)'s or crontab(5)'s."""
    timezone: str | None = None
    """For expressions that name none of their own. None: the host's, as it is at each firing."""
    jitter_seconds: float = 0.0
    """How far the firings of timers like this one are spread."""
    delay_seconds: float = 0.0
    """This timer's part of the jitter, the same at every firing; less than `jitter_seconds`."""
    catch_up_seconds: float = math.inf
    """A missed firing is made up for until so long after it was due; 0: never."""
    timeout_seconds: float = 0.0
    """A job that runs longer is stopped and has failed; 0 waits for ever."""


@frozen
class ActionSpec:
    """An extra command of a service, for `virtsupctl ACTION NAME` and herd."""

    name: str
    description: str
    command: tuple[str, ...] = ()
    """Run as the daemon's user with the arguments appended; () if a service kind implements it."""
    timeout_seconds: float = 60.0
    needs_admin: bool = False
    """It does more than a service's operator may."""
    is_interactive: bool = False
    """It is run by virtsupctl, on the terminal and with the rights of whoever asks, without a limit of time."""


@frozen
class ServiceSpec:
    """One service of the graph. Names in edges are provisions, not yet resolved."""

    name: Name
    """Canonical name: the first of `provides`."""
    provides: tuple[Name, ...]
    description: str = ""
    source: str = ""
    """File (and table) it was read from, for messages."""
    requires: tuple[Name, ...] = ()
    binds_to: tuple[Name, ...] = ()
    wants: tuple[Name, ...] = ()
    after: tuple[Name, ...] = ()
    before: tuple[Name, ...] = ()
    conflicts: tuple[Name, ...] = ()
    part_of: tuple[Name, ...] = ()
    """Who names one of these in a stop or restart means this service, too."""
    process: ProcessSpec | None = None
    """None without `domain` too: a target (no readiness probe) or a condition (with one)."""
    domain: DomainSpec | None = None
    """What runs in place of a process; a service has one of them at most."""
    ready: Readiness = Readiness()
    health: Health | None = None
    respawn: Respawn | None = Respawn()
    """None: not started again by itself."""
    stop: Stop = Stop()
    reload: Reload | None = None
    prepare: Prepare | None = None
    clean_up: CleanUp | None = None
    timer: TimerSpec | None = None
    """Not None: `process` is a job that runs when the timer fires, never twice at a time."""
    one_shot: bool = False
    transient: bool = False
    autostart: bool = True
    is_guest: bool = False
    """Stopping it ends a virtual machine: never as a side effect of another command."""
    hosts_guests: bool = False
    """Guests that are no services run through it, and a shutdown ends them through it."""
    guard: str = ""
    """The table whose kind is asked, before it ends, what guests that run on would lose; "": none is."""
    success_exit: frozenset[int] = frozenset({0})
    not_needed_exit: frozenset[int] = frozenset()
    actions: tuple[ActionSpec, ...] = ()

    @property
    def is_stage(self) -> bool:
        """Whether it has nothing of its own that runs: a target or a condition."""
        return self.process is None and self.domain is None

    @property
    def lasting(self) -> PathProbe | MountProbe | None:
        """What is asked of a condition for as long as it holds; None: it holds for good once it does."""
        probe = self.ready.probe
        return probe if self.is_stage and isinstance(probe, PathProbe | MountProbe) else None

    @property
    def is_to_end(self) -> bool:
        """Whether its process does its work and ends: how it did is written down, whoever reaps it."""
        return self.one_shot or self.timer is not None

    @property
    def forks(self) -> bool:
        """Whether the first process ends once the real one is up (pid-file readiness)."""
        return isinstance(self.ready.probe, PidFileProbe)

"""The tables of a host file and of unit files, as pydantic models.

A model says which keys there are and what each may be; what two keys have to do with each other is
checked in `build`. Defaults stand here only where `core.spec` has none to give.
"""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from virtsupd.config.probes import Health, Ready, Table
from virtsupd.config.settings import LogFormat, OnTerm, Role
from virtsupd.config.timer import Timer
from virtsupd.config.values import (
    AbsolutePath,
    Account,
    ActionName,
    Bytes,
    Capability,
    Command,
    Count,
    DomainName,
    EnvironmentFile,
    ExitCode,
    Flag,
    LibvirtUri,
    LimitName,
    LimitPair,
    ListenAddress,
    Mode,
    NotEmpty,
    Port,
    PositiveCount,
    PositiveSeconds,
    Seconds,
    ServiceNames,
    SignalName,
    SocketPath,
    Text,
    VariableName,
    one_or_many,
)

Id = Annotated[int, Field(strict=True, ge=0, lt=2**32 - 1)]
CgroupName = Annotated[str, Field(strict=True, pattern=r"^[A-Za-z0-9_-][A-Za-z0-9_.-]{0,99}$")]


def _false_is_none(value: object) -> object:
    return None if value is False else value


def _word_or_table(key: str, kind: type = str) -> BeforeValidator:
    """Return a validator that takes a bare value (`kind`, or a number) as the table with that one key."""

    def widen(value: object) -> object:
        return {key: value} if isinstance(value, kind | int) else value

    return BeforeValidator(widen)


def _true_is_empty(value: object) -> object:
    return {} if value is True else _false_is_none(value)


class HostTable(Table):
    """`[host]`."""

    run_dir: AbsolutePath = "/run/virtsupd"
    state_dir: AbsolutePath = "/var/lib/virtsupd"
    log_dir: AbsolutePath = "/var/log/virtsupd"
    socket: SocketPath | None = None
    herd_socket: Annotated[SocketPath | None, BeforeValidator(_false_is_none)] = None
    unit_dirs: tuple[AbsolutePath, ...] = ("/etc/virtsupd/units",)
    on_term: OnTerm = "auto"
    cgroup: CgroupName | None = None
    networking: Literal["wait", "assume"] = "wait"
    log_format: LogFormat = "auto"
    shutdown_timeout: PositiveSeconds = 840.0
    guest_end: Literal["shutdown", "save", "kill"] = "shutdown"
    guest_timeout: PositiveSeconds = 300.0
    guest_overdue: Literal["kill", "leave"] = "kill"
    guest_parallel: PositiveCount = 10


class RuleTable(Table):
    """`[[access.rule]]`: exactly one of user, group, uid and gid."""

    role: Role
    user: Account | None = None
    group: Account | None = None
    uid: Id | None = None
    gid: Id | None = None
    services: Annotated[ServiceNames, NotEmpty] | None = None


class AccessTable(Table):
    """`[access]`."""

    mode: Mode = 0o600
    owner: Account | None = None
    group: Account | None = None
    rule: tuple[RuleTable, ...] = ()


class RespawnTable(Table):
    """`respawn`."""

    delay: Seconds = 0.1
    factor: Annotated[float, Field(strict=True, ge=1, le=1000)] = 2.0
    max_delay: Seconds = 30.0
    limit: Count = 5
    window: PositiveSeconds = 30.0
    on: Literal["end", "failure"] | None = None
    """None: end; failure for a guest of libvirt's."""


class StopStepTable(Table):
    """One of `stop.steps`."""

    how: Literal["agent", "powerdown", "quit", "signal"]
    time: PositiveSeconds


class StopTable(Table):
    """`stop`."""

    signal: SignalName = "SIGTERM"
    delay: Seconds = 5.0
    mode: Literal["cgroup", "group", "process"] = "cgroup"
    how: Literal["shutdown", "agent", "acpi", "save", "destroy", "leave"] | None = None
    steps: Annotated[tuple[StopStepTable, ...], NotEmpty] | None = None
    """Of a machine; the delay is the sum of their times."""


Respawning = Annotated[RespawnTable | None, BeforeValidator(_true_is_empty)]
"""None for false; true is the table with nothing in it."""


class ReloadTable(Table):
    """`reload`: exactly one of signal and command."""

    signal: SignalName | None = None
    command: Command | None = None
    timeout: PositiveSeconds = 30.0


class CleanUpTable(Table):
    """`clean_up`."""

    command: Command
    timeout: PositiveSeconds = 30.0


class PrepareTable(Table):
    """`prepare`."""

    command: Command
    timeout: PositiveSeconds = 30.0


class LogTable(Table):
    """`log`."""

    file: AbsolutePath | None = None
    max_size: Bytes = 10 * 1024 * 1024
    max_age: Seconds = 0.0
    keep: Annotated[Count, Field(le=10_000)] = 5
    compress: Literal["zstd", "none"] = "zstd"
    on_full: Literal["drop", "block"] = "drop"
    mode: Mode = 0o640


class SocketTable(Table):
    """One of `sockets`."""

    listen: ListenAddress
    name: Annotated[str, Field(strict=True, pattern=r"^[!-9;-~]{1,255}$")] | None = None
    type: Literal["stream", "datagram", "seqpacket"] = "stream"
    mode: Mode = 0o600
    owner: Account | None = None
    group: Account | None = None
    backlog: Annotated[PositiveCount, Field(le=65535)] = 128


class ActionTable(Table):
    """One of `actions`."""

    command: Command
    description: Text = ""
    timeout: PositiveSeconds = 60.0
    admin: bool = False
    interactive: bool = False


class SecretsTable(Table):
    """`machine.secrets`."""

    port: Port
    root: AbsolutePath | None = None


class MachineTable(Table):
    """`machine`: the process is QEMU, with these sockets and forwarded ports."""

    directory: AbsolutePath
    qmp: SocketPath
    agent: SocketPath | None = None
    secrets: SecretsTable | None = None
    ssh_port: Port | None = None
    ports: tuple[Port, ...] = ()
    kvm: bool | Literal["auto"] = "auto"
    access_group: Account | None = None


class DomainTable(Table):
    """`domain`."""

    name: DomainName
    uri: LibvirtUri = "qemu:///system"


class ServiceTable(Table):
    """`[service.NAME]`, or a unit file."""

    description: Text = ""
    provides: Annotated[ServiceNames, NotEmpty] | None = None
    requires: ServiceNames = ()
    binds_to: ServiceNames = ()
    wants: ServiceNames = ()
    after: ServiceNames = ()
    before: ServiceNames = ()
    conflicts: ServiceNames = ()
    part_of: ServiceNames = ()
    command: Command | None = None
    domain: Annotated[DomainTable, _word_or_table("name")] | None = None
    machine: MachineTable | None = None
    user: Account | None = None
    group: Account | None = None
    supplementary_groups: tuple[Account, ...] | None = None
    directory: AbsolutePath = "/"
    umask: Mode = 0o022
    environment: dict[VariableName, Text] = Field(default_factory=dict)
    environment_file: Annotated[tuple[EnvironmentFile, ...], BeforeValidator(one_or_many)] = ()
    limits: dict[LimitName, LimitPair] = Field(default_factory=dict)
    capabilities: tuple[Capability, ...] | None = None
    no_new_privileges: Flag = False
    oom_score_adjust: Annotated[int, Field(strict=True, ge=-1000, le=1000)] | None = None
    nice: Annotated[int, Field(strict=True, ge=-20, le=19)] | None = None
    ready: Ready | None = None
    health: Health | None = None
    respawn: Respawning = None
    stop: StopTable | None = None
    log: Annotated[LogTable | None, BeforeValidator(_false_is_none)] = None
    one_shot: Flag = False
    transient: Flag = False
    autostart: Flag = True
    guest: Flag = False
    success_exit: Annotated[tuple[ExitCode, ...], NotEmpty] = (0,)
    not_needed_exit: tuple[ExitCode, ...] = ()
    sockets: tuple[Annotated[SocketTable, _word_or_table("listen")], ...] = ()
    reload: Annotated[ReloadTable, _word_or_table("signal")] | None = None
    prepare: Annotated[PrepareTable, _word_or_table("command", list)] | None = None
    clean_up: Annotated[CleanUpTable, _word_or_table("command", list)] | None = None
    timer: Timer | None = None
    actions: dict[ActionName, ActionTable] = Field(default_factory=dict)

    def says(self, key: str) -> bool:
        """Whether the file has the key, whatever its value."""
        return key in self.model_fields_set


class KindTable(Table):
    """What the tables of all built-in kinds have in common."""

    autostart: Flag = True

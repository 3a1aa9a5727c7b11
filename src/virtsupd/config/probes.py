"""The tables of `ready` and `health`: one model for each kind of probe, chosen by `kind`.

A probe's keys and those of the table around it (`timeout`, `interval` …) stand side by side in the
file. They are told apart before validation: `probe` in the models below never appears in a file.
"""

from collections.abc import Callable
from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from virtsupd.config.values import (
    AbsolutePath,
    Command,
    Count,
    FilledText,
    Flag,
    Host,
    HttpUrl,
    NotEmpty,
    OwnListener,
    Pattern,
    Port,
    PositiveCount,
    PositiveSeconds,
    Seconds,
    SocketPath,
    Text,
    VariableName,
    one_or_many,
)
from virtsupd.core import spec
from virtsupd.core.machine import Rung, RungSpec


class Table(BaseModel):
    """A table whose keys are all known."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class ProbeTable(Table):
    """What one kind of probe needs to know."""

    for_stage: ClassVar[bool] = False
    """Whether a target or condition, which has no process, may wait for it."""
    for_health: ClassVar[bool] = True
    """Whether it can be asked again and again."""
    for_domain: ClassVar[bool] = False
    """Whether it can be asked of a guest that libvirt runs."""
    for_process: ClassVar[bool] = True
    """Whether it can be asked of anything else."""

    def probe(self) -> spec.Probe | None:
        """Return the probe; None if there is nothing to wait for."""
        raise NotImplementedError


class NoneTable(ProbeTable):
    """`none`: ready as soon as the process exists."""

    kind: Literal["none"]
    for_stage = True
    for_health = False
    for_domain = True

    def probe(self) -> None:
        """Return None."""
        return


class NotifyTable(ProbeTable):
    """`notify`: READY=1 by sd_notify; as health, WATCHDOG=1 within each interval."""

    kind: Literal["notify"]

    def probe(self) -> spec.Probe:
        """Return the probe."""
        return spec.NotifyProbe()


class FdTable(ProbeTable):
    """`fd`: a newline on a descriptor."""

    kind: Literal["fd"]
    for_health = False
    fd: Annotated[Count, Field(ge=3, le=255)] | None = None
    variable: VariableName | None = None

    def probe(self) -> spec.Probe:
        """Return the probe."""
        return spec.FdProbe(fd=self.fd, variable=self.variable)


class PidFileTable(ProbeTable):
    """`pid-file`: a file with the pid of a process of this service."""

    kind: Literal["pid-file"]
    path: AbsolutePath

    def probe(self) -> spec.Probe:
        """Return the probe."""
        return spec.PidFileProbe(path=self.path)


class SocketTable(ProbeTable):
    """`socket`: a Unix socket held by this service listens."""

    kind: Literal["socket"]
    path: SocketPath

    def probe(self) -> spec.Probe:
        """Return the probe."""
        return spec.SocketProbe(path=self.path)


class ListenTable(ProbeTable):
    """`listen`: the service's own processes listen, and a file has its pid; at least one of the keys."""

    kind: Literal["listen"]
    on: Annotated[tuple[OwnListener, ...], BeforeValidator(one_or_many)] = ()
    pid_file: AbsolutePath | None = None

    def probe(self) -> spec.Probe:
        """Return the probe."""
        return spec.ListenProbe(on=self.on, pid_file=self.pid_file)


class TcpTable(ProbeTable):
    """`tcp`: a connection is accepted."""

    kind: Literal["tcp"]
    for_stage = True
    for_domain = True
    port: Port
    host: Host = "127.0.0.1"

    def probe(self) -> spec.Probe:
        """Return the probe."""
        return spec.TcpProbe(port=self.port, host=self.host)


class BannerTable(ProbeTable):
    """`banner`: a connection says what is expected. Exactly one of `port` and `path` is given."""

    kind: Literal["banner"]
    for_stage = True
    for_domain = True
    expect: Pattern
    port: Port | None = None
    host: Host = "127.0.0.1"
    path: SocketPath | None = None
    send: Text | None = None

    def probe(self) -> spec.Probe:
        """Return the probe."""
        return spec.BannerProbe(
            expect=self.expect, port=self.port, host=self.host, path=self.path, send=self.send
        )


class HttpTable(ProbeTable):
    """`http`: a GET answers with one of the statuses."""

    kind: Literal["http"]
    for_stage = True
    for_domain = True
    url: HttpUrl
    statuses: Annotated[
        tuple[Annotated[int, Field(strict=True, ge=100, le=599)], ...], NotEmpty
    ] = (200, 201, 202, 203, 204)

    def probe(self) -> spec.Probe:
        """Return the probe."""
        return spec.HttpProbe(url=self.url, statuses=self.statuses)


class ExecTable(ProbeTable):
    """`exec`: a command exits 0."""

    kind: Literal["exec"]
    command: Command

    def probe(self) -> spec.Probe:
        """Return the probe."""
        return spec.ExecProbe(command=self.command)


class LogLineTable(ProbeTable):
    """`log-line`: a line of the output matches."""

    kind: Literal["log-line"]
    for_health = False
    pattern: Pattern

    def probe(self) -> spec.Probe:
        """Return the probe."""
        return spec.LogLineProbe(pattern=self.pattern)


class ExitTable(ProbeTable):
    """`exit`: the process ends with a success code; the readiness of one-shots."""

    kind: Literal["exit"]
    for_health = False
    status: Flag = False
    """Whether it says on a NOTIFY_SOCKET how far it is (STATUS=)."""

    def probe(self) -> spec.Probe:
        """Return the probe."""
        return spec.ExitProbe(self.status)


class MountTable(ProbeTable):
    """`mount`: something is mounted at a path."""

    kind: Literal["mount"]
    for_stage = True
    path: AbsolutePath
    file_system: FilledText | None = None

    def probe(self) -> spec.Probe:
        """Return the probe."""
        return spec.MountProbe(path=self.path, file_system=self.file_system)


class PathTable(ProbeTable):
    """`path`: a path exists."""

    kind: Literal["path"]
    for_stage = True
    path: AbsolutePath

    def probe(self) -> spec.Probe:
        """Return the probe."""
        return spec.PathProbe(path=self.path)


class HostTable(ProbeTable):
    """`host`: a fact of the host holds."""

    kind: Literal["host"]
    for_stage = True
    check: Literal["loopback", "networking", "udev"]

    def probe(self) -> spec.Probe:
        """Return the probe; `[host] networking` is not looked at here."""
        return spec.HostProbe(check=spec.HostCheck(self.check))


class AgentTable(ProbeTable):
    """`agent`: the guest agent of a libvirt domain answers."""

    kind: Literal["agent"]
    for_domain = True
    for_process = False

    def probe(self) -> spec.Probe:
        """Return the probe."""
        return spec.AgentProbe()


class RungTable(Table):
    """One rung that a machine climbs."""

    rung: Literal["monitor", "secrets", "agent", "ssh"]
    timeout: Seconds = 120.0
    """From the rung before it; 0 waits for ever."""
    counts: Flag = True
    """Whether the machine is running only from there on."""


class MachineTable(ProbeTable):
    """`machine`: QEMU's guest has come so far; goes with the key machine."""

    kind: Literal["machine"]
    for_health = False
    rungs: Annotated[tuple[RungTable, ...], NotEmpty]

    def probe(self) -> spec.Probe:
        """Return the probe."""
        return spec.MachineProbe(
            tuple(RungSpec(Rung(item.rung), item.timeout, item.counts) for item in self.rungs)
        )


AnyProbe = Annotated[
    NoneTable
    | NotifyTable
    | FdTable
    | PidFileTable
    | SocketTable
    | ListenTable
    | TcpTable
    | BannerTable
    | HttpTable
    | ExecTable
    | LogLineTable
    | ExitTable
    | MountTable
    | PathTable
    | HostTable
    | AgentTable
    | MachineTable,
    Field(discriminator="kind"),
]


DomainProbe = Annotated[
    NoneTable | AgentTable | TcpTable | BannerTable | HttpTable, Field(discriminator="kind")
]
"""What can be asked of a guest that libvirt runs: the kinds with `for_domain`."""


class ReadyTable(Table):
    """When a start counts as done."""

    probe: AnyProbe
    timeout: Seconds | None = None
    """None: 60 s, 5 min for a guest of libvirt's, and no limit for `exit`."""


class HealthTable(Table):
    """A probe repeated while the service runs."""

    probe: AnyProbe
    interval: PositiveSeconds = 30.0
    timeout: PositiveSeconds = 10.0
    failures: PositiveCount = 3
    on_failure: Literal["restart", "degrade"] | None = None
    """None: restart; degrade for a guest of libvirt's."""


def _split(model: type[Table]) -> Callable[[object], object]:
    """Return a validator that moves the keys `model` does not know below `probe`."""

    def split(value: object) -> object:
        if isinstance(value, str):
            return {"probe": {"kind": value}}
        if not isinstance(value, dict):
            return value
        own = model.model_fields.keys() - {"probe"}
        around = {key: item for key, item in value.items() if key in own}
        return around | {"probe": {key: item for key, item in value.items() if key not in own}}

    return split


class DomainReadyTable(ReadyTable):
    """When the start of a guest that libvirt runs counts as done."""

    probe: DomainProbe


class DomainHealthTable(HealthTable):
    """A probe repeated while such a guest runs."""

    probe: DomainProbe


Ready = Annotated[ReadyTable, BeforeValidator(_split(ReadyTable))]
Health = Annotated[HealthTable, BeforeValidator(_split(HealthTable))]
DomainReady = Annotated[DomainReadyTable, BeforeValidator(_split(DomainReadyTable))]
DomainHealth = Annotated[DomainHealthTable, BeforeValidator(_split(DomainHealthTable))]

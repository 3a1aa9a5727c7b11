"""`[[build_vm]]`: machines of an older date that the host's Guix builds in (virtual-build-machine)."""

import datetime as dt
from collections.abc import Iterator, Sequence
from typing import Annotated, Final, Literal

from pydantic import Field

from virtsupd.config.kinds import Built, Element, KindContext, KindParts, Made
from virtsupd.config.model import KindTable
from virtsupd.config.problems import Fault
from virtsupd.config.values import (
    AbsolutePath,
    FilledText,
    Flag,
    Port,
    PositiveCount,
    Seconds,
    ServiceName,
)
from virtsupd.core.machine import Rung
from virtsupd.core.names import Name
from virtsupd.services.machine_parts import (
    Parts,
    Places,
    escaped,
    rung_conditions,
    shared_actions,
    socket_arguments,
)
from virtsupd.services.package import program

UNIT: Final = "build-vm"
_SSH, _SECRETS = 22, 1004
"""Ports in the guest."""
_CPUS: Final = (
    (2006, "core2duo"),
    (2008, "Nehalem"),
    (2010, "Westmere"),
    (2011, "SandyBridge"),
    (2012, "IvyBridge"),
    (2013, "Haswell"),
    (2014, "Broadwell"),
    (2015, "Skylake-Client"),
)
"""The newest model of Intel's there was, by year (Guix's virtual-build-machine)."""
_FIRST: Final = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
_ACCOUNT_LETTERS: Final = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-_")

PortNumber = Annotated[str, Field(strict=True, pattern=r"^[1-9][0-9]{0,4}$")]
"""A key of a TOML table, which is always a string."""


class BuildTable(KindTable):
    """The fields of virtual-build-machine, and some of ours."""

    name: ServiceName = Name("build-vm")
    """Of the service; build-vm-NAME, or NAME if it begins so, is the account that QEMU runs as."""
    image: AbsolutePath
    """The disk."""
    qemu: AbsolutePath | None = None
    """Prefix of the QEMU that runs it; default: PATH."""
    cpu: FilledText | None = None
    """QEMU's model of its processors; default: the newest that there was at its date."""
    cpu_count: PositiveCount = 4
    """Processors."""
    memory_size: PositiveCount = 2048
    """MiB."""
    date: dt.datetime | dt.date = _FIRST
    """What its clock shows at each start."""
    port_forwardings: dict[PortNumber, Port] = Field(
        default_factory=lambda: {"11022": _SSH, "11044": _SECRETS}
    )
    """Ports of this host's 127.0.0.1, each with the guest's port behind it."""
    autostart: Flag = False
    kvm: bool | Literal["auto"] = "auto"
    """Whether QEMU uses KVM; "auto": if its account can open /dev/kvm."""
    agent: Flag = True
    """Whether it has a channel for a guest agent."""
    ready_at: Literal["monitor", "secrets", "agent", "ssh"] = "ssh"
    """How far it has to come to count as running."""
    boot_timeout: Seconds = 300.0
    """How long each of its rungs may take, but for the monitor's; then it is started again."""

    @property
    def secret_root(self) -> str:
        """Return the directory whose files the guest gets."""
        return f"/etc/guix/virtual-build-machines/{self.name}"

    @property
    def account(self) -> str:
        """Return the account that QEMU runs as."""
        return self.name if self.name.startswith(UNIT) else f"{UNIT}-{self.name}"

    @property
    def model(self) -> str:
        """Return the model of its processors."""
        known = [name for year, name in _CPUS if year <= self.date.year]
        return self.cpu or (known[-1] if known else _CPUS[0][1])

    @property
    def clock(self) -> str:
        """Return its date as QEMU takes it, in UTC."""
        at = self.date
        if isinstance(at, dt.datetime):
            at = at.astimezone(dt.UTC) if at.tzinfo is not None else at
            return at.strftime("%Y-%m-%dT%H:%M:%S")
        return f"{at.isoformat()}T00:00:00"

    def forwarded_to(self, guest_port: int) -> int | None:
        """Return the host's port behind which one of the guest's is."""
        ports = (int(host) for host, guest in self.port_forwardings.items() if guest == guest_port)
        return next(ports, None)


def build(elements: Sequence[Element], context: KindContext) -> Built:
    """Return the services of each machine."""
    tables: list[BuildTable] = [element.table for element in elements]
    services = [
        Made(index, table.name, _keys(table, context)) for index, table in enumerate(tables)
    ]
    rungs = [
        Made(index, *condition)
        for index, table in enumerate(tables)
        for condition in rung_conditions([table.name], _parts(table, context))
    ]
    return Built({}, tuple(services), offered=tuple(rungs), problems=tuple(_problems(tables)))


def _keys(table: BuildTable, context: KindContext) -> dict[str, object]:
    unit, parts = context.units[UNIT], _parts(table, context)
    return {
        **unit,
        "user": table.account,
        "command": _command(table, parts.places),
        "autostart": table.autostart,
        "actions": shared_actions(parts.places),
        **parts.keys(unit),
    }


def _parts(table: BuildTable, context: KindContext) -> Parts:
    return Parts(
        places=Places.of(table.name, context),
        secrets_port=table.forwarded_to(_SECRETS),
        secret_root=table.secret_root,
        ssh_port=table.forwarded_to(_SSH),
        has_agent=table.agent,
        kvm=table.kvm,
        ready_at=Rung(table.ready_at),
        boot_seconds=table.boot_timeout,
        ports=tuple(int(port) for port in table.port_forwardings),
    )


def _command(table: BuildTable, places: Places) -> list[str]:
    forwards = "".join(
        f",hostfwd=tcp:127.0.0.1:{host}-:{guest}" for host, guest in table.port_forwardings.items()
    )
    return [
        program("qemu-system-x86_64", table.qemu),
        *("-m", str(table.memory_size)),
        *("-smp", str(table.cpu_count)),
        *("-cpu", table.model),
        *("-rtc", f"base={table.clock}"),
        *("--device", "virtio-net-pci,netdev=net0"),
        *("--netdev", f"user,id=net0{forwards}"),
        *("--drive", f"file={escaped(table.image)},if=virtio"),
        "--snapshot",
        "--no-reboot",
        *socket_arguments(places, None, has_agent=table.agent),
    ]


def _problems(tables: Sequence[BuildTable]) -> Iterator[Fault]:
    for index, table in enumerate(tables):
        for port in table.port_forwardings:
            if int(port) > 65535:
                text = f"found {port}, must be a port, 1 to 65535"
                yield (index, "port_forwardings", port), text
        if not _ACCOUNT_LETTERS.issuperset(table.account):
            text = f"found {table.name!r}, must be lower case letters, digits, - and _: it names an account too"
            yield (index, "name"), text
        if Rung(table.ready_at) is Rung.AGENT and not table.agent:
            yield (index, "ready_at"), "found 'agent', and agent = false"


BUILD_VM = KindParts(BuildTable, build, identity=("name",))

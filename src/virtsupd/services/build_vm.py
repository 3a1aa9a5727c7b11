"""`[[build_vm]]`: machines of an older date that the host's Guix builds in (virtual-build-machine)."""

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Final, Literal

from pydantic import Field

from virtsupd.config.kinds import Built, Element, KindContext, KindParts, UnitKeys
from virtsupd.config.problems import Fault
from virtsupd.config.values import (
    AbsolutePath,
    Account,
    Bytes,
    FilledText,
    Flag,
    Port,
    PositiveCount,
    ServiceName,
)
from virtsupd.core.names import Name
from virtsupd.services.machine_around import GUIX
from virtsupd.services.machine_parts import escaped
from virtsupd.services.machine_table import MachineTable
from virtsupd.services.machine_whole import Machine, Machined, Own, built, names_around
from virtsupd.services.package import module, program

UNIT: Final = "build-vm"
TABLE: Final = "build_vm"
_SECRET_ROOTS: Final = f"{GUIX}/virtual-build-machines"
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

_DISK_BYTES: Final = 20 << 30

PortNumber = Annotated[str, Field(strict=True, pattern=r"^[1-9][0-9]{0,4}$")]
"""A key of a TOML table, which is always a string."""


class BuildTable(MachineTable):
    """The fields of virtual-build-machine, and some of ours."""

    autostart: Flag = False
    name: ServiceName = Name("build-vm")
    """Of the service."""
    disk_size: Literal["guess"] | Bytes = _DISK_BYTES
    """Of an image that is built: 20 GiB unless another is said."""
    memory_size: PositiveCount = 2048
    """MiB."""
    cpu: FilledText | None = None
    """QEMU's model of its processors; default: the newest that there was at its date."""
    cpu_count: PositiveCount = 4
    """Processors."""
    date: dt.datetime | dt.date = _FIRST
    """What its clock shows at each start."""
    port_forwardings: dict[PortNumber, Port] = Field(
        default_factory=lambda: {"11022": _SSH, "11044": _SECRETS}
    )
    """Ports of this host's 127.0.0.1, each with the guest's port behind it."""
    systems: tuple[FilledText, ...] = ("x86_64-linux",)
    """What the host's Guix builds in it."""
    secret_root: AbsolutePath | Literal[False] | None = None
    """A directory whose files the guest gets at each boot; default: /etc/guix/virtual-build-machines/NAME,
    and false sends it none. What is missing there of SSH host keys, and of Guix's signing key and list of
    accepted keys, is made before it starts."""
    user: Account | None = None
    """The account that QEMU runs as; default: build-vm-NAME, or NAME if it begins with build-vm."""

    @property
    def secrets(self) -> str | None:
        """Return the directory whose files the guest gets."""
        if self.secret_root is False:
            return None
        return self.secret_root or f"{_SECRET_ROOTS}/{self.name}"

    @property
    def account(self) -> str:
        """Return the account that QEMU runs as."""
        made = self.name if self.name.startswith(UNIT) else f"{UNIT}-{self.name}"
        return self.user or made

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
    """Return the services of each machine, and the files that those around it read."""
    tables: list[BuildTable] = [element.table for element in elements]
    made = [_made(Machine(table, _own(table), context), table) for table in tables]
    return built(made, tuple(_problems(tables)))


def _own(table: BuildTable) -> Own:
    return Own(
        kind=TABLE,
        unit=UNIT,
        names=(table.name,),
        user=table.account,
        secret_root=table.secrets,
        image_type="qcow2",
        ports=tuple(int(port) for port in table.port_forwardings),
        secrets_port=table.forwarded_to(_SECRETS),
        ssh_port=table.forwarded_to(_SSH),
        display=None,
        offload_key=f"virtual-build-machine/{table.name}",
        systems=table.systems,
        threshold=None,
    )


def _made(machine: Machine, table: BuildTable) -> Machined:
    forwards = "".join(
        f",hostfwd=tcp:127.0.0.1:{host}-:{guest}" for host, guest in table.port_forwardings.items()
    )
    command = (
        program("qemu-system-x86_64", table.qemu),
        *("-m", str(table.memory_size)),
        *("-smp", str(table.cpu_count)),
        *("-cpu", table.model),
        *("-rtc", f"base={table.clock}"),
        *("--device", "virtio-net-pci,netdev=net0"),
        *("--netdev", f"user,id=net0{forwards}"),
        *table.more_options,
        *("--drive", f"file={escaped(machine.image.path)},if=virtio"),
        "--no-reboot",
        *machine.last_arguments,
    )
    return Machined(machine, command, {"configuration": _configuration(table)})


def _configuration(table: BuildTable) -> Mapping[str, object]:
    """Return the action that tells what the machine is like."""
    facts = (table.name, table.model, str(table.cpu_count), str(table.memory_size), table.clock)
    return {
        "command": module("services.build_vm_configuration", *facts),
        "description": "tell its processors, memory and date; --json",
    }


def _problems(tables: Sequence[BuildTable]) -> Iterator[Fault]:
    for index, table in enumerate(tables):
        for port in table.port_forwardings:
            if int(port) > 65535:
                text = f"found {port}, must be a port, 1 to 65535"
                yield (index, "port_forwardings", port), text
        if not _ACCOUNT_LETTERS.issuperset(table.name):
            text = f"found {table.name!r}, must be lower case letters, digits, - and _: it names an account too"
            yield (index, "name"), text
        if not table.systems:
            yield (index, "systems"), "is empty; say one, or offloading = false"


def _said_names(keys: UnitKeys) -> Iterator[str]:
    """Yield the names of a machine whose table may be wrong."""
    yield from names_around([str(keys.get("name", UNIT))])


BUILD_VM = KindParts(BuildTable, build, identity=("name",), names=_said_names)

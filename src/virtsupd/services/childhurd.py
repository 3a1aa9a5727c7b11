"""`[hurd_vm]`: childhurds, GNU/Hurd machines that QEMU runs, each with the services around it."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Final, Literal

from pydantic import BeforeValidator, Field

from virtsupd.config.kinds import Built, Element, KindContext, KindParts, Made
from virtsupd.config.model import KindTable
from virtsupd.config.problems import Fault
from virtsupd.config.values import (
    AbsolutePath,
    Account,
    Bytes,
    FilledText,
    Flag,
    PositiveCount,
    Seconds,
    Text,
)
from virtsupd.core.frozen import frozen
from virtsupd.core.machine import Rung
from virtsupd.machine.image_settings import Settings
from virtsupd.services.machine_images import ImageParts, image_faults
from virtsupd.services.machine_parts import (
    Parts,
    Places,
    rung_conditions,
    shared_actions,
    socket_arguments,
)
from virtsupd.services.package import program

UNIT: Final = "hurd-vm"
_NAMES: Final = (UNIT, "childhurd")
_SECRETS_PORT, _SSH_PORT, _VNC_PORT = 11004, 10022, 15900
_NET_OPTIONS: Final = (
    "--device",
    "rtl8139,netdev=net0",
    "--netdev",
    (
        "user,id=net0,"
        "hostfwd=tcp:127.0.0.1:{secrets_port}-:1004,"
        "hostfwd=tcp:127.0.0.1:{ssh_port}-:{guest_ssh_port},"
        "hostfwd=tcp:127.0.0.1:{vnc_port}-:5900"
    ),
)
_SNAPSHOT: Final = ("--snapshot", "-snapshot")
_PLACEHOLDER: Final = re.compile(r"\{([a-z_]*)\}")
_FORWARDED: Final = re.compile(r"hostfwd=tcp:[^,]*?:([0-9]+)-")
_DISPLAY_PORT: Final = 5900
_FALSE_IS_NONE: Final = BeforeValidator(lambda value: None if value is False else value)


class HurdTable(KindTable):
    """The fields of hurd-vm-configuration, and some of ours."""

    id: Annotated[int, Field(strict=True, ge=1, le=49)] | None = None
    """Number of the machine, 1 to 49: it follows its names, and 1000 times it is added to its ports."""
    image: FilledText | None = None
    """The disk: a file, or a URL (https, http, file) that is fetched once."""
    checksum: Annotated[str, Field(strict=True, pattern=r"^sha(256|512):[0-9a-fA-F]+$")] | None = (
        None
    )
    """Of what is fetched: "sha256:..." or "sha512:..."."""
    os: AbsolutePath | None = None
    """Without an image: a Scheme file with an operating-system, of which guix builds one."""
    type: Literal["hurd-qcow2", "hurd64-qcow2"] = "hurd-qcow2"
    """The kind of image: of a 32-bit or of a 64-bit Hurd."""
    disk_size: Literal["guess"] | Bytes = "guess"
    """Of an image that is built."""
    qemu: AbsolutePath | None = None
    """Prefix of the QEMU that runs it; default: PATH."""
    memory_size: PositiveCount = 512
    """MiB."""
    options: tuple[Text, ...] | None = None
    """More arguments of QEMU. Default: "--snapshot", by which nothing that the guest writes is kept;
    none if it is stateful."""
    stateful: Flag = False
    """Whether what the guest writes is kept: in the image itself, which QEMU's account has to own; of
    one that was fetched or built, in a file laid on it."""
    net_options: tuple[Text, ...] | None = None
    """In place of QEMU's arguments for the network; {secrets_port}, {ssh_port}, {guest_ssh_port},
    {vnc_port} and {id} stand for what they are."""
    guest_ssh_port: Annotated[int, Field(strict=True, ge=1, le=65535)] = 2222
    """On which the guest's SSH server listens: 2222, and 22 in images of newer Guix."""
    secret_root: Annotated[AbsolutePath | None, _FALSE_IS_NONE] = "/etc/childhurd"  # noqa: S105 - a path
    """A directory whose files the guest gets at each boot; false sends it none."""
    user: Account = "childhurd"
    """The account that QEMU runs as."""
    group: Account = "kvm"
    """Its group, whose members may speak with the machine's sockets."""
    kvm: bool | Literal["auto"] = "auto"
    """Whether QEMU uses KVM; "auto": if its account can open /dev/kvm."""
    agent: Flag = True
    """Whether it has a channel for a guest agent; that nobody answers on it does no harm."""
    vnc: Flag = True
    """Whether its display is at 127.0.0.1, port 5900 and its id; else there is none."""
    ready_at: Literal["monitor", "secrets", "agent", "ssh"] = "ssh"
    """How far it has to come to count as running."""
    boot_timeout: Seconds = 300.0
    """How long each of its rungs may take, but for the monitor's; then it is started again."""


@frozen
class _Machine:
    """One machine: its table, and what follows from its number."""

    table: HurdTable
    context: KindContext

    @property
    def number(self) -> int:
        return self.table.id or 0

    @property
    def names(self) -> list[str]:
        suffix = str(self.table.id) if self.table.id is not None else ""
        return [f"{name}{suffix}" for name in _NAMES]

    @property
    def name(self) -> str:
        return self.names[0]

    @property
    def places(self) -> Places:
        return Places.of(self.name, self.context)

    @property
    def image(self) -> ImageParts:
        """Return its image, and the services and actions around that."""
        table, host = self.table, self.context.host
        settings = Settings(
            machine=self.name,
            directory=f"{host.state_dir}/images",
            image=table.image,
            checksum=table.checksum,
            os=table.os,
            image_type=table.type,
            size_bytes=None if table.disk_size == "guess" else table.disk_size,
            is_stateful=table.stateful,
            user=table.user,
            group=table.group,
            qemu_img=program("qemu-img", table.qemu),
        )
        return ImageParts(settings, host.generated_dir / "hurd_vm" / f"{self.name}-image.conf")

    @property
    def values(self) -> dict[str, int]:
        """Return what the placeholders of net_options stand for."""
        step = 1000 * self.number
        return {
            "secrets_port": _SECRETS_PORT + step,
            "ssh_port": _SSH_PORT + step,
            "guest_ssh_port": self.table.guest_ssh_port,
            "vnc_port": _VNC_PORT + step,
            "id": self.number,
        }

    @property
    def display(self) -> int | None:
        return self.number if self.table.vnc else None

    @property
    def network(self) -> list[str]:
        """Return QEMU's arguments for the network."""
        values = {key: str(value) for key, value in self.values.items()}
        return [
            _PLACEHOLDER.sub(lambda found: values.get(found[1], found[0]), option)
            for option in self.table.net_options or _NET_OPTIONS
        ]

    @property
    def ports(self) -> tuple[int, ...]:
        """Return the ports of this host that it takes: those forwarded, and that of its display."""
        forwarded = (_FORWARDED.findall(option) for option in self.network)
        ports = [int(port) for found in forwarded for port in found]
        return (*ports, *([_DISPLAY_PORT + self.number] if self.table.vnc else []))

    @property
    def options(self) -> tuple[str, ...]:
        default = () if self.table.stateful else _SNAPSHOT[:1]
        return default if self.table.options is None else self.table.options

    @property
    def parts(self) -> Parts:
        """Return what virtsupd does with it: with a port that is not forwarded, nothing."""
        table, values = self.table, self.values
        secrets_port, ssh_port = values["secrets_port"], values["ssh_port"]
        return Parts(
            places=self.places,
            secrets_port=secrets_port if secrets_port in self.ports else None,
            secret_root=table.secret_root,
            ssh_port=ssh_port if ssh_port in self.ports else None,
            has_agent=table.agent,
            kvm=table.kvm,
            ready_at=Rung(table.ready_at),
            boot_seconds=table.boot_timeout,
            ports=self.ports,
        )


def build(elements: Sequence[Element], context: KindContext) -> Built:
    """Return the services of each machine, and the files that those around it read."""
    machines = [_Machine(element.table, context) for element in elements]
    problems = tuple(_problems(machines))
    if problems:
        return Built({}, problems=problems)
    services = [
        Made(index, name, keys)
        for index, machine in enumerate(machines)
        for name, keys in _services(machine)
    ]
    rungs = [
        Made(index, *condition)
        for index, machine in enumerate(machines)
        for condition in rung_conditions(machine.names, machine.parts)
    ]
    files = tuple(machine.image.generated for machine in machines)
    return Built({}, tuple(services), offered=tuple(rungs), files=files)


def _services(machine: _Machine) -> Iterator[tuple[str, Mapping[str, object]]]:
    yield machine.name, _keys(machine)
    yield machine.image.service, machine.image.keys(machine.names)


def _keys(machine: _Machine) -> dict[str, object]:
    table, unit = machine.table, machine.context.units[UNIT]
    return {
        **unit,
        "provides": machine.names,
        "requires": [*_texts(unit.get("requires")), machine.image.service],
        "user": table.user,
        "group": table.group,
        "command": _command(machine),
        "autostart": table.autostart,
        "actions": {**shared_actions(machine.places), **machine.image.actions},
        **machine.parts.keys(unit),
    }


def _texts(value: object) -> list[str]:
    return list(map(str, value)) if isinstance(value, list) else []


def _command(machine: _Machine) -> list[str]:
    """Return QEMU's command line: that of the specification, and then our own sockets."""
    table = machine.table
    bits = "x86_64" if table.type == "hurd64-qcow2" else "i386"
    return [
        program(f"qemu-system-{bits}", table.qemu),
        *("-m", str(table.memory_size)),
        *machine.network,
        *machine.options,
        *("--hda", machine.image.path),
        "--no-reboot",
        *socket_arguments(machine.places, machine.display, has_agent=table.agent),
    ]


# What is wrong


def _problems(machines: Sequence[_Machine]) -> Iterator[Fault]:
    numbers = Counter(machine.table.id for machine in machines)
    for index, machine in enumerate(machines):
        for keys, text in (*image_faults(machine.image.settings), *_option_faults(machine)):
            yield (index, *keys), text
        if numbers[machine.table.id] > 1:
            yield (
                (index, "id"),
                "is that of another [[hurd_vm]] too, or both have none; say another",
            )
    yield from _shared_images(machines)


def _option_faults(machine: _Machine) -> Iterator[Fault]:
    table = machine.table
    is_volatile = any(option in _SNAPSHOT for option in machine.options)
    if table.stateful and is_volatile:
        yield ("options",), "has --snapshot, and with stateful = true what it writes is to be kept"
    known = ", ".join(f"{{{key}}}" for key in machine.values)
    for place, option in enumerate(table.net_options or ()):
        for found in _PLACEHOLDER.findall(option):
            if found not in machine.values:
                text = f"found {{{found}}}, which stands for nothing; there are {known}"
                yield ("net_options", place), text
    there = machine.parts.rungs
    if Rung(table.ready_at) not in there and "ready_at" in table.model_fields_set:
        have = ", ".join(there)
        yield (
            ("ready_at",),
            f"found {table.ready_at!r}, which this machine never reaches; it has {have}",
        )


def _shared_images(machines: Sequence[_Machine]) -> Iterator[Fault]:
    """Yield images that one machine would write while another has them open, which QEMU refuses."""
    for index, machine in enumerate(machines):
        for other in machines:
            is_same = other is not machine and other.table.image == machine.table.image
            if is_same and machine.table.image is not None and machine.table.stateful:
                text = (
                    f"is that of {other.name} too; one that is written (stateful) has to be its own"
                )
                yield (index, "image"), text
                break


HURD_VM = KindParts(HurdTable, build, identity=("id",))

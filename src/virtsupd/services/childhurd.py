"""`[hurd_vm]`: childhurds, GNU/Hurd machines that QEMU runs, each with the services around it."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Annotated, Final, Literal

from pydantic import Field

from virtsupd.config.kinds import Built, Element, KindContext, KindParts, UnitKeys
from virtsupd.config.problems import Fault
from virtsupd.config.values import AbsolutePath, Account, Flag, Text
from virtsupd.core.frozen import frozen
from virtsupd.services.machine_table import FALSE_IS_NONE, MachineTable
from virtsupd.services.machine_whole import Machine, Machined, Own, built, names_around
from virtsupd.services.package import program

UNIT: Final = "hurd-vm"
TABLE: Final = "hurd_vm"
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
_PLACEHOLDER: Final = re.compile(r"\{([a-z_]*)\}")
_FORWARDED: Final = re.compile(r"hostfwd=tcp:[^,]*?:([0-9]+)-")
_THRESHOLD: Final = 1.8
"""A Hurd reads its own load as one too high."""
_DISPLAY_PORT: Final = 5900


class HurdTable(MachineTable):
    """The fields of hurd-vm-configuration, and some of ours."""

    id: Annotated[int, Field(strict=True, ge=1, le=49)] | None = None
    """Number of the machine, 1 to 49: it follows its names, and 1000 times it is added to its ports."""
    type: Literal["hurd-qcow2", "hurd64-qcow2"] = "hurd-qcow2"
    """The kind of image: of a 32-bit or of a 64-bit Hurd."""
    net_options: tuple[Text, ...] | None = None
    """In place of QEMU's arguments for the network; {secrets_port}, {ssh_port}, {guest_ssh_port},
    {vnc_port} and {id} stand for what they are."""
    guest_ssh_port: Annotated[int, Field(strict=True, ge=1, le=65535)] = 2222
    """On which the guest's SSH server listens: 2222, and 22 in images of newer Guix."""
    secret_root: Annotated[AbsolutePath | None, FALSE_IS_NONE] = "/etc/childhurd"  # noqa: S105 - a path
    """A directory whose files the guest gets at each boot; false sends it none. What is missing there of
    SSH host keys, and of Guix's signing key and list of accepted keys, is made before it starts."""
    user: Account = "childhurd"
    """The account that QEMU runs as."""
    vnc: Flag = True
    """Whether its display is at 127.0.0.1, port 5900 and its id; else there is none."""


@frozen
class _Hurd:
    """One machine: its table, and what follows from its number."""

    table: HurdTable
    key_owner: str | None = None
    """The machine whose key the host logs in with: another one, if both have the same secrets, in which
    there is one list of the keys that are let in."""

    @property
    def number(self) -> int:
        return self.table.id or 0

    @property
    def names(self) -> list[str]:
        suffix = str(self.table.id) if self.table.id is not None else ""
        return [f"{name}{suffix}" for name in _NAMES]

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
    def is_64_bit(self) -> bool:
        return self.table.type == "hurd64-qcow2"

    @property
    def own(self) -> Own:
        """Return what is its own; with a port that is not forwarded, nothing is done."""
        table, values, ports = self.table, self.values, self.ports
        secrets_port, ssh_port = values["secrets_port"], values["ssh_port"]
        return Own(
            kind=TABLE,
            unit=UNIT,
            names=tuple(self.names),
            user=table.user,
            secret_root=table.secret_root,
            image_type=table.type,
            ports=ports,
            secrets_port=secrets_port if secrets_port in ports else None,
            ssh_port=ssh_port if ssh_port in ports else None,
            display=self.number if table.vnc else None,
            offload_key=self.key_owner or self.names[-1],
            systems=("x86_64-gnu" if self.is_64_bit else "i586-gnu",),
            threshold=_THRESHOLD,
        )


def build(elements: Sequence[Element], context: KindContext) -> Built:
    """Return the services of each machine, and the files that those around it read."""
    hurds = _with_keys([_Hurd(element.table) for element in elements])
    made = [_made(hurd, context) for hurd in hurds]
    return built(made, tuple(_problems(hurds)))


def _with_keys(hurds: Sequence[_Hurd]) -> list[_Hurd]:
    first = {hurd.table.secret_root: hurd.names[-1] for hurd in reversed(hurds)}
    return [replace(hurd, key_owner=first[hurd.table.secret_root]) for hurd in hurds]


def _made(hurd: _Hurd, context: KindContext) -> Machined:
    """Return the machine with QEMU's command line: that of the specification, and then our own sockets."""
    table, machine = hurd.table, Machine(hurd.table, hurd.own, context)
    command = (
        program(f"qemu-system-{'x86_64' if hurd.is_64_bit else 'i386'}", table.qemu),
        *("-m", str(table.memory_size)),
        *hurd.network,
        *table.more_options,
        *("--hda", machine.image.path),
        "--no-reboot",
        *machine.last_arguments,
    )
    return Machined(machine, command, {})


# What is wrong


def _problems(hurds: Sequence[_Hurd]) -> Iterator[Fault]:
    numbers = Counter(hurd.table.id for hurd in hurds)
    for index, hurd in enumerate(hurds):
        for keys, text in _option_faults(hurd):
            yield (index, *keys), text
        if numbers[hurd.table.id] > 1:
            yield (
                (index, "id"),
                "is that of another [[hurd_vm]] too, or both have none; say another",
            )


def _option_faults(hurd: _Hurd) -> Iterator[Fault]:
    known = ", ".join(f"{{{key}}}" for key in hurd.values)
    for place, option in enumerate(hurd.table.net_options or ()):
        for found in _PLACEHOLDER.findall(option):
            if found not in hurd.values:
                text = f"found {{{found}}}, which stands for nothing; there are {known}"
                yield ("net_options", place), text


def _said_names(keys: UnitKeys) -> Iterator[str]:
    """Yield the names of a machine whose table may be wrong."""
    number = keys.get("id")
    suffix = str(number) if isinstance(number, int) else ""
    yield from names_around(f"{name}{suffix}" for name in _NAMES)


HURD_VM = KindParts(HurdTable, build, identity=("id",), names=_said_names)

"""A machine and all that goes with it, as the graph has them: what both kinds of machines are made by.

A kind says in `Own` what is its own; everything else follows from the table.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from virtsupd.config.kinds import Built, KindContext, Made
from virtsupd.config.problems import Fault
from virtsupd.core.frozen import frozen
from virtsupd.core.machine import Rung
from virtsupd.machine.image_settings import Settings
from virtsupd.machine.offload_settings import OffloadSettings
from virtsupd.machine.prepare_settings import PrepareSettings
from virtsupd.services.machine_actions import machine_actions
from virtsupd.services.machine_around import GUIX, Offer, Preparation, has_guix
from virtsupd.services.machine_images import ImageParts, image_faults
from virtsupd.services.machine_parts import (
    Parts,
    Places,
    rung_conditions,
    socket_arguments,
)
from virtsupd.services.machine_table import MachineTable
from virtsupd.services.package import program

_AROUND: Final = ("prepare", "image", "offloading")


@frozen
class Own:
    """What a kind says of one machine beside the fields that all have."""

    kind: str
    """The name of the table."""
    unit: str
    """The built-in unit that it is made from."""
    names: tuple[str, ...]
    user: str
    secret_root: str | None
    image_type: str
    """What `guix system image --image-type` is given."""
    ports: tuple[int, ...]
    """The TCP ports of this host that it takes."""
    secrets_port: int | None
    """Which of them leads to the guest's secret service; None: none does."""
    ssh_port: int | None
    display: int | None
    """The number of its display; None: it has none."""
    offload_key: str
    """The file of the key that the host logs in with to build, below Guix's directory of such keys."""
    systems: tuple[str, ...]
    """What is built in it."""
    threshold: float | None
    """Load above which nothing more is built in it; None: Guix's own."""


@frozen
class Machine:
    """One machine: its table, what its kind says of it, and what follows from both."""

    table: MachineTable
    own: Own
    context: KindContext

    @property
    def name(self) -> str:
        """Return the first of its names, that of its service."""
        return self.own.names[0]

    @property
    def places(self) -> Places:
        """Return where its sockets are."""
        return Places.of(self.name, self.context)

    @property
    def parts(self) -> Parts:
        """Return what virtsupd does with it."""
        table, own = self.table, self.own
        return Parts(
            places=self.places,
            secrets_port=own.secrets_port,
            secret_root=own.secret_root,
            ssh_port=own.ssh_port,
            has_agent=table.agent,
            kvm=table.kvm,
            access_group=table.access_group,
            ready_at=Rung(table.ready_at),
            boot_seconds=table.boot_timeout,
            ports=own.ports,
        )

    @property
    def image(self) -> ImageParts:
        """Return its image, and the service and actions around that."""
        table, host = self.table, self.context.host
        settings = Settings(
            machine=self.name,
            directory=f"{host.state_dir}/images",
            image=table.image,
            checksum=table.checksum,
            os=table.os,
            image_type=self.own.image_type,
            size_bytes=None if table.disk_size == "guess" else table.disk_size,
            is_stateful=table.stateful,
            user=self.own.user,
            group=table.group,
            qemu_img=program("qemu-img", table.qemu),
        )
        directory = host.generated_dir / self.own.kind
        return ImageParts(settings, directory / f"{self.name}-image.conf")

    @property
    def preparation(self) -> Preparation:
        """Return what makes its account and its secrets."""
        own = self.own
        settings = PrepareSettings(
            self.name,
            own.user,
            self.table.group,
            self._tmp_dir,
            own.secret_root,
            offload_key=self._offload_key if self.offer is not None else None,
        )
        directory = self.context.host.generated_dir / own.kind
        return Preparation(settings, directory / f"{self.name}-prepare.conf")

    @property
    def offer(self) -> Offer | None:
        """Return what offers it to the host's Guix; None without one, or where it cannot be reached."""
        table, own = self.table, self.own
        if not table.offloading or own.secret_root is None or own.ssh_port is None:
            return None
        if not has_guix():
            return None
        settings = OffloadSettings(
            self.name,
            own.ssh_port,
            own.secret_root,
            own.systems,
            user=table.offload_user,
            private_key=self._offload_key,
            threshold=own.threshold,
            directory=GUIX,
        )
        directory = self.context.host.generated_dir / own.kind
        return Offer(settings, directory / f"{self.name}-offloading.conf")

    @property
    def _tmp_dir(self) -> str:
        environment = self.context.units[self.own.unit]["environment"]
        return str(environment["TMPDIR"]) if isinstance(environment, dict) else ""

    @property
    def _offload_key(self) -> str:
        return f"{GUIX}/offload/ssh/{self.own.offload_key}"

    @property
    def around(self) -> list[ImageParts | Preparation | Offer]:
        """Return what goes along with it."""
        return [self.image, self.preparation, *([self.offer] if self.offer is not None else [])]

    @property
    def last_arguments(self) -> list[str]:
        """Return QEMU's arguments for our own sockets, which come last."""
        return socket_arguments(self.places, self.own.display, has_agent=self.table.agent)

    def services(
        self, command: Sequence[str], actions: Mapping[str, object]
    ) -> Iterator[tuple[str, Mapping[str, object]]]:
        """Yield the keys of its services by name; `actions` are those that only its kind has."""
        names, preparation, offer = self.own.names, self.preparation, self.offer
        yield self.name, self._keys(command, actions)
        yield preparation.service, preparation.keys(names)
        yield self.image.service, self.image.keys(names, [preparation.service])
        if offer is not None:
            yield offer.service, offer.keys(names, autostart=self.table.autostart)

    def _keys(self, command: Sequence[str], actions: Mapping[str, object]) -> dict[str, object]:
        own, unit = self.own, self.context.units[self.own.unit]
        return {
            **unit,
            "provides": list(own.names),
            "requires": [
                *_texts(unit.get("requires")),
                self.preparation.service,
                self.image.service,
            ],
            "user": own.user,
            "group": self.table.group,
            "wants": [self.offer.service] if self.offer is not None else [],
            "command": list(command),
            "autostart": self.table.autostart,
            "actions": {
                **machine_actions(self.name, self.parts, own.display, self.context),
                **self.image.actions,
                **actions,
            },
            **self.parts.keys(unit),
        }


def _texts(value: object) -> list[str]:
    return list(map(str, value)) if isinstance(value, list) else []


@frozen
class Machined:
    """A machine with its command line and the actions that only its kind has."""

    machine: Machine
    command: tuple[str, ...]
    actions: Mapping[str, object]


def built(made: Sequence[Machined], problems: Sequence[Fault]) -> Built:
    """Return the services of the machines, and the files that those around them read."""
    machines = [each.machine for each in made]
    problems = (*problems, *_problems(machines))
    if problems:
        return Built({}, problems=problems)
    services = [
        Made(index, name, keys)
        for index, each in enumerate(made)
        for name, keys in each.machine.services(each.command, each.actions)
    ]
    rungs = [
        Made(index, *condition)
        for index, machine in enumerate(machines)
        for condition in rung_conditions(machine.own.names, machine.parts)
    ]
    files = tuple(part.generated for machine in machines for part in machine.around)
    accounts = frozenset(
        name for machine in machines for name in (machine.own.user, machine.table.group)
    )
    return Built({}, tuple(services), offered=tuple(rungs), files=files, accounts=accounts)


def names_around(names: Iterable[str]) -> Iterator[str]:
    """Yield what a machine of these names, and all that may go with it, is called."""
    for name in names:
        yield name
        yield from (f"{name}-{part}" for part in (*_AROUND, *Rung))


# What is wrong


def _problems(machines: Sequence[Machine]) -> Iterator[Fault]:
    for index, machine in enumerate(machines):
        for keys, text in (*image_faults(machine.image.settings), *_faults(machine)):
            yield (index, *keys), text
    yield from _shared_images(machines)


def _faults(machine: Machine) -> Iterator[Fault]:
    table, there = machine.table, machine.parts.rungs
    if table.stateful and table.is_volatile:
        yield ("options",), "has --snapshot, and with stateful = true what it writes is to be kept"
    if Rung(table.ready_at) not in there and "ready_at" in table.model_fields_set:
        yield (
            ("ready_at",),
            f"found {table.ready_at!r}, which this machine never reaches; it has {', '.join(there)}",
        )


def _shared_images(machines: Sequence[Machine]) -> Iterator[Fault]:
    """Yield images that one machine would write while another has them open, which QEMU refuses.

    What is written on top of an image that was fetched is a file of the machine's own.
    """
    paths = [machine.image.path for machine in machines]
    for index, machine in enumerate(machines):
        others = (
            other.name
            for place, other in enumerate(machines)
            if place != index and paths[place] == paths[index]
        )
        sharer = next(others, None)
        if machine.table.stateful and paths[index] and sharer is not None:
            text = f"is that of {sharer} too; one that is written (stateful) has to be its own"
            yield (index, "image"), text

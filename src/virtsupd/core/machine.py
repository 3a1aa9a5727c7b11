"""A machine: a service whose process is QEMU, and what virtsupd has to do with it beside that process."""

from enum import StrEnum
from typing import Literal

from virtsupd.core.frozen import frozen


class Rung(StrEnum):
    """How far a machine has come; each is reached on top of the ones before it."""

    MONITOR = "monitor"
    """QEMU answers on its monitor, and its processors run."""
    SECRETS = "secrets"
    """The guest has fetched its secrets: it has begun to boot its own system."""
    AGENT = "agent"
    """The guest's agent answers."""
    SSH = "ssh"
    """The guest's SSH server says its banner through the forwarded port."""


@frozen
class RungSpec:
    """One rung to climb."""

    rung: Rung
    timeout_seconds: float
    """From the rung before it; 0 waits for ever."""
    counts: bool = True
    """Whether the machine is running only from there on. One that does not is climbed meanwhile, and
    what is late there is only said."""


class MachineStopHow(StrEnum):
    """One way to end a machine."""

    AGENT = "agent"
    """The guest's agent is asked to power off."""
    POWERDOWN = "powerdown"
    """The power button (ACPI)."""
    QUIT = "quit"
    """QEMU is told to end, as if the power were cut."""
    SIGNAL = "signal"
    """The stop signal."""


@frozen
class StopStep:
    """One step of ending a machine: if it is still there after so many seconds, the next one."""

    how: MachineStopHow
    seconds: float


class MachineEnd(StrEnum):
    """Why QEMU ended, as its monitor told; its exit code is 0 for all of these."""

    REBOOT = "its guest restarted itself"
    POWER_OFF = "its guest powered itself off"
    QUIT = "it was told to quit through its monitor"
    SIGNAL = "QEMU was ended by a signal"
    PANIC = "its guest panicked"
    ERROR = "QEMU gave up"

    @property
    def is_wish(self) -> bool:
        """Whether somebody wanted it to be off: it is not started again by itself."""
        return self in (MachineEnd.POWER_OFF, MachineEnd.QUIT)


@frozen
class LastWords:
    """What is known of the end of a machine, or of anything else."""

    end: MachineEnd | None = None
    """Why QEMU ended, if it said so."""
    text: str = ""
    """How it ended, for people: in place of its exit code, which says nothing."""


@frozen
class SecretsSpec:
    """The secret service of a guest, which listens for its secrets once at each boot."""

    port: int
    """On 127.0.0.1, forwarded to the guest."""
    root: str | None = None
    """The directory whose files are sent; None: an empty list is sent."""


@frozen
class MachineSpec:
    """What virtsupd needs to know of a QEMU that it starts, as its command line has it."""

    directory: str
    """Where its sockets are, and what it has reached; made at each start, for QEMU's account."""
    qmp: str
    """Its monitor's socket; QEMU serves one client at a time, and that is virtsupd."""
    agent: str | None = None
    """The socket of the guest agent's channel."""
    secrets: SecretsSpec | None = None
    ssh_port: int | None = None
    """On 127.0.0.1, forwarded to the guest's SSH server."""
    ports: tuple[int, ...] = ()
    """The TCP ports of this host that it takes, those above among them."""
    kvm: bool | Literal["auto"] = "auto"
    """Whether `--enable-kvm` is added at a start; "auto": if QEMU's account can open /dev/kvm then,
    and KVM has not failed to run a guest under this virtsupd."""
    access_group: str | None = None
    """Whose members may speak with its sockets, and so do anything with it; None: only root may, and
    QEMU's account."""

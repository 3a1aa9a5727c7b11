"""A guest that libvirt runs, and the ways to end it."""

from enum import StrEnum

from virtsupd.core.frozen import frozen


class GuestStop(StrEnum):
    """How a libvirt domain is asked to end."""

    SHUTDOWN = "shutdown"
    """To power off: by its agent if that answers, else by the power button."""
    AGENT = "agent"
    """To power off, by its agent alone."""
    ACPI = "acpi"
    """To power off, by the power button alone."""
    SAVE = "save"
    """Its state is written down; the next start goes on from there."""
    DESTROY = "destroy"
    """At once, as if the power were cut."""
    LEAVE = "leave"
    """Not at all: it runs on, and virtsupd has no more to do with it."""


class GuestNote(StrEnum):
    """What is remarkable about a guest that is there."""

    PAUSED = "paused"
    SUSPENDED = "suspended by the guest"
    """It sleeps, its memory kept."""
    POWERING_OFF = "the guest powers off"
    ARRIVING = "comes from another host, or from its saved state"
    """It is paused until it has: libvirt does not tell which."""
    UNSEEN = "not seen"
    """Libvirt cannot be asked about it."""


@frozen
class DomainSpec:
    """A guest that libvirt runs: it is started and ended through libvirt, never by a signal."""

    domain: str
    """Its name, as libvirt knows it."""
    uri: str = "qemu:///system"
    """Of the libvirt that it is defined in; one on this host."""

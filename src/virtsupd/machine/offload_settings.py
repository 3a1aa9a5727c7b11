"""What the program that offers a machine to the host's Guix is told: a file made from its table."""

from dataclasses import dataclass

from virtsupd.process.settings_file import settings_text


@dataclass(frozen=True, slots=True)
class OffloadSettings:
    """A machine, and where the host's Guix looks for it."""

    machine: str
    """The name of its service."""
    ssh_port: int
    secret_root: str
    """Where the guest's keys are."""
    systems: tuple[str, ...]
    """What is built in it."""
    user: str = "root"
    """Whom the host logs in as."""
    private_key: str = "/root/.ssh/id_ed25519"
    """The key that it logs in with."""
    threshold: float | None = None
    directory: str = "/etc/guix"
    """Of the host's Guix, with acl and machines.scm."""

    @property
    def text(self) -> str:
        """The content of the file; what is None is left out."""
        return settings_text(self)

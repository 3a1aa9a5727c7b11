"""What the program that prepares a machine is told: a file made from its table, lines `key = JSON`."""

from dataclasses import dataclass

from virtsupd.process.settings_file import settings_text


@dataclass(frozen=True, slots=True)
class PrepareSettings:
    """What has to be there before a machine starts."""

    machine: str
    """The name of its service, for messages."""
    user: str
    """The account that QEMU runs as; made if it is missing."""
    group: str
    """The group that QEMU runs in; it has to be there, or is made with the account."""
    tmp_dir: str
    """Where QEMU writes what its guest's snapshot is (TMPDIR)."""
    secret_root: str | None = None
    """The directory whose files the guest gets; made and filled if something is missing there."""
    has_signing_key: bool = True
    """Whether the guest runs a Guix that signs what it builds."""
    host_acl: str = "/etc/guix/acl"
    host_key: str = "/etc/guix/signing-key.pub"
    """Of the host's Guix: what the guest accepts from it."""
    offload_key: str | None = None
    """The file of the key that the host logs in with to build; made if it is missing, and the guest is
    told of it. None: the host does not build there."""

    @property
    def text(self) -> str:
        """The content of the file; what is None is left out."""
        return settings_text(self)

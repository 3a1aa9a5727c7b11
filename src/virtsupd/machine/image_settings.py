"""What the programs that see to a machine's image are told: a file made from its table.

Its lines are `key = value` with values of JSON, so that a changed key can be told from the others.
"""

from dataclasses import dataclass
from typing import Final

from virtsupd.process.settings_file import settings_text

IMAGE_TYPE: Final = "hurd-qcow2"
"""What `guix system image` makes of an operating system unless the table says another type."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Where a machine's image comes from, and for whom."""

    machine: str
    """The name of the service whose process is QEMU."""
    directory: str
    """Where images are kept that were fetched or built; made if it is missing, and ours alone."""
    image: str | None = None
    """A path, or a URL (https, http, file)."""
    checksum: str | None = None
    """Of what the URL gives, "sha256:…" or "sha512:…" in hexadecimal."""
    os: str | None = None
    """A Scheme file that says what the guest's system is, to be built by Guix."""
    image_type: str = IMAGE_TYPE
    """What `guix system image --image-type` is given."""
    size_bytes: int | None = None
    """Of the disk that Guix builds; None: as much as the system needs."""
    is_stateful: bool = False
    """Whether the guest's writes are kept."""
    is_booted: bool = True
    """Whether the guest boots from it; not where QEMU's options name a kernel."""
    user: str = "root"
    """The account that runs QEMU."""
    group: str | None = None
    """Its group; None: the account's own."""
    qemu_img: str = "qemu-img"
    guix: str = "guix"
    """The programs, by name or path."""

    @property
    def text(self) -> str:
        """The content of the file; what is None is left out."""
        return settings_text(self)

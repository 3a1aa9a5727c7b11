"""What the process that holds entries is told: a file made from the table `[qemu_binfmt]`.

Its lines are `key = value` with values of JSON, so that a changed key can be told from the others.
"""

from dataclasses import dataclass

from virtsupd.binfmt.platforms import ByteSet, QemuPlatform, lookup_qemu_platforms
from virtsupd.process.settings_file import settings_text

DIRECTORY = "/proc/sys/fs/binfmt_misc"
"""Where the kernel's table is mounted."""
FIXED = "F"
"""The flag with which the kernel opens an interpreter once, at its registration."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The table, and where things are."""

    platforms: tuple[str, ...]
    record: str
    """The file that says which entries are ours; its directory is ours alone."""
    qemu: str | None = None
    """Prefix of the QEMU whose programs are entered; None seeks them where distributions put them."""
    flags: str = "FP"
    """As the register line has them."""
    bytes: ByteSet = "debian"
    recheck_seconds: float | None = None
    """How often the table is looked at without a reason; None: where inotify cannot tell."""
    directory: str = DIRECTORY

    @property
    def known(self) -> tuple[QemuPlatform, ...]:
        """The platforms, in the order of their table."""
        return lookup_qemu_platforms(*self.platforms, bytes=self.bytes)

    @property
    def is_fixed(self) -> bool:
        """Whether interpreters are opened at registration, so that they serve in every root."""
        return FIXED in self.flags

    @property
    def text(self) -> str:
        """The content of the file; what is None is left out."""
        return settings_text(self)

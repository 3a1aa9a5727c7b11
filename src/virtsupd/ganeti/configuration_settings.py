"""What the program that writes /etc/ganeti is told: a file made from the table `[ganeti]`, lines `key = JSON`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from virtsupd.process.settings_file import settings_text

DIRECTORY = "/etc/ganeti"
DPKG_STATUS = "/var/lib/dpkg/status"


@dataclass(frozen=True, slots=True)
class ConfigurationSettings:
    """Everything that is to be there, by absolute path, in the order in which it is made."""

    record: str
    """The file that says what is ours; its directory is ours alone."""
    directories: Sequence[str] = ()
    """Made, if missing, with mode 0755; each after those it is in."""
    files: Mapping[str, str] = field(default_factory=dict)
    """By path: a file's content."""
    copies: Mapping[str, str] = field(default_factory=dict)
    """By path: the file whose content it is to have."""
    links: Mapping[str, str] = field(default_factory=dict)
    """By path: what it leads to."""
    executables: Sequence[str] = ()
    """The files of mode 0755; lists have 0644, and all others 0600."""
    dpkg_status: str = DPKG_STATUS
    """Where dpkg says what its packages' configuration files are like."""

    @property
    def text(self) -> str:
        """The content of the file."""
        return settings_text(self)

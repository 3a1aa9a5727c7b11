"""The services around a machine, beside its image: what makes its secrets, and what offers it to Guix."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from virtsupd.config.settings import GeneratedFile
from virtsupd.core.frozen import frozen
from virtsupd.core.machine import Rung
from virtsupd.core.names import Name
from virtsupd.machine.offload_settings import OffloadSettings
from virtsupd.machine.prepare_settings import PrepareSettings
from virtsupd.services.package import SYSTEM_PATH, module

GUIX: Final = "/etc/guix"
_SIGNS_OF_GUIX: Final = (f"{GUIX}/acl", f"{GUIX}/signing-key.pub", "/var/guix")
"""The directory itself is none: secrets of build machines lie in it, which are made without a Guix too."""


def has_guix() -> bool:
    """Whether this host has a Guix that builds."""
    return any(Path(path).exists() for path in _SIGNS_OF_GUIX)


@frozen
class Preparation:
    """The one-shot that makes what a machine needs: QEMU's account, and secrets that are missing."""

    settings: PrepareSettings
    file: Path
    """Where the settings are written to."""

    @property
    def service(self) -> str:
        """Return the name of the one-shot."""
        return f"{self.settings.machine}-prepare"

    @property
    def generated(self) -> GeneratedFile:
        """Return the file of settings."""
        return GeneratedFile(self.file, 0o644, self.settings.text, Name(self.service))

    def keys(self, names: Sequence[str]) -> dict[str, object]:
        """Return the keys of the one-shot; `names` are the machine's."""
        return {
            "description": f"makes the account and the secrets of {names[-1]} that are missing",
            "provides": [f"{name}-prepare" for name in names],
            "requires": ["user-processes"],
            "command": module("machine.prepare", str(self.file)),
            "environment": {"PATH": ":".join(SYSTEM_PATH)},
            "one_shot": True,
            "ready": "exit",
            "autostart": False,
        }


@frozen
class Offer:
    """The service that offers a machine to the host's Guix while it can be reached."""

    settings: OffloadSettings
    file: Path
    """Where the settings are written to."""

    @property
    def service(self) -> str:
        """Return the name of the service."""
        return f"{self.settings.machine}-offloading"

    @property
    def generated(self) -> GeneratedFile:
        """Return the file of settings."""
        return GeneratedFile(self.file, 0o644, self.settings.text, Name(self.service))

    def keys(self, names: Sequence[str], *, autostart: bool) -> dict[str, object]:
        """Return the keys of the service; `names` are the machine's."""
        return {
            "description": f"offers {names[-1]} to the host's Guix to build in",
            "provides": [f"{name}-offloading" for name in names],
            "binds_to": [names[0]],
            "requires": [f"{names[0]}-{Rung.SSH}"],
            "command": module("machine.offloading", "hold", str(self.file)),
            "clean_up": module("machine.offloading", "remove", str(self.file)),
            "ready": {"kind": "notify", "timeout": "30s"},
            "autostart": autostart,
        }

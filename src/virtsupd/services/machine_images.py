"""The image of a machine in the graph: a one-shot that the machine requires, and three actions."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from virtsupd.config.problems import Fault
from virtsupd.config.settings import GeneratedFile
from virtsupd.core.frozen import frozen
from virtsupd.core.names import Name
from virtsupd.machine.image_settings import Settings
from virtsupd.machine.image_source import (
    BuiltImage,
    ImageSource,
    SourceError,
    UrlImage,
    place_of,
    source_of,
)
from virtsupd.services.package import SYSTEM_PATH, module

_HOW: Final[Mapping[str, Mapping[str, object]]] = {
    "info": {"timeout": 60.0},
    "fetch": {
        "interactive": True,
        "admin": True,
    },  # it shows how far it is, and Ctrl-C interrupts it
    "build": {"timeout": 86400.0},  # without substitutes it takes hours
}
_GUIX_PATH: Final = (*SYSTEM_PATH, "/root/.config/guix/current/bin")
_SAID: Final = {
    "info": "tell what its disk image is, where it comes from and who uses it; --json",
    "fetch": "fetch its disk image now; --again although it is there",
    "build": "have Guix build its disk image now, although nothing has changed",
}


@frozen
class ImageParts:
    """What goes with the image of one machine."""

    settings: Settings
    file: Path
    """Where the settings are written to."""

    @property
    def service(self) -> str:
        """Return the name of the one-shot."""
        return f"{self.settings.machine}-image"

    @property
    def path(self) -> str:
        """Return what QEMU is given; there is a file once the one-shot has ended well.

        "" if the table does not say where the image comes from, which `image_faults` tells.
        """
        return "" if self._source is None else str(place_of(self.settings))

    @property
    def _source(self) -> ImageSource | None:
        try:
            return source_of(self.settings)
        except SourceError:
            return None

    @property
    def generated(self) -> GeneratedFile:
        """Return the file of settings, which counts from the one-shot's next start on.

        What opens a door may be in a URL, so that only root reads it.
        """
        return GeneratedFile(self.file, 0o600, self.settings.text, Name(self.service))

    def keys(self, names: Sequence[str], requires: Sequence[str] = ()) -> dict[str, object]:
        """Return the keys of the one-shot; `names` are the machine's.

        `requires` is what makes QEMU's account, if anything does.
        """
        network = ["networking"] if _is_remote(self._source) else []
        return {
            "description": f"sees to the disk image of {self.settings.machine}",
            "provides": [f"{name}-image" for name in names],
            "requires": ["user-processes", *network, *requires],
            "command": module("machine.image_program", str(self.file)),
            "environment": {"PATH": ":".join(_GUIX_PATH)},
            "one_shot": True,
            "ready": {"kind": "exit", "status": True},
            "autostart": False,
        }

    @property
    def actions(self) -> dict[str, object]:
        """Return the actions of the machine: those that go with where its image comes from."""
        source = self._source
        there = ["info"]
        there += ["fetch"] if isinstance(source, UrlImage) else []
        there += ["build"] if isinstance(source, BuiltImage) else []
        return {
            f"image-{action}": {
                "command": module("services.machine_image", action, str(self.file)),
                "description": _SAID[action],
                **_HOW[action],
            }
            for action in there
        }


def _is_remote(source: ImageSource | None) -> bool:
    """Whether the network is needed; a build finds its substitutes there, and would be endless without."""
    if isinstance(source, UrlImage):
        return not source.url.lower().startswith("file:")
    return isinstance(source, BuiltImage)


def image_faults(settings: Settings) -> Iterator[Fault]:
    """Yield what is wrong with where a table says that the image comes from."""
    try:
        source_of(settings)
    except SourceError as error:
        yield (error.key,), str(error)

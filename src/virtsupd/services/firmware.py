"""Descriptions of UEFI firmware, which libvirt reads in /etc/qemu/firmware beside QEMU's own.

They are copied there under names that nobody else gives, and removed at a shutdown.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from virtsupd.config.problems import Fault
from virtsupd.config.settings import GeneratedFile

_PLACE: Final = Path("/etc/qemu/firmware")
_BELOW_PREFIX: Final = "share/qemu/firmware"


@dataclass(frozen=True, slots=True)
class FirmwareDescriptions:
    """What `firmwares` becomes."""

    files: tuple[GeneratedFile, ...] = ()
    problems: tuple[Fault, ...] = ()

    @classmethod
    def read(cls, prefixes: tuple[str, ...]) -> "FirmwareDescriptions":
        """Read every description below the prefixes; of equal names the first prefix counts."""
        files: dict[Path, GeneratedFile] = {}
        problems: list[Fault] = []
        for index, prefix in enumerate(prefixes):
            directory = Path(prefix, _BELOW_PREFIX)
            found = sorted(directory.glob("*.json"))
            if not found:
                problems.append((("firmwares", index), f"{directory} has no descriptions (*.json)"))
            for path in found:
                # A name of its own: what an administrator or a package put there stays.
                target = _PLACE / f"{path.stem}.virtsupd.json"
                try:
                    files.setdefault(target, GeneratedFile(target, 0o644, _content(path)))
                except (OSError, ValueError) as error:
                    problems.append((("firmwares", index), f"{path} cannot be used: {error}"))
        return cls(tuple(files.values()), tuple(problems))


def _content(path: Path) -> str:
    text = path.read_text()
    if not isinstance(json.loads(text), dict):
        raise ValueError("it is no JSON object")  # noqa: TRY004 - caught with those of json
    return text

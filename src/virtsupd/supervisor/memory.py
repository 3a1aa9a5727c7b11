"""What outlives virtsupd: which services are enabled, and what was asked of them in this boot.

Two small JSON files in the state directory, each replaced as a whole. `services.json` says what is
disabled, for ever, and is forced to the disk: that holds up virtsupd for as long as the disk takes,
once for each command that changes it. `wanted.json` says what is wanted, in this boot and before a
shutdown; it is not forced to the disk, since a loss of power ends what it is about.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from virtsupd.core.engine import Remembered
from virtsupd.core.names import Name
from virtsupd.errors import VirtsupdError
from virtsupd.process.store import StateDirectory, StateFiles

log = structlog.get_logger()

_VERSION = 1
_LASTING = "services.json"
_OF_BOOT = "wanted.json"
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class StateFileError(VirtsupdError):
    """The state file exists and cannot be used; the message names it and what to do."""

    code = "bad-state"


@dataclass(slots=True)
class _Entry:
    enabled: bool = True
    wanted: bool | None = None


class Memory:
    """The state files, read once and written whenever they changed."""

    def __init__(self, files: StateFiles, boot_id: str) -> None:
        self._files = files
        self._boot_id = boot_id
        self._entries: dict[Name, _Entry] = {}
        self._is_enabled_new = False
        self._is_wanted_new = False

    @classmethod
    def load(cls, state_dir: Path) -> "Memory":
        """Read the files in the state directory, for this boot; as `read`."""
        return cls.read(StateDirectory(state_dir), _BOOT_ID.read_text(encoding="ascii").strip())

    @classmethod
    def read(cls, files: StateFiles, boot_id: str) -> "Memory":
        """Read the files; a missing one remembers nothing.

        A `wanted.json` that cannot be used is logged and remembers nothing either.

        Raises:
            StateFileError: `services.json` cannot be read or is not what virtsupd wrote.
        """
        memory = cls(files, boot_id)
        try:
            memory._take_lasting(_content(files, _LASTING))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise StateFileError(
                f"cannot use {files.place(_LASTING)}: {error}; "
                "move it away to forget which services were disabled"
            ) from error
        try:
            memory._take_of_boot(_content(files, _OF_BOOT))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            place = files.place(_OF_BOOT)
            log.warning("what was wanted is not known", file=place, reason=str(error))
        return memory

    def remembered(self) -> Mapping[Name, Remembered]:
        """Return what is known, for the engine."""
        return {
            name: Remembered(wanted=entry.wanted, enabled=entry.enabled)
            for name, entry in self._entries.items()
        }

    def note(self, name: Name, *, wanted: bool, enabled: bool) -> None:
        """Remember; `flush` writes it down."""
        before = self._entries.get(name, _Entry())
        self._entries[name] = _Entry(enabled=enabled, wanted=wanted)
        self._is_enabled_new |= before.enabled != enabled
        self._is_wanted_new |= before.wanted != wanted

    def forget_wanted(self) -> None:
        """After a shutdown: what is wanted at the next start is up to the definitions."""
        for entry in self._entries.values():
            entry.wanted = None
        self._is_wanted_new = True

    def flush(self) -> None:
        """Write what changed, so that it is there whatever happens next.

        Raises:
            OSError: it could not be written; the file is as it was and flush may be tried again.
        """
        if self._is_enabled_new:
            disabled = {n: {"enabled": False} for n, e in self._entries.items() if not e.enabled}
            self._write(_LASTING, {"services": disabled}, is_lasting=True)
            self._is_enabled_new = False
        if self._is_wanted_new:
            wanted = {n: e.wanted for n, e in self._entries.items() if e.wanted is not None}
            if wanted:
                content = {"boot_id": self._boot_id, "services": wanted}
                self._write(_OF_BOOT, content, is_lasting=False)
            else:
                self._files.remove(_OF_BOOT)
            self._is_wanted_new = False

    def _write(self, name: str, content: Mapping[str, object], *, is_lasting: bool) -> None:
        text = json.dumps({"version": _VERSION} | dict(content), indent=1, sort_keys=True) + "\n"
        self._files.write(name, text.encode(), is_lasting=is_lasting)

    def _take_lasting(self, content: dict[str, Any]) -> None:
        for name, entry in content["services"].items():
            if not isinstance(entry["enabled"], bool):
                raise TypeError(f"{name!r} is neither true nor false")
            self._entries[Name(name)] = _Entry(enabled=entry["enabled"])

    def _take_of_boot(self, content: dict[str, Any]) -> None:
        if content.get("boot_id", self._boot_id) != self._boot_id:
            return
        for name, wanted in content["services"].items():
            if not isinstance(wanted, bool):
                raise TypeError(f"{name!r} is neither true nor false")
            self._entries.setdefault(Name(name), _Entry()).wanted = wanted


def _content(files: StateFiles, name: str) -> dict[str, Any]:
    """Return what a state file says; one that is not there names no service."""
    try:
        content: dict[str, Any] = json.loads(files.read(name))
    except FileNotFoundError:
        return {"services": {}}
    if content["version"] != _VERSION:
        raise ValueError(f"version {content['version']!r} is not {_VERSION}")
    return content

"""What outlives virtsupd: which services are enabled, and what was asked of them in this boot.

One small JSON file in the state directory, replaced as a whole. `enabled` holds for ever; `wanted`
holds for the boot it was asked in, and not after a shutdown: then the definitions decide again.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from virtsupd.core.engine import Remembered
from virtsupd.core.names import Name
from virtsupd.errors import VirtsupdError
from virtsupd.process.files import write_atomically

_VERSION = 1
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class StateFileError(VirtsupdError):
    """The state file exists and cannot be used; the message names it and what to do."""

    code = "bad-state"


@dataclass(slots=True)
class _Entry:
    enabled: bool = True
    wanted: bool | None = None


class Memory:
    """The state file, read once and written whenever it changed."""

    def __init__(self, path: Path, boot_id: str) -> None:
        self._path = path
        self._boot_id = boot_id
        self._entries: dict[Name, _Entry] = {}
        self._is_dirty = False

    @classmethod
    def load(cls, state_dir: Path) -> "Memory":
        """Read `services.json` in the state directory; a missing file remembers nothing.

        Raises:
            StateFileError: the file cannot be read or is not what virtsupd wrote.
        """
        memory = cls(state_dir / "services.json", _BOOT_ID.read_text(encoding="ascii").strip())
        try:
            memory._take(json.loads(memory._path.read_bytes()))
        except FileNotFoundError:
            pass
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise StateFileError(
                f"cannot use {memory._path}: {error}; "
                "move it away to forget which services were disabled"
            ) from error
        return memory

    def remembered(self) -> Mapping[Name, Remembered]:
        """Return what is known, for the engine."""
        return {
            name: Remembered(wanted=entry.wanted, enabled=entry.enabled)
            for name, entry in self._entries.items()
        }

    def note(self, name: Name, *, wanted: bool, enabled: bool) -> None:
        """Remember; `flush` writes it down."""
        self._entries[name] = _Entry(enabled=enabled, wanted=wanted)
        self._is_dirty = True

    def forget_wanted(self) -> None:
        """After a shutdown: what is wanted at the next start is up to the definitions."""
        for entry in self._entries.values():
            entry.wanted = None
        self._is_dirty = True

    def flush(self) -> None:
        """Write what changed, so that it is there whatever happens next.

        Raises:
            OSError: it could not be written; the old file is untouched and flush may be tried again.
        """
        if not self._is_dirty:
            return
        services = {
            name: {"enabled": entry.enabled, "wanted": entry.wanted}
            for name, entry in sorted(self._entries.items())
            if not entry.enabled or entry.wanted is not None
        }
        content = {"version": _VERSION, "boot_id": self._boot_id, "services": services}
        text = json.dumps(content, indent=1) + "\n"
        write_atomically(self._path, text.encode(), mode=0o600, is_lasting=True)
        self._is_dirty = False

    def _take(self, content: dict[str, object]) -> None:
        if content["version"] != _VERSION:
            raise ValueError(f"version {content['version']!r} is not {_VERSION}")
        same_boot = content["boot_id"] == self._boot_id
        services = content["services"]
        if not isinstance(services, dict):
            raise TypeError("services is not a table")
        for name, entry in services.items():
            wanted = entry["wanted"] if same_boot else None
            if not isinstance(entry["enabled"], bool) or not isinstance(wanted, bool | None):
                raise TypeError(f"{name!r} is neither true nor false")
            self._entries[Name(name)] = _Entry(enabled=entry["enabled"], wanted=wanted)

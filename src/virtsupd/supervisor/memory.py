"""What outlives virtsupd: which services are enabled, and what was asked of them in this boot.

Three small JSON files in the state directory, each replaced as a whole. `services.json` says what is
disabled, for ever, and is forced to the disk: that holds up virtsupd for as long as the disk takes,
once for each command that changes it. `wanted.json` says what is wanted, in this boot and before a
shutdown; it is not forced to the disk, since a loss of power ends what it is about. While a shutdown
is under way, it says that too, so that a successor goes on with it.
`timers.json` says which firings of timers are settled and which timers are held, beyond this boot. At
a firing it is not forced to the disk either: a loss of power within seconds of one repeats it; what
is held or released is.
"""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import structlog

from virtsupd.core.effects import Remember
from virtsupd.core.engine import Remembered
from virtsupd.core.events import Instant
from virtsupd.core.host_scope import Phase, ShutdownOrder
from virtsupd.core.jobs import FRESH, Firings
from virtsupd.core.names import Name
from virtsupd.errors import VirtsupdError
from virtsupd.process.lives import epoch
from virtsupd.process.store import StateDirectory, StateFiles

log = structlog.get_logger()

VERSION = 1
"""Of the files."""
_LASTING = "services.json"
_OF_BOOT = "wanted.json"
_TIMERS = "timers.json"
_FOR_EVER = "released"
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class StateFileError(VirtsupdError):
    """The state file exists and cannot be used; the message names it and what to do."""

    code = "bad-state"


@dataclass(slots=True)
class _Entry:
    enabled: bool = True
    wanted: bool | None = None
    by: str = ""
    since: float = 0.0
    firings: Firings = FRESH


class Memory:
    """The state files, read once and written whenever they changed."""

    def __init__(self, files: StateFiles, boot_id: str, life: str) -> None:
        self._files = files
        self._boot_id = boot_id
        self._life = life
        self._order: ShutdownOrder | None = None
        self._entries: dict[Name, _Entry] = {}
        self._is_enabled_new = False
        self._is_wanted_new = False
        self._unwritten: set[Name] = set()
        """Timers of which the file does not say what is known."""
        self._is_hold_new = False

    @classmethod
    def load(cls, state_dir: Path) -> "Memory":
        """Read the files in the state directory, for this boot; as `read`."""
        boot_id = _BOOT_ID.read_text(encoding="ascii").strip()
        return cls.read(StateDirectory(state_dir), boot_id, life=epoch())

    @classmethod
    def read(cls, files: StateFiles, boot_id: str, *, life: str = "") -> "Memory":
        """Read the files; a missing one remembers nothing.

        `boot_id` names this boot of the machine, `life` this one of the host: a container may be
        started anew in the same boot, and a shutdown of its last life is none of this one. A
        `wanted.json` or `timers.json` that cannot be used is logged and remembers nothing either.

        Raises:
            StateFileError: `services.json` cannot be read or is not what virtsupd wrote.
        """
        memory = cls(files, boot_id, life)
        try:
            memory._take_lasting(_content(files, _LASTING))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise StateFileError(
                f"cannot use {files.place(_LASTING)}: {error}; "
                "move it away to forget which services were disabled"
            ) from error
        memory._try(_OF_BOOT, memory._take_of_boot, "what was wanted is not known")
        memory._try(_TIMERS, memory._take_timers, "what timers have missed is not known")
        return memory

    def _try(self, name: str, take: Callable[[dict[str, Any]], None], complaint: str) -> None:
        try:
            take(_content(self._files, name))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            log.warning(complaint, file=self._files.place(name), reason=str(error))

    def remembered(self) -> Mapping[Name, Remembered]:
        """Return what is known, for the engine."""
        return {
            name: Remembered(entry.wanted, entry.enabled, entry.by, entry.since, entry.firings)
            for name, entry in self._entries.items()
        }

    def shutdown_order(self) -> ShutdownOrder | None:
        """Return the shutdown that a predecessor did not bring to its end; None: there is none."""
        return self._order

    def note(self, effect: Remember) -> None:
        """Remember; `flush` writes it down."""
        before = self._entries.get(effect.name, _Entry())
        after = replace(
            before,
            enabled=effect.enabled,
            wanted=effect.wanted,
            by=effect.by,
            since=effect.since,
        )
        self._entries[effect.name] = after
        self._is_enabled_new |= before.enabled != after.enabled
        self._is_wanted_new |= before != after

    def note_shutdown(self, order: ShutdownOrder) -> None:
        """Remember that everything is being stopped; `flush` writes it down."""
        self._is_wanted_new |= order != self._order
        self._order = order

    def note_firings(self, name: Name, firings: Firings) -> None:
        """Remember of a timer; `flush` writes it down."""
        entry = self._entries.setdefault(name, _Entry())
        self._is_hold_new |= entry.firings.held_until != firings.held_until
        entry.firings = firings
        self._unwritten.add(name)

    def is_firing_unwritten(self, name: Name) -> bool:
        """Whether a successor would run what is settled of this timer once more."""
        return name in self._unwritten

    def forget_wanted(self) -> None:
        """After a shutdown: what is wanted at the next start is up to the definitions."""
        self._order = None
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
            content = self._content_of_boot()
            if content:
                self._write(_OF_BOOT, {"boot_id": self._boot_id} | content, is_lasting=False)
            else:
                self._files.remove(_OF_BOOT)
            self._is_wanted_new = False
        if self._unwritten:
            timers = {
                n: _of_firings(e.firings) for n, e in self._entries.items() if e.firings != FRESH
            }
            self._write(_TIMERS, {"services": timers}, is_lasting=self._is_hold_new)
            self._unwritten.clear()
            self._is_hold_new = False

    def _content_of_boot(self) -> dict[str, object]:
        """Return what `wanted.json` says; {} if there is nothing to say.

        By whom stands apart from what, so that a version that does not know of it can read the rest.
        """
        wanted = {n: e for n, e in self._entries.items() if e.wanted is not None}
        content: dict[str, object] = {}
        if wanted or self._order is not None:
            content["services"] = {name: entry.wanted for name, entry in wanted.items()}
            content["by"] = {name: [entry.by, entry.since] for name, entry in wanted.items()}
        if self._order is not None:
            content["shutdown"] = _order_content(self._order) | {"life": self._life}
        return content

    def _write(self, name: str, content: Mapping[str, object], *, is_lasting: bool) -> None:
        text = json.dumps({"version": VERSION} | dict(content), indent=1, sort_keys=True) + "\n"
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
            entry = self._entries.setdefault(Name(name), _Entry())
            by, since = content.get("by", {}).get(name, ("", 0.0))
            entry.wanted, entry.by, entry.since = wanted, str(by), float(since)
        found = content.get("shutdown")
        if found is not None and found["life"] == self._life:
            self._order = _order_of(found)

    def _take_timers(self, content: dict[str, Any]) -> None:
        for name, entry in content["services"].items():
            self._entries.setdefault(Name(name), _Entry()).firings = _firings(entry)


def _order_content(order: ShutdownOrder) -> dict[str, object]:
    return {
        "by": order.by,
        "since": order.since,
        "deadline": [order.deadline.monotonic, order.deadline.wall],
        "phase": order.phase,
        "overdue": order.is_overdue,
        "left": list(order.left),
    }


def _order_of(content: Mapping[str, Any]) -> ShutdownOrder:
    monotonic, wall = content["deadline"]
    deadline = Instant(float(monotonic), float(wall))
    return ShutdownOrder(
        str(content["by"]),
        float(content["since"]),
        deadline,
        Phase(content["phase"]),
        is_overdue=bool(content.get("overdue", False)),
        left=tuple(map(str, content.get("left", ()))),
    )


def _of_firings(firings: Firings) -> dict[str, object]:
    held = firings.held_until
    return {
        "seen": firings.seen,
        "of": firings.of,
        "held_until": _FOR_EVER if held is not None and math.isinf(held) else held,
        "settled_at": firings.settled_at,
        "ahead": firings.ahead,
    }


def _firings(entry: Mapping[str, Any]) -> Firings:
    seen, held = entry["seen"], entry["held_until"]
    return Firings(
        _moment(seen),
        str(entry["of"]),
        math.inf if held == _FOR_EVER else _moment(held),
        _moment(entry.get("settled_at", seen)),  # an earlier version did not tell them apart
        _moment(entry.get("ahead")),
    )


def _moment(value: float | None) -> float | None:
    if value is None:
        return None
    found = float(value)
    if not math.isfinite(found):
        raise ValueError(f"{value!r} is no time")
    return found


def _content(files: StateFiles, name: str) -> dict[str, Any]:
    """Return what a state file says; one that is not there names no service."""
    try:
        content: dict[str, Any] = json.loads(files.read(name))
    except FileNotFoundError:
        return {"services": {}}
    if content["version"] != VERSION:
        raise ValueError(f"version {content['version']!r} is not {VERSION}")
    return content

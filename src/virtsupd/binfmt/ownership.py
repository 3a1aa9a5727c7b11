"""Which entries are ours: a record that is written before each entry is made, and completed after it.

Entries carry no owner. One is ours if it is what the record says we made, and its file has the inode
that it had then; or, where we died before we could look at that, if it is what we were about to make,
and was made just then.
Of another boot or another table nothing is ours. Whoever changes it holds the lock beside it.
"""

import fcntl
import json
import os
import select
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from virtsupd.binfmt.entries import Entry, Identity, Registration
from virtsupd.binfmt.hearing import CutShortError
from virtsupd.errors import VirtsupdError
from virtsupd.process.files import write_atomically

FileState = tuple[int, int, int]
"""Device and inode of a file, and when it was last changed (nanoseconds)."""

_MODE: Final = 0o600
_MAKING_NS: Final = 5_000_000_000
"""From the record of what is to be made until it is made it takes far less."""
_BOOT = Path("/proc/sys/kernel/random/boot_id")
_LOCKS = Path("/proc/locks")
_LOCK_SECONDS: Final = 12.0
"""Longer than the programs of a renewal may run while it is held."""
_STEP_SECONDS: Final = 0.02


@dataclass(frozen=True, slots=True)
class Owned:
    """An entry that we made, or were about to make."""

    registration: Registration
    file: FileState
    """The emulator's file as it was then: with the flag F the kernel holds that one."""
    identity: Identity | None = None
    """Of the entry; None: not known yet."""
    begun: int = 0
    """When it was about to be made, in nanoseconds of the wall clock."""

    def is_it(self, entry: Entry) -> bool:
        """Whether that entry is this one."""
        if self.identity is None:
            is_known = 0 <= entry.changed - self.begun <= _MAKING_NS
        else:
            is_known = self.identity == entry.identity
        return is_known and entry.is_as(self.registration)


@dataclass(frozen=True, slots=True)
class PutBack:
    """How often an entry had to be made again since the service was started."""

    times: int = 0
    at: float = 0.0
    """When last, in seconds of the wall clock."""


@dataclass(slots=True)
class Record:
    """What the file says."""

    device: int
    """Of the table that it speaks of."""
    entries: dict[str, Owned] = field(default_factory=dict)
    """By name of the entry."""
    taken_off: set[str] = field(default_factory=set)
    """Names of platforms that an operator has taken off."""
    put_back: dict[str, PutBack] = field(default_factory=dict)
    """By name of the platform."""
    is_held: bool = False
    """Whether the service was started, and not stopped since."""
    is_of_another: bool = False
    """Whether the file speaks of another table than the one that is there: then no entry is ours."""
    damage: str = ""
    """Why the file was not understood; "" if it was, or was not there."""

    def owns(self, entry: Entry) -> bool:
        """Whether an entry is ours."""
        owned = self.entries.get(entry.name)
        return owned is not None and owned.is_it(entry)


class LockedError(VirtsupdError):
    """Somebody else works on the table, for longer than anything takes; the message names him."""

    code = "record-locked"

    def __init__(self, lock: Path, status: os.stat_result, seconds: float) -> None:
        super().__init__(f"{lock}: locked for more than {seconds:g} s by {_holder_of(status)}")


def has_entries(path: Path) -> bool:
    """Whether a record tells of entries since this boot, whatever is mounted now."""
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        return said["boot"] == _boot() and bool(said["entries"])
    except (OSError, ValueError, LookupError, TypeError):
        return False


class RecordFile:
    """Where the record is, for a table."""

    def __init__(self, path: Path, directory: Path, seconds: float = _LOCK_SECONDS) -> None:
        """Speak of the table that is mounted at `directory`; the file's own directory is ours alone.

        For the lock it is waited so many seconds.
        """
        self._path, self._directory, self._seconds = path, directory, seconds
        self._lock = path.with_name(f"{path.name}.lock")

    @contextmanager
    def locked(self, until: int | None = None) -> Iterator[Record]:
        """Lend the record to whoever changes it or the table; what is to last, he saves.

        For the lock it is waited no longer when the descriptor `until` can be read.

        Raises:
            CutShortError: it could be read before there was a lock.
            LockedError: somebody else has had it all the time.
            OSError: it cannot be locked, or the table is not there.
        """
        lock = self._locked(until)
        try:
            yield self.read()
        finally:
            if not self._path.exists():
                self._lock.unlink(missing_ok=True)
            os.close(lock)

    def _locked(self, until: int | None) -> int:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        deadline = time.monotonic() + self._seconds
        while True:
            lock = os.open(self._lock, flags, _MODE)
            is_ours = False
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                with suppress(FileNotFoundError):
                    # Who held it before may have removed it.
                    is_ours = os.path.samestat(os.fstat(lock), self._lock.lstat())
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise LockedError(self._lock, os.fstat(lock), self._seconds) from None
                watched = [] if until is None else [until]
                if select.select(watched, [], [], _STEP_SECONDS)[0]:
                    raise CutShortError(f"{self._lock}: not waited for any longer") from None
            finally:
                if not is_ours:
                    os.close(lock)
            if is_ours:
                return lock

    def read(self) -> Record:
        """Return what the record says now.

        Of another table no entry is ours; of another boot, or damaged, it says nothing at all.

        Raises:
            OSError: the table is not there.
        """
        device = self._directory.stat().st_dev
        try:
            said = json.loads(self._path.read_text(encoding="utf-8"))
            if said["boot"] != _boot():
                return Record(device)
            record = _record(said, device)
            if said["device"] != device:
                record.entries.clear()
                record.is_of_another = True
        except FileNotFoundError:
            return Record(device)
        except (
            OSError,
            ArithmeticError,
            ValueError,
            LookupError,
            TypeError,
            AttributeError,
        ) as why:
            return Record(
                device, damage=f"{self._path}: not understood, so no entry is ours: {why}"
            )
        return record

    def save(self, record: Record) -> None:
        """Write it; readers see the old one or the new one. There is none while nothing is held.

        Raises:
            OSError: the old one is there.
        """
        if not record.is_held and not record.entries:
            self._path.unlink(missing_ok=True)
            return
        said = {
            "boot": _boot(),
            "device": record.device,
            "entries": {name: _said(owned) for name, owned in record.entries.items()},
            "taken_off": sorted(record.taken_off),
            "put_back": {name: [back.times, back.at] for name, back in record.put_back.items()},
            "is_held": record.is_held,
        }
        write_atomically(self._path, json.dumps(said).encode(), mode=_MODE)


def _holder_of(status: os.stat_result) -> str:
    """Say which process has the lock of a file, and what can be done about it."""
    device, inode = status.st_dev, status.st_ino
    file = f"{os.major(device):02x}:{os.minor(device):02x}:{inode}"
    held = (words for line in _lines(_LOCKS) if "FLOCK" in (words := line.split()))
    pid = next((words[-4] for words in held if words[-3] == file and "->" not in words), None)
    if pid is None:
        return "a process that cannot be seen from here"
    state = next(
        (one for one in _lines(Path(f"/proc/{pid}/status")) if one.startswith("State:")), ""
    )
    if "stopped" in state or "tracing" in state:
        return f"process {pid}, which is stopped: kill -CONT {pid} has it go on"
    return f"process {pid}; if it hangs, kill {pid} ends it, and nothing is lost"


def _lines(path: Path) -> Sequence[str]:
    try:
        return path.read_text(errors="replace").splitlines()
    except OSError:
        return ()


def _boot() -> str:
    return _BOOT.read_text(encoding="ascii").strip()


def _said(owned: Owned) -> dict[str, object]:
    wanted = owned.registration
    return {
        "magic": wanted.magic.hex(),
        "mask": wanted.mask.hex(),
        "interpreter": wanted.interpreter,
        "flags": wanted.flags,
        "file": owned.file,
        "identity": owned.identity,
        "begun": owned.begun,
    }


def _record(said: dict[str, Any], device: int) -> Record:
    return Record(
        device=device,
        entries={name: _owned(name, one) for name, one in said["entries"].items()},
        taken_off=set(map(str, said["taken_off"])),
        put_back={n: PutBack(int(times), float(at)) for n, (times, at) in said["put_back"].items()},
        is_held=bool(said["is_held"]),
    )


def _owned(name: str, said: dict[str, Any]) -> Owned:
    if not name or "/" in name:
        raise ValueError(f"{name!r} is no name of an entry")
    magic, mask = bytes.fromhex(said["magic"]), bytes.fromhex(said["mask"])
    identity = said["identity"]
    return Owned(
        Registration(name, magic, mask, str(said["interpreter"]), str(said["flags"])),
        _file_state(*said["file"]),
        None if identity is None else _identity(*identity),
        int(said["begun"]),
    )


def _file_state(device: int, inode: int, changed: int) -> FileState:
    return device, inode, changed


def _identity(device: int, inode: int) -> Identity:
    return device, inode

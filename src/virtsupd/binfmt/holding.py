"""Our entries in the kernel's table: made all or none, put back, renewed without a gap, taken away.

An entry that is not ours is never changed, whatever its name. What is done to the table is written down
before it is done, so that after a death at any point the next call knows what it finds.
"""

import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from pathlib import Path
from typing import Final

from virtsupd.binfmt.entries import BinfmtError, Entry, Instance, Registration
from virtsupd.binfmt.interpreters import InterpreterError, find
from virtsupd.binfmt.matching import platforms_taken
from virtsupd.binfmt.ownership import FileState, Owned, PutBack, Record, RecordFile
from virtsupd.binfmt.platforms import QemuPlatform
from virtsupd.binfmt.settings import Settings
from virtsupd.errors import VirtsupdError

_SPARE: Final = ".new"
"""Ends the name of the entry that serves while the one of the right name is renewed."""


class HoldError(VirtsupdError):
    """The platforms cannot all be entered; the message names one and the next step."""

    code = "not-registered"


class Standing(Enum):
    """What is found under the name of a platform's entry."""

    ABSENT = auto()
    OURS = auto()
    OFF = auto()
    """Ours, and switched off."""
    OLD = auto()
    """Ours, made as it would not be made now."""
    EQUAL = auto()
    """Somebody else's, made as ours would be."""
    FOREIGN = auto()


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be entered for a platform."""

    platform: QemuPlatform
    registration: Registration
    file: FileState
    """The emulator's file."""


@dataclass(slots=True)
class Found:
    """What a look at the table found, and what was done about it. By name of the platform."""

    put_back: list[str] = field(default_factory=list)
    renewed: list[str] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)
    """What is not registered as it should be, and why."""
    remarks: dict[str, str] = field(default_factory=dict)
    """What is registered, and what there is to know about that."""
    taken_off: list[str] = field(default_factory=list)
    counts: dict[str, PutBack] = field(default_factory=dict)
    is_on: bool = True
    """Whether the table as a whole is switched on."""


class Holder:
    """What one virtsupd enters in one table."""

    def __init__(self, settings: Settings, now: Callable[[], float] = time.time) -> None:
        """Prepare; nothing is looked at yet. `now` is the wall clock."""
        directory = Path(settings.directory)
        self.settings = settings
        self.table = Instance(directory)
        self._now = now
        self._file = RecordFile(Path(settings.record), directory)

    def put_all(self, *, is_start: bool = False) -> None:
        """Enter all platforms that are not taken off, and take away what is no longer wanted.

        At a start nothing is taken off, and nothing was ever put back.

        Raises:
            HoldError: nothing was entered that was not there before.
            OSError: the same, or the record cannot be kept.
        """
        with self._file.locked() as record:
            if is_start:
                record.taken_off.clear()
                record.put_back.clear()
            every = [self._wanted(platform) for platform in self._held(record)]
            self._refuse_foreign(record, every)
            made: list[str] = []
            for wanted in every:
                try:
                    made += self._see_to(record, wanted)
                except (BinfmtError, OSError) as error:
                    for name in made:
                        self._drop(record, name)
                    raise HoldError(f"{wanted.platform.name!r} not entered: {error}") from error
            for name in record.entries.keys() - {wanted.registration.name for wanted in every}:
                self._drop(record, name)
            self._file.save(record)

    def look(self, paused: Iterable[str] = (), *, may_renew: bool = True) -> Found:
        """Put back what is missing, but for the platforms of `paused`; return what there is to tell.

        With `may_renew`, an entry whose emulator has been replaced is renewed.

        Raises:
            OSError: the table is not there, or the record cannot be kept.
        """
        with self._file.locked() as record:
            found = Found(is_on=self.table.is_on(), taken_off=sorted(record.taken_off))
            for platform in self._held(record):
                if platform.name in paused:
                    found.missing[platform.name] = "somebody keeps removing it"
                else:
                    self._repair(record, platform, found, may_renew=may_renew)
            found.counts = dict(record.put_back)
            self._add_rivals(record, found)
            return found

    def take_off(self, platforms: Sequence[QemuPlatform]) -> None:
        """Take platforms away until they are put on again, or all are entered anew.

        Raises:
            OSError: the kernel refuses it, or the record cannot be kept.
        """
        with self._file.locked() as record:
            record.taken_off |= {platform.name for platform in platforms}
            self._file.save(record)
            for platform in platforms:
                self._drop(record, platform.entry)

    def put_on(self, platforms: Sequence[QemuPlatform]) -> None:
        """Enter platforms that were taken off.

        Raises:
            HoldError: nothing was entered.
            OSError: the record cannot be kept.
        """
        with self._file.locked() as record:
            before = set(record.taken_off)
            record.taken_off -= {platform.name for platform in platforms}
            self._file.save(record)
        try:
            self.put_all()
        except HoldError:
            with self._file.locked() as record:
                record.taken_off |= before
                self._file.save(record)
            raise

    def take_all_away(self) -> None:
        """Take away every entry that is ours.

        Raises:
            OSError: the kernel refuses it, or the record cannot be kept.
        """
        with self._file.locked() as record:
            for name in tuple(record.entries):
                self._drop(record, name)

    def held(self) -> Sequence[QemuPlatform]:
        """Return the platforms that are to be registered now."""
        return self._held(self._file.read())

    def _held(self, record: Record) -> Sequence[QemuPlatform]:
        return [one for one in self.settings.known if one.name not in record.taken_off]

    def _wanted(self, platform: QemuPlatform) -> Wanted:
        try:
            path = find(platform, self.settings.qemu, is_fixed=self.settings.is_fixed)
        except InterpreterError as error:
            raise HoldError(str(error)) from error
        file = os.stat(path)  # noqa: PTH116 - a string
        registration = Registration(
            platform.entry, platform.magic, platform.mask, path, self.settings.flags
        )
        return Wanted(platform, registration, (file.st_dev, file.st_ino, file.st_ctime_ns))

    def _standing(self, record: Record, wanted: Wanted, entry: Entry | None) -> Standing:
        if entry is None:
            return Standing.ABSENT
        is_as = entry.is_as(wanted.registration)
        if not record.owns(entry):
            return Standing.EQUAL if is_as and entry.is_enabled else Standing.FOREIGN
        is_old = self.settings.is_fixed and record.entries[entry.name].file != wanted.file
        if is_old or not is_as:
            return Standing.OLD
        return Standing.OURS if entry.is_enabled else Standing.OFF

    def _refuse_foreign(self, record: Record, every: Iterable[Wanted]) -> None:
        for wanted in every:
            entry = self.table.entry(wanted.registration.name)
            if entry is not None and self._standing(record, wanted, entry) is Standing.FOREIGN:
                raise HoldError(f"{wanted.platform.name!r}: {whose(entry)}")

    def _see_to(self, record: Record, wanted: Wanted) -> list[str]:
        """Have it registered; return the names of the entries that this made."""
        name = wanted.registration.name
        entry = self.table.entry(name)
        match self._standing(record, wanted, entry), entry:
            case Standing.ABSENT, _:
                self._enter(record, wanted)
                return [name]
            case Standing.OFF, Entry():
                self.table.switch_on(entry)
            case Standing.OLD, Entry():
                self._renew(record, wanted, entry)
            case Standing.OURS, Entry():
                owned = replace(record.entries[name], identity=entry.identity)
                if owned != record.entries[name]:  # begun when we died, and made
                    record.entries[name] = owned
                    self._file.save(record)
            case Standing.FOREIGN, Entry():
                raise BinfmtError(whose(entry))
            case _:
                pass
        return []

    def _enter(self, record: Record, wanted: Wanted) -> None:
        name = wanted.registration.name
        record.entries[name] = Owned(wanted.registration, wanted.file)
        self._file.save(record)
        try:
            self.table.register(wanted.registration)
        except BinfmtError:
            del record.entries[name]
            self._file.save(record)
            raise
        entry = self.table.entry(name)
        if entry is not None:
            record.entries[name] = replace(record.entries[name], identity=entry.identity)
            self._file.save(record)

    def _renew(self, record: Record, wanted: Wanted, old: Entry) -> None:
        """Have a spare entry serve meanwhile: of two that fit, the kernel takes the newer one."""
        name = wanted.registration.name
        spare = replace(wanted, registration=replace(wanted.registration, name=name + _SPARE))
        self._drop(record, spare.registration.name)
        self._enter(record, spare)
        self.table.remove(old)
        self._enter(record, wanted)
        self._drop(record, spare.registration.name)

    def _drop(self, record: Record, name: str) -> None:
        entry = self.table.entry(name)
        if entry is not None and record.owns(entry):
            self.table.remove(entry)
        if record.entries.pop(name, None) is not None:
            self._file.save(record)

    def _repair(
        self, record: Record, platform: QemuPlatform, found: Found, *, may_renew: bool
    ) -> None:
        name, entry = platform.name, self.table.entry(platform.entry)
        try:
            wanted = self._wanted(platform)
            standing = self._standing(record, wanted, entry)
            if standing in (Standing.ABSENT, Standing.OFF):
                self._see_to(record, wanted)
                back = record.put_back.get(name, PutBack())
                record.put_back[name] = PutBack(back.times + 1, self._now())
                self._file.save(record)
                found.put_back.append(name)
            elif standing is Standing.OLD and may_renew:
                self._see_to(record, wanted)
                found.renewed.append(name)
            elif standing is Standing.EQUAL:
                found.remarks[name] = "registered by somebody else, just so"
            elif standing is Standing.FOREIGN and entry is not None:
                found.missing[name] = whose(entry)
        except (HoldError, BinfmtError) as error:
            served = entry is not None and record.owns(entry) and entry.is_enabled
            (found.remarks if served else found.missing)[name] = str(error)

    def _add_rivals(self, record: Record, found: Found) -> None:
        """Note who else takes the programs of our platforms."""
        names = {platform.name: platform.entry for platform in self._held(record)}
        ours = set(names.values()) | set(record.entries)
        for entry in self.table.entries():
            if entry.name in ours or not entry.is_enabled:
                continue
            for name in names.keys() & set(platforms_taken(entry)):
                text = f"{entry.name} of somebody else takes its programs, too: {entry.interpreter}"
                found.remarks.setdefault(name, text)


def whose(entry: Entry) -> str:
    """Say of a foreign entry what it is and what can be done about it."""
    state = "" if entry.is_enabled else ", switched off"
    return (
        f"{entry.name} is registered by somebody else (interpreter {entry.interpreter}, "
        f"flags {entry.flags or 'none'}{state}); take it out there (update-binfmts --disable "
        f"{entry.name}, or a file of binfmt.d), or take it out of platforms"
    )

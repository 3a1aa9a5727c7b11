"""One change of the kernel's table: what is done to it is written down before it is done.

So whoever comes after a death at any point knows what he finds. An entry that is not ours is never
changed, whatever its name.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Final

from virtsupd.binfmt.entries import BinfmtError, Entry, Instance, Registration
from virtsupd.binfmt.foreign import whose
from virtsupd.binfmt.hearing import CutShortError
from virtsupd.binfmt.ownership import FileState, Owned, Record, RecordFile
from virtsupd.binfmt.platforms import QemuPlatform
from virtsupd.binfmt.proving import prove

_CLOCK_REALTIME_COARSE: Final = 5
"""Of time.h: the clock whose times the kernel gives to files, which may lag behind the finer one."""
_SPARE: Final = ".new"
"""Ends the name of the entry that serves while the one of the right name is renewed."""


class Standing(Enum):
    """What is found under the name of a platform's entry."""

    ABSENT = auto()
    OURS = auto()
    OFF = auto()
    """Ours, new or old, and switched off."""
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
    """The emulator's file, if the kernel keeps the one that it finds now."""


class Entering:
    """A change of the table by who holds the lock of the record."""

    def __init__(
        self, table: Instance, file: RecordFile, record: Record, until: int | None = None
    ) -> None:
        """Work on the record that the file has lent; proofs are cut short when `until` is readable."""
        self.record = record
        self._table = table
        self._file = file
        self._until = until

    def save(self) -> None:
        """Write the record.

        Raises:
            OSError: the old one is there.
        """
        self._file.save(self.record)

    def standing(self, wanted: Wanted, entry: Entry | None) -> Standing:
        """Return what the entry is that was found under that name."""
        if entry is None:
            return Standing.ABSENT
        is_as = entry.is_as(wanted.registration)
        if not self.record.owns(entry):
            return Standing.EQUAL if is_as and entry.is_enabled else Standing.FOREIGN
        if not entry.is_enabled:
            return Standing.OFF
        is_new = is_as and self.record.entries[entry.name].file == wanted.file
        return Standing.OURS if is_new else Standing.OLD

    def see_to(self, wanted: Wanted) -> bool:
        """Have it registered, an old entry of ours left as it is; return whether there was none before.

        Raises:
            BinfmtError: the kernel refuses it, or somebody else's entry is in the way.
            OSError: the record cannot be kept.
        """
        name = wanted.registration.name
        entry = self._table.entry(name)
        match self.standing(wanted, entry), entry:
            case Standing.ABSENT, _:
                self._enter(wanted)
                return True
            case Standing.OFF, Entry():
                self._table.switch_on(entry)
            case Standing.OURS, Entry():
                self._complete(name, entry)
            case Standing.FOREIGN, Entry():
                raise BinfmtError(whose(entry, self._table.directory))
            case _:
                pass
        return False

    def drop(self, *names: str) -> None:
        """Take away those of the entries that are ours, and what serves in their place.

        Raises:
            OSError: the kernel refuses it, or the record cannot be kept. All were tried.
        """
        refusals = []
        for name in (*names, *(f"{name}{_SPARE}" for name in names)):
            try:
                self._drop_one(name)
            except OSError as error:
                refusals.append(error)
        self.save()
        if refusals:
            raise refusals[0]

    def _drop_one(self, name: str) -> None:
        entry = self._table.entry(name)
        if entry is not None and self.record.owns(entry):
            self._table.remove(entry)
        self.record.entries.pop(name, None)

    def is_old(self, wanted: Wanted) -> bool:
        """Whether an entry of ours is there that would not be made so now."""
        return self.standing(wanted, self._table.entry(wanted.registration.name)) is Standing.OLD

    def renew(self, every: Sequence[Wanted], *, is_one_for_all: bool = False) -> Mapping[str, str]:
        """Replace old entries of ours; return by platform why one was not, and serves on.

        With `is_one_for_all` none is replaced if one cannot be. Meanwhile a spare entry serves for
        each: of two that fit, the kernel takes the newer one.

        Raises:
            CutShortError: nothing was replaced.
            BinfmtError: the kernel takes the spare entry, and not the one that is to follow it.
            OSError: the record cannot be kept.
        """
        refused: dict[str, str] = {}
        for wanted in every:
            try:
                self._enter_spare(wanted)
            except BinfmtError as error:
                refused[wanted.platform.name] = str(error)
        entered = [one for one in every if one.platform.name not in refused]
        try:
            found = prove((one.platform for one in entered), until=self._until)
        except CutShortError:
            self.drop_spares()
            raise
        reasons = {name: why for name, why in found.items() if why}
        refused |= {name: f"its programs do not run ({why})" for name, why in reasons.items()}
        for wanted in entered:
            name = wanted.registration.name
            if wanted.platform.name not in refused and not (refused and is_one_for_all):
                self._drop_one(name)
                self._enter(wanted)
        self.drop_spares()
        return {
            one.platform.name: f"{one.registration.interpreter} is another file now, or to be entered "
            f"otherwise, and {refused[one.platform.name]}; the entry made before serves on"
            for one in every
            if one.platform.name in refused
        }

    def drop_spares(self) -> None:
        """Take away what a renewal needed, also one that died; not where nothing else serves.

        Raises:
            OSError: the kernel refuses it, or the record cannot be kept.
        """
        spares = [name for name in self.record.entries if name.endswith(_SPARE)]
        idle = [one for one in spares if self._table.entry(one.removesuffix(_SPARE)) is not None]
        for name in idle:
            self._drop_one(name)
        if idle:
            self.save()

    def _complete(self, name: str, entry: Entry) -> None:
        """Write down which entry it is that we made: we may have died before that."""
        owned = self.record.entries[name]
        if owned.identity != entry.identity:
            self.record.entries[name] = replace(owned, identity=entry.identity)
            self.save()

    def _enter(self, wanted: Wanted) -> None:
        name = wanted.registration.name
        begun = time.clock_gettime_ns(_CLOCK_REALTIME_COARSE)
        self.record.entries[name] = Owned(wanted.registration, wanted.file, begun=begun)
        self.save()
        try:
            self._table.register(wanted.registration)
        except BinfmtError:
            del self.record.entries[name]
            self.save()
            raise
        entry = self._table.entry(name)
        if entry is not None:
            self._complete(name, entry)

    def _enter_spare(self, wanted: Wanted) -> None:
        name = wanted.registration.name + _SPARE
        self._drop_one(name)
        self._enter(replace(wanted, registration=replace(wanted.registration, name=name)))

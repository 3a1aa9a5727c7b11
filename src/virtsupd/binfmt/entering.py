"""One change of the kernel's table: what is done to it is written down before it is done.

So whoever comes after a death at any point knows what he finds. An entry that is not ours is never
changed, whatever its name.
"""

from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Final

from virtsupd.binfmt.entries import BinfmtError, Entry, Instance, Registration
from virtsupd.binfmt.foreign import whose
from virtsupd.binfmt.ownership import FileState, Owned, Record, RecordFile
from virtsupd.binfmt.platforms import QemuPlatform
from virtsupd.binfmt.proving import prove

_SPARE: Final = ".new"
"""Ends the name of the entry that serves while the one of the right name is renewed."""


class NotRenewedError(BinfmtError):
    """Programs would not run with a renewed entry; the one before serves on."""


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

    def __init__(self, table: Instance, file: RecordFile, record: Record) -> None:
        """Work on the record that the file has lent."""
        self.record = record
        self._table = table
        self._file = file

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
        """Have it registered; return whether there was no entry before.

        Raises:
            NotRenewedError: programs do not run as it is now wanted; the entry before is there.
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
            case Standing.OLD, Entry():
                self._renew(wanted, entry)
            case Standing.OURS, Entry():
                self._complete(name, entry)
            case Standing.FOREIGN, Entry():
                raise BinfmtError(whose(entry, self._table.directory))
            case _:
                pass
        return False

    def drop(self, *names: str) -> None:
        """Take away those of the entries that are ours.

        Raises:
            OSError: the kernel refuses it, or the record cannot be kept. All were tried.
        """
        refusals = []
        for name in names:
            try:
                entry = self._table.entry(name)
                if entry is not None and self.record.owns(entry):
                    self._table.remove(entry)
                self.record.entries.pop(name, None)
            except OSError as error:
                refusals.append(error)
        self.save()
        if refusals:
            raise refusals[0]

    def _complete(self, name: str, entry: Entry) -> None:
        """Write down which entry it is that we made: we may have died before that."""
        owned = self.record.entries[name]
        if owned.identity != entry.identity:
            self.record.entries[name] = replace(owned, identity=entry.identity)
            self.save()

    def _enter(self, wanted: Wanted) -> None:
        name = wanted.registration.name
        self.record.entries[name] = Owned(wanted.registration, wanted.file)
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

    def _renew(self, wanted: Wanted, old: Entry) -> None:
        """Have a spare entry serve meanwhile: of two that fit, the kernel takes the newer one."""
        name = wanted.registration.name
        spare = replace(wanted, registration=replace(wanted.registration, name=name + _SPARE))
        self.drop(spare.registration.name)
        self._enter(spare)
        why = prove([wanted.platform])[wanted.platform.name]
        if why:
            self.drop(spare.registration.name)
            raise NotRenewedError(
                f"{wanted.registration.interpreter} is another file now with which its programs do not "
                f"run ({why}); the entry made before serves on"
            )
        self._table.remove(old)
        self._enter(wanted)
        self.drop(spare.registration.name)

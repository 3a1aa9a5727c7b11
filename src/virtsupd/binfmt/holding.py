"""Our entries in the kernel's table: made all or none, put back, renewed without a gap, taken away."""

import os
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from virtsupd.binfmt.entering import Entering, Standing, Wanted
from virtsupd.binfmt.entries import BinfmtError, Entry, Instance, Registration
from virtsupd.binfmt.foreign import lost, whose
from virtsupd.binfmt.hearing import CutShortError
from virtsupd.binfmt.interpreters import InterpreterError, find
from virtsupd.binfmt.matching import platforms_taken
from virtsupd.binfmt.ownership import PutBack, Record, RecordFile
from virtsupd.binfmt.platforms import QemuPlatform
from virtsupd.binfmt.proving import prove
from virtsupd.binfmt.settings import Settings
from virtsupd.errors import VirtsupdError

_ANY_FILE = (0, 0, 0)
"""Stands for an emulator that the kernel opens each time, whatever it is by then."""


class HoldError(VirtsupdError):
    """The platforms cannot all be entered; the message names one and the next step."""

    code = "not-registered"


@dataclass(slots=True)
class Found:
    """What a look at the table found, and what was done about it. By name of the platform."""

    put_back: list[str] = field(default_factory=list)
    renewed: list[str] = field(default_factory=list)
    foreign: dict[str, str] = field(default_factory=dict)
    """Under whose name somebody else has entered something, and what: it may serve."""
    lost: dict[str, str] = field(default_factory=dict)
    """What does not work with an entry of somebody else's that may serve."""
    missing: dict[str, str] = field(default_factory=dict)
    """What is not registered as it should be, and why."""
    remarks: dict[str, str] = field(default_factory=dict)
    """What is registered, and what there is to know about that."""
    taken_off: list[str] = field(default_factory=list)
    counts: dict[str, PutBack] = field(default_factory=dict)
    is_on: bool = True
    """Whether the table as a whole is switched on."""
    damage: str = ""
    """Why the record was not understood."""


@dataclass(frozen=True, slots=True)
class _Look:
    work: Entering
    found: Found
    paused: Mapping[str, str]
    may_renew: bool
    old: list[Wanted] = field(default_factory=list)
    """What is to be renewed."""


class Holder:
    """What one virtsupd enters in one table."""

    def __init__(
        self,
        settings: Settings,
        now: Callable[[], float] = time.time,
        *,
        device: int | None = None,
        until: int | None = None,
    ) -> None:
        """Prepare; nothing is looked at yet. `now` is the wall clock, `device` that of the table held.

        When the descriptor `until` can be read, no proof goes on and no lock is waited for, but to
        take all away: what is begun raises CutShortError then, or is left for another time.
        """
        directory = Path(settings.directory)
        self.settings = settings
        self.table = Instance(directory)
        self.device = device
        """Of the table that is held, the only one that is written to; None: the one that is there."""
        self._until = until
        self._now = now
        self._file = RecordFile(Path(settings.record), directory)
        self._refused: dict[Wanted, str] = {}
        """With what an entry was not renewed, and why: it is not tried again and again."""

    def take_table(self) -> None:
        """Hold the table that is there now, and write to no other one from here on.

        Raises:
            OSError: there is none.
        """
        self.device = self.table.directory.stat().st_dev

    def has_table(self) -> bool:
        """Whether the table that is held is still there."""
        try:
            found = (self.table.directory / "status").stat().st_dev
        except OSError:
            return False
        return found == self.device

    def start(self) -> str:
        """Enter all platforms: none is taken off any more, and none was ever put back.

        After a process that died while it held them, what was taken off stays so.
        Return why an older record was not understood, "" if it was.

        Raises:
            CutShortError: nothing was entered that was not there before.
            HoldError: the same.
            OSError: the same, or the record cannot be kept.
        """
        with self._lent() as work:
            if not work.record.is_held:
                work.record.taken_off.clear()
                work.record.put_back.clear()
            work.record.is_held = True
            self._put_all(work)
            return work.record.damage

    def put_all(self) -> None:
        """Enter all platforms that are not taken off, and take away what is no longer wanted.

        Raises:
            CutShortError: nothing was entered that was not there before.
            HoldError: the same.
            OSError: the same, or the record cannot be kept.
        """
        with self._lent() as work:
            self._put_all(work)

    def look(self, paused: Mapping[str, str] | None = None, *, may_renew: bool = True) -> Found:
        """Put back what is missing and return what there is to tell.

        Platforms of `paused` are left alone, with the reason that is there. With `may_renew`, an
        entry whose emulator has been replaced is renewed.

        Raises:
            CutShortError: somebody else has the lock, and nothing was looked at.
            OSError: the table is not there, or the record cannot be kept.
        """
        with self._lent() as work:
            record = work.record
            found = Found(is_on=self.table.is_on(), damage=record.damage)
            look = _Look(work, found, paused or {}, may_renew and found.is_on)
            for platform in self._held(record):
                self._repair(look, platform)
            self._renew(look)
            work.drop_spares()
            if found.put_back:
                work.save()
            found.taken_off = sorted(record.taken_off)
            found.counts = dict(record.put_back)
            self._add_rivals(record, found)
            return found

    def take_off(self, platforms: Sequence[QemuPlatform]) -> None:
        """Take platforms away until they are put on again, or the service starts again.

        Raises:
            HoldError: the service is not started.
            OSError: the kernel refuses it, or the record cannot be kept.
        """
        with self._lent() as work:
            _check_started(work.record)
            work.record.taken_off |= {platform.name for platform in platforms}
            work.save()
            work.drop(*(platform.entry for platform in platforms))

    def put_on(self, platforms: Sequence[QemuPlatform]) -> None:
        """Enter platforms that were taken off, and run a program of each.

        Raises:
            HoldError: one cannot be entered, or its program does not run: all are off as before.
            OSError: the record cannot be kept.
        """
        with self._lent() as work:
            _check_started(work.record)
            before = set(work.record.taken_off)
            work.record.taken_off -= {platform.name for platform in platforms}
            try:
                self._put_all(work)
            except HoldError:
                work.record.taken_off = before
                work.save()
                raise
        for name, why in prove(platforms).items():
            if why:
                self.take_off([platform for platform in platforms if platform.name in before])
                raise HoldError(f"{name!r} not entered: its programs do not run: {why}")

    def take_all_away(self) -> None:
        """Take away every entry that is ours.

        Raises:
            OSError: the kernel refuses it, or the record cannot be kept.
        """
        with self._lent(is_stopping=True) as work:
            work.record.is_held = False
            work.drop(*work.record.entries)

    def held(self) -> Sequence[QemuPlatform]:
        """Return the platforms that are to be registered now."""
        return self._held(self._file.read())

    @contextmanager
    def _lent(self, *, is_stopping: bool = False) -> Iterator[Entering]:
        until = None if is_stopping else self._until
        with self._file.locked(until) as record:
            if self.device not in (None, record.device):
                raise HoldError(f"another table is mounted at {self.table.directory} than is held")
            yield Entering(self.table, self._file, record, until)

    def _held(self, record: Record) -> Sequence[QemuPlatform]:
        return [one for one in self.settings.known if one.name not in record.taken_off]

    def _wanted(self, platform: QemuPlatform) -> Wanted:
        try:
            path = find(platform, self.settings.qemu, is_fixed=self.settings.is_fixed)
            file = os.stat(path)  # noqa: PTH116 - a string
        except InterpreterError as error:
            raise HoldError(str(error)) from error
        except OSError as error:  # it was removed since
            raise HoldError(f"{platform.name!r}: {error.filename}: {error.strerror}") from error
        state = (file.st_dev, file.st_ino, file.st_ctime_ns)
        registration = Registration(
            platform.entry, platform.magic, platform.mask, path, self.settings.flags
        )
        return Wanted(platform, registration, state if self.settings.is_fixed else _ANY_FILE)

    def _put_all(self, work: Entering) -> None:
        every = [self._wanted(platform) for platform in self._held(work.record)]
        foreign = self._foreign(work, every)
        made: list[str] = []
        for wanted in every:
            try:
                if wanted.platform not in foreign and work.see_to(wanted):
                    made.append(wanted.registration.name)
            except (BinfmtError, OSError) as error:
                work.drop(*made)
                raise HoldError(f"{wanted.platform.name!r} not entered: {error}") from error
        try:
            refused = work.renew([one for one in every if work.is_old(one)], is_one_for_all=True)
        except CutShortError:
            work.drop(*made)
            raise
        except (BinfmtError, OSError) as error:
            work.drop(*made)
            raise HoldError(f"not all entered: {error}") from error
        for name, why in refused.items():
            work.drop(*made)
            raise HoldError(f"{name!r} not entered: {why}")
        work.drop(*(work.record.entries.keys() - {one.registration.name for one in every}))

    def _foreign(self, work: Entering, every: Sequence[Wanted]) -> Collection[QemuPlatform]:
        """Return the platforms that run by entries of somebody else under our names.

        Raises:
            HoldError: with such an entry programs do not run.
        """
        others: dict[str, tuple[QemuPlatform, Entry]] = {}
        for wanted in every:
            entry = self.table.entry(wanted.registration.name)
            if entry is not None and work.standing(wanted, entry) is Standing.FOREIGN:
                others[wanted.platform.name] = wanted.platform, entry
        platforms = [platform for platform, _ in others.values()]
        for name, why in prove(platforms, until=self._until).items():
            if why:
                way = whose(others[name][1], self.table.directory)
                raise HoldError(f"{name!r}: its programs do not run: {why}; {way}")
        return platforms

    def _repair(self, look: _Look, platform: QemuPlatform) -> None:
        name, entry, found = platform.name, self.table.entry(platform.entry), look.found
        try:
            wanted = self._wanted(platform)
            match look.work.standing(wanted, entry), entry:
                case ((Standing.ABSENT | Standing.OFF), _):
                    self._put_back(look, wanted)
                case Standing.OLD, _:
                    look.old.append(wanted)
                case Standing.EQUAL, _:
                    found.remarks[name] = "registered by somebody else, just so"
                case Standing.FOREIGN, Entry(is_enabled=True):
                    found.foreign[name] = whose(entry, self.table.directory)
                    if without := lost(entry, self.settings.flags):
                        found.lost[name] = without
                case Standing.FOREIGN, Entry():
                    found.missing[name] = whose(entry, self.table.directory)
                case _:
                    pass
        except (HoldError, BinfmtError) as error:
            serves = entry is not None and entry.is_enabled and look.work.record.owns(entry)
            (found.remarks if serves else found.missing)[name] = str(error)

    def _put_back(self, look: _Look, wanted: Wanted) -> None:
        name, record = wanted.platform.name, look.work.record
        if name in look.paused:
            look.found.missing[name] = look.paused[name]
            return
        look.work.see_to(wanted)
        times = record.put_back.get(name, PutBack()).times + 1
        record.put_back[name] = PutBack(times, self._now())
        look.found.put_back.append(name)

    def _renew(self, look: _Look) -> None:
        """Renew what is old, all at once, but for what was tried in vain before."""
        found, work = look.found, look.work
        old = [one for one in look.old if one not in self._refused] if look.may_renew else []
        try:
            refused = work.renew(old)
        except CutShortError:
            return  # they are old at the next look, too
        except BinfmtError as error:
            found.missing.update((one.platform.name, str(error)) for one in old)
            return
        for wanted in old:
            name = wanted.platform.name
            if name in refused:
                self._refused[wanted] = refused[name]
            else:
                found.renewed.append(name)
        found.remarks.update(
            (one.platform.name, self._refused[one]) for one in look.old if one in self._refused
        )

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


def _check_started(record: Record) -> None:
    if not record.is_held:
        raise HoldError("the service is not started; its start enters all platforms")
    if record.is_of_another:
        raise HoldError("the table that the service holds is not the one that is mounted here")

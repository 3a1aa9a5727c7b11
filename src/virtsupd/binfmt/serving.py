"""The process that holds entries: it makes them, shows that they work, and sees to it that they stay."""

import select
import time
from collections.abc import Collection, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

from virtsupd.binfmt.entries import BinfmtError
from virtsupd.binfmt.hearing import CutShortError, Hearing
from virtsupd.binfmt.holding import Found, Holder, HoldError
from virtsupd.binfmt.interpreters import DIRECTORIES
from virtsupd.binfmt.mount import see_to
from virtsupd.binfmt.ownership import PutBack
from virtsupd.binfmt.pauses import Pauses
from virtsupd.binfmt.platforms import QemuPlatform
from virtsupd.binfmt.proving import prove
from virtsupd.binfmt.saying import Saying, words
from virtsupd.binfmt.settings import Settings
from virtsupd.binfmt.standing import status_text
from virtsupd.binfmt.watch import Watch
from virtsupd.errors import VirtsupdError
from virtsupd.process.settings_file import read_settings

_BLIND_SECONDS: Final = 30.0
"""How often the table is looked at where the kernel does not tell of it, or something is missing."""
_SETTLED_SECONDS: Final = 2.0
"""A package manager may still be at work so long after it has written a file."""
_MOUNT: Final = "the mount"
"""Stands for the table itself among the platforms that are left alone."""
_TRIES: Final = 3
"""How often a start puts back what somebody takes away while it shows that all platforms run."""
_LENT: Final = "its programs run, and not by an entry of ours"
_FAULTS: Final = (VirtsupdError, OSError)


class Serving:
    """One run of the process."""

    def __init__(self, path: Path, saying: Saying) -> None:
        """Read the settings and take the signals over.

        Raises:
            SettingsError: the file is damaged.
            OSError: it cannot be read, or there is no descriptor left.
        """
        self._path = path
        self._saying = saying
        self._hearing = Hearing()
        self._holder = Holder(read_settings(path, Settings), until=self._hearing.stop)
        self._watch = Watch()
        self._pauses = Pauses()
        self._unproved: dict[str, str] = {}
        """Whose programs did not run when last tried, and why."""
        self._refusal = ""
        self._lent: Collection[str] = ()
        """Platforms that run by entries of somebody else."""
        self._mounted = PutBack()
        """How often the table was mounted again."""
        self._look_at: float | None = None
        """When to look without a reason."""
        self._settled_at: float | None = None
        """When emulators are taken to be as they will stay; None: they are."""

    def run(self) -> int:
        """Hold the entries until TERM, also in a start; return the exit status. What is ours is gone then."""
        try:
            self._start()
        except CutShortError:
            return self._end()
        except _FAULTS as error:
            text = words(error)
            self._saying.log(text)
            self._saying.tell(text)
            self._take_away()
            return 1
        with suppress(CutShortError):
            while self._wait():
                pass
        return self._end()

    def _end(self) -> int:
        if not self._take_away():
            return 1
        self._saying.log("taken away what was ours")
        return 0

    def _start(self) -> None:
        holder = self._holder
        see_to(holder.table.directory)  # as its node did, in another namespace perhaps
        holder.take_table()
        self._check_table()
        self._watch.watch_table(holder.table.directory)
        self._watch_programs()
        damage = holder.start()
        if damage:
            self._saying.log(damage)
        self._prove_all()
        self._look("READY=1")
        self._saying.log(f"registered: {', '.join(one.name for one in holder.held()) or 'nothing'}")

    def _prove_all(self) -> None:
        """Show that all platforms run, which somebody who flushes the table meanwhile cannot prevent.

        Raises:
            CutShortError: it is to stop.
            HoldError: the programs of one do not run.
        """
        holder = self._holder
        self._prove(holder.held())
        found = holder.look(may_renew=False)
        for _ in range(_TRIES):
            if not self._unproved or not found.put_back:
                break
            self._say_put_back(found)
            self._prove(one for one in holder.held() if one.name in self._unproved)
            found = holder.look(may_renew=False)
        for name, why in self._unproved.items():
            raise HoldError(f"{name!r} is registered, and its programs do not run: {why}")

    def _check_table(self) -> None:
        directory = self._holder.table.directory
        if not self._holder.table.is_on():
            raise HoldError(
                f"binfmt_misc is switched off as a whole; echo 1 >{directory}/status switches it on"
            )

    def _wait(self) -> bool:
        """Wait for what comes next and answer it; return whether to go on."""
        poll = select.poll()
        poll.register(self._watch.descriptor, select.POLLIN)
        poll.register(self._hearing.stop, select.POLLIN)
        poll.register(self._hearing.reload, select.POLLIN)
        dues = [due for due in (self._look_at, self._settled_at) if due is not None]
        ready = poll.poll(max(min(dues) - time.monotonic(), 0.0) * 1000 + 1 if dues else None)
        if self._hearing.stop in dict(ready):
            return False
        table, programs = self._watch.read()
        now = time.monotonic()
        if programs:
            self._settled_at = now + _SETTLED_SECONDS
        if self._hearing.was_told_to_reload():
            self._reload()
        elif table or any(now >= due for due in dues):
            self._look()
        return True

    def _look(self, *news: str) -> None:
        """Put back what is missing, show that it works, and say how things are, and `news`."""
        now = time.monotonic()
        is_settled = self._settled_at is None or now >= self._settled_at
        if is_settled:
            self._settled_at = None
        try:
            self._mount_again(now)
            self._watch_again()
            found = self._holder.look(self._left_alone(now), may_renew=is_settled)
        except CutShortError:
            raise
        except _FAULTS as error:
            self._saying.tell(f"entries cannot be looked after: {words(error)}", *news)
            self._schedule(now, is_well=False)
            return
        self._after(found, now)
        self._schedule(now, is_well=self._watch.is_told and not found.missing)
        held = self._holder.held()
        status = status_text(held, found, self._unproved, self._mounted, self._refusal)
        self._saying.tell(status, *news)

    def _mount_again(self, now: float) -> None:
        """Mount the table again that somebody has unmounted, or hidden, unless that is often done.

        Raises:
            BinfmtError: it cannot be had.
            OSError: the same.
        """
        holder = self._holder
        if holder.has_table():
            return
        directory = holder.table.directory
        if _MOUNT in self._pauses.paused(now):
            raise BinfmtError(
                f"somebody keeps unmounting {directory}, so it is left alone for a while"
            )
        see_to(directory)
        holder.take_table()
        self._mounted = PutBack(self._mounted.times + 1, time.time())
        self._saying.log(f"somebody unmounted {directory}; mounted again")
        self._pauses.note(_MOUNT, now)

    def _watch_again(self) -> None:
        """Watch the table if it is there: a directory without one would never tell of a new mount."""
        table = self._holder.table
        if not self._watch.is_told and (table.directory / "status").exists():
            self._watch.watch_table(table.directory)

    def _left_alone(self, now: float) -> dict[str, str]:
        wall = time.time() - now
        return {
            name: "somebody keeps removing it, so it is left alone until "
            + time.strftime("%H:%M:%S", time.localtime(wall + until))
            for name, until in self._pauses.paused(now).items()
        }

    def _after(self, found: Found, now: float) -> None:
        if found.damage:
            self._saying.log(found.damage)
        self._say_put_back(found)
        for name in found.put_back:
            if seconds := self._pauses.note(name, now):
                self._saying.log(f"{name}: taken away too often; left alone for {seconds:g} s then")
        for name in found.renewed:
            self._saying.log(f"{name}: entered anew, with the emulator or flags as they are now")
        new = found.foreign.keys() - self._lent
        tried = {*found.put_back, *found.renewed, *self._unproved, *new} - found.missing.keys()
        self._unproved = {name: why for name, why in self._unproved.items() if name in tried}
        self._prove(one for one in self._holder.held() if one.name in tried)
        self._lent = found.foreign.keys() - self._unproved.keys()
        for name in found.foreign:
            text = found.foreign[name]
            if name in self._lent:
                lost = f" ({found.lost[name]})" if name in found.lost else ""
                text = f"{_LENT}{lost}: {text}"
            (found.remarks if name in self._lent else found.missing)[name] = text
            if name in new:
                self._saying.log(f"{name}: {text}")

    def _say_put_back(self, found: Found) -> None:
        for name in found.put_back:
            self._saying.log(f"{name}: somebody took it away, or switched it off; put back")

    def _schedule(self, now: float, *, is_well: bool) -> None:
        every = self._holder.settings.recheck_seconds or (None if is_well else _BLIND_SECONDS)
        dues = [*self._pauses.paused(now).values(), *([now + every] if every else [])]
        self._look_at = min(dues, default=None)

    def _prove(self, platforms: Iterable[QemuPlatform]) -> None:
        for name, why in prove(platforms, until=self._hearing.stop).items():
            if why and self._unproved.get(name) != why:
                self._saying.log(f"{name}: its programs do not run: {why}")
            if why:
                self._unproved[name] = why
            else:
                self._unproved.pop(name, None)

    def _reload(self) -> None:
        """Put new settings in force, or say why the old ones stay."""
        self._saying.reloading()
        before = {platform.name for platform in self._holder.held()}
        try:
            stop, device = self._hearing.stop, self._holder.device
            holder = Holder(read_settings(self._path, Settings), device=device, until=stop)
            holder.put_all()
        except CutShortError:
            raise
        except _FAULTS as error:
            self._refusal = f"the new settings are not in force: {words(error)}"
            self._saying.log(self._refusal)
        else:
            self._holder, self._refusal = holder, ""
            known = holder.settings.platforms
            self._unproved = {name: w for name, w in self._unproved.items() if name in known}
            self._watch_programs()
            self._prove(one for one in holder.held() if one.name not in before)
            self._saying.log(f"settings read again: {', '.join(known) or 'no platform'}")
        self._look("READY=1")

    def _watch_programs(self) -> None:
        prefix = self._holder.settings.qemu
        named = (f"{prefix}/bin",) if prefix is not None else DIRECTORIES
        self._watch.watch_programs({Path(directory) for directory in named})

    def _take_away(self) -> bool:
        try:
            self._holder.take_all_away()
        except FileNotFoundError:
            return True  # without a table there are no entries
        except _FAULTS as error:
            self._saying.log(f"not all could be taken away: {words(error)}")
            return False
        return True

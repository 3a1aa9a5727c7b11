"""The process that holds entries: it makes them, shows that they work, and sees to it that they stay."""

import os
import select
import signal
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from virtsupd.binfmt.entries import BinfmtError
from virtsupd.binfmt.holding import Found, Holder, HoldError
from virtsupd.binfmt.interpreters import DIRECTORIES
from virtsupd.binfmt.pauses import Pauses
from virtsupd.binfmt.platforms import QemuPlatform
from virtsupd.binfmt.proving import prove
from virtsupd.binfmt.settings import SettingsError, read_settings
from virtsupd.binfmt.standing import status_text
from virtsupd.binfmt.watch import Watch
from virtsupd.process.own_notify import OwnNotify

_BLIND_SECONDS: Final = 30.0
"""How often the table is looked at where the kernel does not tell of it."""
_SETTLED_SECONDS: Final = 2.0
"""A package manager may still be at work so long after it has written a file."""
_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Serving:
    """One run of the process."""

    def __init__(self, path: Path, notify: OwnNotify) -> None:
        """Read the settings and take the signals over.

        Raises:
            SettingsError: the file is damaged.
            OSError: it cannot be read.
        """
        self._path = path
        self._notify = notify
        self._holder = self._read()
        self._watch = Watch()
        self._pauses = Pauses()
        self._unproved: dict[str, str] = {}
        self._refusal = ""
        self._status = ""
        self._programs_at: float | None = None
        self._look_at = 0.0
        self._woken, waking = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        for number in _SIGNALS:
            signal.signal(number, _hear)
        signal.set_wakeup_fd(waking, warn_on_full_buffer=False)

    def run(self) -> int:
        """Hold the entries until TERM; return the exit status. What is ours is gone then."""
        try:
            self._start()
        except (HoldError, BinfmtError, OSError) as error:
            self._say(f"{error}")
            self._notify.say(f"STATUS={error}")
            self._take_away()
            return 1
        self._notify.say("READY=1")
        while self._wait():
            pass
        return 0 if self._take_away() else 1

    def _start(self) -> None:
        self._watch.watch_table(self._holder.table.directory)
        self._watch_programs()
        self._holder.put_all(is_start=True)
        self._prove(self._holder.held())
        if not self._holder.table.is_on():
            raise HoldError(
                f"binfmt_misc is switched off as a whole; echo 1 >{self._holder.table.directory}/status "
                "switches it on"
            )
        if self._unproved:
            name, why = next(iter(self._unproved.items()))
            raise HoldError(f"{name!r} is registered, and its programs do not run: {why}")
        self._look()

    def _wait(self) -> bool:
        """Wait for what comes next and answer it; return whether to go on."""
        poll = select.poll()
        poll.register(self._watch.descriptor, select.POLLIN)
        poll.register(self._woken, select.POLLIN)
        poll.poll(self._timeout())
        heard = self._heard()
        if signal.SIGTERM in heard or signal.SIGINT in heard:
            return False
        if signal.SIGHUP in heard:
            self._reload()
        _, programs = self._watch.read()
        if programs:
            self._programs_at = time.monotonic() + _SETTLED_SECONDS
        self._look()
        return True

    def _timeout(self) -> float | None:
        """Return the milliseconds until there is something to do without a reason."""
        now = time.monotonic()
        settings = self._holder.settings
        every = settings.recheck_seconds or (None if self._watch.is_told else _BLIND_SECONDS)
        dues = (self._pauses.next_end(now), self._programs_at, now + every if every else None)
        due = min((due for due in dues if due is not None), default=None)
        return None if due is None else max(due - now, 0.0) * 1000 + 1

    def _look(self) -> None:
        """Put back what is missing, show that it works, and say how things are."""
        now = time.monotonic()
        is_settled = self._programs_at is None or now >= self._programs_at
        if is_settled:
            self._programs_at = None
        try:
            found = self._holder.look(self._pauses.paused(now), may_renew=is_settled)
        except OSError as error:
            self._tell(f"{self._holder.table.directory} cannot be read: {error.strerror}")
            return
        if not self._watch.is_told:
            self._watch.watch_table(self._holder.table.directory)
        self._after(found, now)
        self._tell(status_text(self._holder.held(), found, self._unproved, self._refusal))

    def _after(self, found: Found, now: float) -> None:
        for name in found.put_back:
            self._say(f"{name}: somebody took it away; put back")
            self._pauses.note(name, now)
        for name in found.renewed:
            self._say(f"{name}: entered anew, with the emulator as it is now")
        changed = {*found.put_back, *found.renewed}
        self._prove(one for one in self._holder.held() if one.name in changed)

    def _prove(self, platforms: Iterable[QemuPlatform]) -> None:
        for name, why in prove(platforms).items():
            self._unproved.pop(name, None)
            if why:
                self._unproved[name] = why
                self._say(f"{name}: its programs do not run: {why}")

    def _reload(self) -> None:
        """Put new settings in force, or say why the old ones stay."""
        try:
            holder = self._read()
            holder.put_all()
        except (SettingsError, HoldError, BinfmtError, OSError) as error:
            self._refusal = f"the new settings are not in force: {error}"
            self._say(self._refusal)
            return
        before = {platform.name for platform in self._holder.held()}
        self._holder, self._refusal = holder, ""
        self._unproved = {n: w for n, w in self._unproved.items() if n in holder.settings.platforms}
        self._watch_programs()
        self._prove(one for one in holder.held() if one.name not in before)
        self._say(f"settings read again: {', '.join(holder.settings.platforms) or 'no platform'}")

    def _read(self) -> Holder:
        return Holder(read_settings(self._path))

    def _watch_programs(self) -> None:
        prefix = self._holder.settings.qemu
        named = (f"{prefix}/bin",) if prefix is not None else DIRECTORIES
        self._watch.watch_programs({Path(directory) for directory in named})

    def _heard(self) -> set[int]:
        try:
            return set(os.read(self._woken, 256))
        except BlockingIOError:
            return set()

    def _take_away(self) -> bool:
        try:
            self._holder.take_all_away()
        except OSError as error:
            self._say(f"not all could be taken away: {error}")
            return False
        return True

    def _tell(self, status: str) -> None:
        if status != self._status:
            self._status = status
            self._notify.say(f"STATUS={status}")

    def _say(self, text: str) -> None:
        try:
            sys.stdout.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}\n")
            sys.stdout.flush()
        except OSError:
            pass  # nobody keeps the log; what is to be done is done all the same


def _hear(_number: int, _frame: object) -> None:
    """Do nothing here: the number is in the pipe."""

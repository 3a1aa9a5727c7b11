"""What fetching and building an image says while it goes on: lines of a log, and a status."""

import os
import time
from collections.abc import Callable
from typing import Final

from virtsupd.core.printing import printable
from virtsupd.process.own_notify import OwnNotify
from virtsupd.times import span

_MIB: Final = 1 << 20
_STATUS_SECONDS: Final = 0.5
_LOG_SECONDS: Final = 30.0
_WINDOW_SECONDS: Final = 5.0
"""A speed is that of so long a time before, so that it follows what the network does now."""
_STATUS_CHARACTERS: Final = 1000


def mib(count: float) -> str:
    """Say a number of bytes: "340 MiB", "1.5 MiB", "12 KiB"."""
    if count < _MIB:
        return f"{count / 1024:.0f} KiB" if count >= 1024 else f"{count:.0f} B"
    number = count / _MIB
    return f"{number:.1f} MiB" if number < 10 else f"{number:.0f} MiB"


class Report:
    """Where it is heard: the log (standard output), the supervisor, and the terminal if there is one."""

    def __init__(
        self,
        notify: OwnNotify,
        *,
        log: Callable[[str], None] | None = None,
        terminal: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Say nothing yet; `log` takes lines, by default standard output does, with their time."""
        self._notify = notify
        self._log = _write_line if log is None else log
        self._terminal = terminal if terminal is not None and os.isatty(terminal) else None
        self._clock = clock
        self._told_at = self._logged_at = float("-inf")
        self._samples: list[tuple[float, int]] = []

    def log(self, text: str) -> None:
        """Have a line in the log."""
        self._show("")
        self._log(printable(text))

    def status(self, text: str) -> None:
        """Say what goes on at present."""
        shown = printable(text)[:_STATUS_CHARACTERS]
        self._notify.say(f"STATUS={shown}")
        self._show(shown)

    def begin(self) -> None:
        """Forget the speed so far: something else is counted from now on."""
        self._samples.clear()
        self._told_at, self._logged_at = float("-inf"), self._clock()

    def progress(self, verb: str, done: int, total: int | None) -> None:
        """Say how far something is, at most twice a second; in the log, twice a minute."""
        now = self._clock()
        if now < self._told_at + _STATUS_SECONDS:
            return
        self._told_at = now
        self._samples.append((now, done))
        while len(self._samples) > 2 and self._samples[1][0] < now - _WINDOW_SECONDS:
            del self._samples[0]
        text = f"{verb} {_amount(done, total)}{self._speed(total)}"
        self.status(text)
        if now >= self._logged_at + _LOG_SECONDS:
            self._logged_at = now
            self.log(text)

    def _speed(self, total: int | None) -> str:
        """Return ", 12 MiB/s, 18 s left", as far as it is known."""
        (first_at, first), (last_at, last) = self._samples[0], self._samples[-1]
        if last <= first or last_at <= first_at:
            return ""
        speed = (last - first) / (last_at - first_at)
        left = "" if total is None else f", {span(max(total - last, 0) / speed)} left"
        return f", {mib(speed)}/s{left}"

    def _show(self, text: str) -> None:
        if self._terminal is not None:
            os.write(self._terminal, f"\r{text}\x1b[K".encode())


def _amount(done: int, total: int | None) -> str:
    if total is None:
        return mib(done)
    whole = mib(total)
    unit = whole.rsplit(" ", 1)[1]
    shown = mib(done)
    return f"{shown.removesuffix(' ' + unit)} of {whole}"


def _write_line(text: str) -> None:
    line = f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}\n"
    # Not through sys.stdout: a log that cannot be written must not fail what it tells of at the exit.
    try:
        os.write(1, line.encode(errors="backslashreplace"))
    except OSError:
        return

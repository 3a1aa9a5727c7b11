"""What the process that holds entries says: lines of its log, and a status for its supervisor."""

import contextlib
import os
import time
from typing import Final

from virtsupd.core.printing import printable
from virtsupd.process.own_notify import OwnNotify

_OUTPUT: Final = 1
_STATUS_BYTES: Final = 3000
"""A longer message would not be taken (4096 bytes)."""


class Saying:
    """Where it is heard. Nobody hearing it is no error: entries are held all the same."""

    def __init__(self, notify: OwnNotify) -> None:
        """Say nothing yet."""
        self._notify = notify
        self._status = ""

    def log(self, text: str) -> None:
        """Write a line with the time."""
        line = f"{time.strftime('%Y-%m-%d %H:%M:%S')} {printable(text)}\n"
        # Not through sys.stdout: what it could not write, it would try again at the exit, and fail that.
        with contextlib.suppress(OSError):
            os.write(_OUTPUT, line.encode())

    def tell(self, status: str, *others: str) -> None:
        """Tell the supervisor how things are, if that is new, and lines such as READY=1."""
        shown = _cut(printable(status))
        if shown != self._status or others:
            self._status = shown
            self._notify.say(*others, f"STATUS={shown}")

    def reloading(self) -> None:
        """Tell the supervisor that settings are read again, until READY=1."""
        self._notify.say_reloading(self._status)


def words(error: Exception) -> str:
    """Return what an error says, with the file that one of the system is about."""
    if isinstance(error, OSError):
        return f"{error.filename or 'system'}: {(error.strerror or str(error)).lower()}"
    return str(error)


def _cut(text: str) -> str:
    data = text.encode()
    if len(data) <= _STATUS_BYTES:
        return text
    return data[:_STATUS_BYTES].decode(errors="ignore") + " …"


def open_streams() -> None:
    """See that there are standard streams, so that no other file is taken for one."""
    for stream in range(3):
        try:
            os.fstat(stream)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free

"""The daemon's own log: lines for people on a terminal, JSON lines for programs.

A log that cannot be written must not stop what is supervised: on a full disk, a terminal that is
gone or a pipe that nobody empties, lines are dropped and counted.
"""

import os
from typing import Literal

import structlog

_STANDARD_ERROR = 2


class DroppingLog:
    """A text stream that writes to a descriptor, or drops what would fail or wait."""

    def __init__(self, descriptor: int) -> None:
        """Write to what `descriptor` is open on, without making it non-blocking for others."""
        self._descriptor = _own_description(descriptor)
        self._rest = b""
        self._dropped = 0

    def write(self, text: str) -> None:
        """Write a line, or drop it; the next one that gets through tells how many were."""
        line = text.encode(errors="backslashreplace")
        if self._dropped:
            line = f"[virtsupd: {self._dropped} lines of this log were dropped]\n".encode() + line
        is_free = self._put(self._rest) and not self._rest
        if is_free and self._put(line):
            self._dropped = 0
        else:
            self._dropped += 1

    def flush(self) -> None:
        """Nothing is kept back."""

    def _put(self, data: bytes) -> bool:
        """Return whether the line is on its way; what a full pipe cut off goes first next time."""
        if not data:
            return True
        try:
            written = os.write(self._descriptor, data)
        except OSError:
            return False
        self._rest = data[written:]
        return True


def _own_description(descriptor: int) -> int:
    flags = os.O_WRONLY | os.O_APPEND | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    try:
        return os.open(f"/proc/self/fd/{descriptor}", flags)
    except OSError:  # a socket, or somebody else's terminal
        return descriptor


def configure_log(
    log_format: Literal["auto", "console", "json"], descriptor: int = _STANDARD_ERROR
) -> None:
    """Write virtsupd's log to a descriptor, one line an event."""
    is_terminal = os.isatty(descriptor)
    is_console = is_terminal if log_format == "auto" else log_format == "console"
    processors: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=not is_console),
    ]
    if is_console:
        processors.append(
            structlog.dev.ConsoleRenderer(
                colors=is_terminal, exception_formatter=structlog.dev.plain_traceback
            )
        )
    else:
        processors += [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger("info"),
        logger_factory=structlog.WriteLoggerFactory(file=DroppingLog(descriptor)),  # type: ignore[arg-type]  # it writes and flushes
        cache_logger_on_first_use=True,
    )

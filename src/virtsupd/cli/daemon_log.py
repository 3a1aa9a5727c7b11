"""The daemon's own log: lines for people on a terminal, JSON lines for programs."""

import sys
from typing import Literal

import structlog


def configure_log(log_format: Literal["auto", "console", "json"]) -> None:
    """Write virtsupd's log to standard error, one line an event."""
    is_console = sys.stderr.isatty() if log_format == "auto" else log_format == "console"
    processors: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=not is_console),
    ]
    if is_console:
        processors.append(
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
            )
        )
    else:
        processors += [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger("info"),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )

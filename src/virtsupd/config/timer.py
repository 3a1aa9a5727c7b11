"""`timer`: when the process of a service runs.

A bare string or list is told apart by its form: five words or a leading @ are cron's, everything
else is systemd's. What is read needs the calendar's libraries: they are imported by the first table.
"""

import math
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, PlainValidator

from virtsupd.config.probes import Table
from virtsupd.config.problems import Fault
from virtsupd.config.toml_text import value_text
from virtsupd.config.values import FilledText, NotEmpty, Seconds, duration, one_or_many, text
from virtsupd.core.jobs import Calendar
from virtsupd.core.names import Name
from virtsupd.core.spec import TimerSpec

_MACHINE_ID = "/etc/machine-id"
_STEPS_PER_SECOND = 1024
"""Of the jitter. A power of two, so that adding and taking away a delay gives the same moment."""
_SYNTAX = {
    "calendar": 'a calendar expression of systemd.time(7), such as "Mon..Fri 02:30"',
    "cron": 'a time of crontab(5), such as "30 2 * * 1-5" or "@daily"',
}


def _calendar_expression(value: str) -> str:
    return _checked("calendar", value)


def _cron_expression(value: str) -> str:
    return _checked("cron", value)


def _checked(kind: str, expression: str) -> str:
    from virtsupd.config.firings import check_expression  # noqa: PLC0415 - few hosts have timers

    try:
        check_expression(kind, expression)
    except ValueError as error:
        raise ValueError(f"{_SYNTAX[kind]}: {error}") from error
    return expression


def _time_zone(value: object) -> str:
    from virtsupd.config.firings import check_zone  # noqa: PLC0415 - few hosts have timers

    found = text(value)
    try:
        check_zone(found)
    except ValueError as error:
        raise ValueError(f'a time zone, such as "UTC" or "Europe/Berlin": {error}') from error
    return found


def _catch_up(value: object) -> float:
    """Return seconds: endless for true, 0 for false."""
    if isinstance(value, bool):
        return math.inf if value else 0.0
    try:
        return duration(value)
    except ValueError as error:
        raise ValueError(f"true, false or {error}") from error


def _by_form(value: object) -> object:
    """Take a bare expression, or a list of them, as the table with the key that it is for."""
    found = one_or_many(value)
    if not isinstance(found, list):
        return value
    is_cron = all(isinstance(item, str) and _looks_like_cron(item) for item in found)
    return {"cron" if is_cron and found else "calendar": found}


def _looks_like_cron(expression: str) -> bool:
    return len(expression.split()) == 5 or expression.lstrip().startswith("@")


CalendarTime = Annotated[FilledText, AfterValidator(_calendar_expression)]
CronTime = Annotated[FilledText, AfterValidator(_cron_expression)]


class TimerTable(Table):
    """`timer`: exactly one of calendar and cron."""

    calendar: Annotated[tuple[CalendarTime, ...], BeforeValidator(one_or_many), NotEmpty] | None = (
        None
    )
    cron: Annotated[tuple[CronTime, ...], BeforeValidator(one_or_many), NotEmpty] | None = None
    timezone: Annotated[str, PlainValidator(_time_zone)] | None = None
    jitter: Seconds = 0.0
    catch_up: Annotated[float, PlainValidator(_catch_up)] = math.inf
    timeout: Seconds = 0.0


Timer = Annotated[TimerTable, BeforeValidator(_by_form)]


def timer_faults(table: TimerTable) -> Iterator[Fault]:
    """Yield what keys of the table, each fine by itself, make wrong together."""
    from virtsupd.config.firings import check_zone, next_firing  # noqa: PLC0415 - see above

    if (table.calendar is None) == (table.cron is None):
        yield ("timer",), "must have exactly one of calendar and cron"
        return
    if table.timezone is None:
        try:
            check_zone(None)
        except ValueError as error:
            yield ("timer",), f"needs a timezone: {error}"
            return
    kind, expressions = _expressions(table)
    for expression in expressions:
        if next_firing(TimerSpec((expression,), kind, table.timezone), 0.0) is None:
            yield ("timer",), f"found {value_text(expression)}, a time that never comes"


def calendar() -> Calendar:
    """Return this host's, which is read when the first timer is armed."""
    return Calendar(_next_firing, _last_firing)


def _next_firing(timer: TimerSpec, after: float) -> float | None:
    from virtsupd.config.firings import next_firing  # noqa: PLC0415 - see above

    return next_firing(timer, after)


def _last_firing(timer: TimerSpec, until: float) -> float | None:
    from virtsupd.config.firings import last_firing  # noqa: PLC0415 - see above

    return last_firing(timer, until)


def timer_spec(table: TimerTable, name: Name) -> TimerSpec:
    """Return the definition of a table in which `timer_faults` finds nothing."""
    kind, expressions = _expressions(table)
    return TimerSpec(
        expressions,
        kind,
        table.timezone,
        table.jitter,
        _delay(table.jitter, name) if table.jitter else 0.0,
        table.catch_up,
        table.timeout,
    )


def _expressions(table: TimerTable) -> tuple[Literal["calendar", "cron"], tuple[str, ...]]:
    return ("cron", table.cron) if table.cron is not None else ("calendar", table.calendar or ())


def _delay(jitter_seconds: float, name: Name) -> float:
    """Return the part of the jitter that a service of this host takes: always the same.

    So a successor expects the same firings, and hosts that share a file still differ.
    """
    number = zlib.crc32(f"{_host_identity()} {name}".encode())
    return math.floor(number / 2**32 * jitter_seconds * _STEPS_PER_SECOND) / _STEPS_PER_SECOND


def _host_identity() -> str:
    try:
        return Path(_MACHINE_ID).read_text("ascii", "replace").strip()
    except OSError:
        return os.uname().nodename

"""A calendar without one: a timer whose expression is a number of seconds fires at its multiples."""

from virtsupd.core.jobs import Calendar
from virtsupd.core.spec import TimerSpec


def _next_multiple(timer: TimerSpec, after: float) -> float | None:
    found = [(after // step + 1) * step for step in map(float, timer.expressions) if step]
    return min(found, default=None)


def _last_multiple(timer: TimerSpec, until: float) -> float | None:
    found = [until // step * step for step in map(float, timer.expressions) if step]
    return max(found, default=None)


INTERVALS = Calendar(_next_multiple, _last_multiple)
"""At "0" nothing fires."""

"""When timers fire: calendar expressions and time zones, read into moments.

The expressions are read by oncalendar (systemd's syntax) and cronsim (cron's), which know no zone
here: they yield *local times*, a clock on a wall. A local time is a moment, none (it is skipped when
the clocks go forward) or two (it comes twice when they go back); what that means is decided here, in
one place for both, as the originals do it:

- systemd's: a skipped time does not fire, one that comes twice fires the first time;
- cron's with a star in the minutes or hours goes by what the clock shows: skipped, or twice;
- cron's at fixed times lose no run and double none: a skipped one fires when the clock has jumped.

It belongs to no pure layer, since zones are files of the host. Everything is imported when a timer
is configured. Checking may fail; `next_firing` of what was checked does not.
"""

import math
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta, tzinfo
from difflib import get_close_matches
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Final

from virtsupd.core.spec import TimerSpec

_LOCALTIME: Final = "/etc/localtime"
_WORDS: Final = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_local_zones: dict[str, tuple[tuple[int, int, int], tzinfo]] = {}
"""By file: what it was when it was read last, and what it said."""


class _Rule(Enum):
    """What a local time means that does not come exactly once."""

    FIRST = "not if skipped, the first if twice"
    BOTH = "not if skipped, both if twice"
    MOVED = "at the end of what is skipped, the first if twice"


def next_firing(timer: TimerSpec, after: float) -> float | None:
    """Return the first moment later than `after` at which a timer fires; None if it never will.

    Both are Unix time; the jitter's delay is included.
    """
    found = [
        moment
        for expression in timer.expressions
        if (moment := _next_of(timer, expression, after - timer.delay_seconds)) is not None
    ]
    return min(found) + timer.delay_seconds if found else None


def last_firing(timer: TimerSpec, until: float) -> float | None:
    """Return the last moment up to and including `until` at which a timer was to fire; None: never yet.

    For firings that were missed: however many there are, it costs some fifty questions at most.
    """
    top = math.floor(until) + 1
    back = 1
    while not _fires_between(timer, top - back, until):
        if back > until:
            return None
        back *= 2
    # There is one after `low`, and none after `high`.
    low, high = top - back, top
    while high - low > 1:
        middle = (low + high) // 2
        if _fires_between(timer, middle, until):
            low = middle
        else:
            high = middle
    return _last_within(timer, low, until)


def _fires_between(timer: TimerSpec, after: float, until: float) -> bool:
    found = next_firing(timer, after)
    return found is not None and found <= until


def _last_within(timer: TimerSpec, after: float, until: float) -> float | None:
    """Return the last of the few firings of one second: there is one for each expression at most."""
    found = None
    while _fires_between(timer, after, until):
        found = next_firing(timer, after)
        after = found if found is not None else until
    return found


def check_expression(kind: str, expression: str) -> None:
    """Look whether an expression of this kind ("calendar", "cron") can be read.

    Raises:
        ValueError: it cannot, and why.
    """
    expression, _ = _split(kind, expression)
    if kind == "cron" and len(expression.split()) != 5:
        raise ValueError(
            "it has five fields: minute, hour, day of the month, month, day of the week"
        )
    try:
        _local_times(kind, expression, datetime(1970, 1, 1))  # noqa: DTZ001 - a clock on a wall
    except Exception as error:
        # Each library has an error of its own, which is no ValueError.
        raise ValueError(str(error).lower()) from error


def check_zone(name: str | None) -> None:
    """Look whether this host knows a time zone; None is its own.

    Raises:
        ValueError: it does not, and which it may have been.
    """
    if name is None:
        _local_zone()
    elif _zone(name) is None:
        raise ValueError(_unknown_zone(name))


def _unknown_zone(name: str) -> str:
    from zoneinfo import available_timezones  # noqa: PLC0415 - see above

    known = available_timezones()
    if len(known) < 2:
        return f"{name!r} is unknown: this host has no time zones (is tzdata installed?)"
    by_lower = {zone.lower(): zone for zone in known}
    nearest = get_close_matches(name.lower(), by_lower, n=1)
    hint = f"; did you mean {by_lower[nearest[0]]}?" if nearest else ""
    return f"{name!r} is no time zone of this host{hint}"


def _next_of(timer: TimerSpec, expression: str, after: float) -> float | None:
    expression, own_zone = _split(timer.kind, expression)
    zone = own_zone or (_zone(timer.timezone) if timer.timezone else None) or _local_zone()
    rule = _rule(timer.kind, expression)
    now = datetime.fromtimestamp(math.floor(after), zone)
    # While what the clock shows comes for the first of two times, local times that it has passed
    # are yet to come: it will be set back by so much.
    set_back = _offset(now.replace(fold=0)) - _offset(now.replace(fold=1))
    if rule is not _Rule.BOTH:
        set_back = timedelta(0)
    shown = now.replace(tzinfo=None, fold=0)
    best: float | None = None
    for local in _local_times(timer.kind, expression, shown - set_back):
        for moment in _moments(local, zone, rule):
            if moment > after and (best is None or moment < best):
                best = moment
        if best is not None and local >= shown + set_back:
            break
    return best


def _split(kind: str, expression: str) -> tuple[str, tzinfo | None]:
    """Return an expression in full, and apart from it the zone that systemd's may end with."""
    if kind == "cron":
        return _range_of_one(_WORDS.get(expression.strip().lower(), expression), "-"), None
    expression = _range_of_one(expression.strip(), "..")
    head, _, last = expression.rpartition(" ")
    zone = _zone(last) if last[:1].isalpha() else None
    if zone is not None:
        return head.strip(), zone
    if "/" in last and last[:1].isalpha():
        raise ValueError(_unknown_zone(last))
    return expression, None


def _range_of_one(expression: str, between: str) -> str:
    """Take the steps from ranges of one number: the libraries would go on beyond their end."""
    steps = rf"(?<!\d)0*(\d+){re.escape(between)}0*\1/0*[1-9]\d*"
    return re.sub(steps, r"\1", expression)


def _rule(kind: str, expression: str) -> _Rule:
    if kind == "calendar":
        return _Rule.FIRST
    minutes, hours = expression.split()[:2]
    return _Rule.BOTH if "*" in (minutes[0], hours[0]) else _Rule.MOVED


def _local_times(kind: str, expression: str, after: datetime) -> Iterator[datetime]:
    """Yield the local times later than `after` that an expression means, in order."""
    if kind == "calendar":
        from oncalendar import BaseIterator  # noqa: PLC0415 - see above

        return BaseIterator(expression, after)
    from cronsim import CronSim  # noqa: PLC0415 - see above

    return CronSim(expression, after)


def _moments(local: datetime, zone: tzinfo, rule: _Rule) -> tuple[float, ...]:
    """Return the moments at which the clocks of a zone show `local`, as the rule has it."""
    early = local.replace(tzinfo=zone, fold=0).timestamp()
    late = local.replace(tzinfo=zone, fold=1).timestamp()
    if early == late:
        return (early,)
    if early < late:
        return (early, late) if rule is _Rule.BOTH else (early,)
    return (_end_of_gap(late, early, zone),) if rule is _Rule.MOVED else ()


def _end_of_gap(before: float, after: float, zone: tzinfo) -> float:
    """Return the second at which the clocks jump, between a moment before and one after it."""
    low, high = math.floor(before), math.ceil(after)
    jumped = _offset(datetime.fromtimestamp(high, zone))
    while high - low > 1:
        middle = (low + high) // 2
        if _offset(datetime.fromtimestamp(middle, zone)) == jumped:
            high = middle
        else:
            low = middle
    return float(high)


def _offset(moment: datetime) -> timedelta:
    return moment.utcoffset() or timedelta(0)


def _zone(name: str) -> tzinfo | None:
    # A folder of zones ("Europe") is an OSError, an unknown name a KeyError.
    with suppress(OSError, KeyError, ValueError):
        return _named_zone(name)
    return None


@cache
def _named_zone(name: str) -> tzinfo:
    """Read a zone; what was found once stays, whatever becomes of its file."""
    from zoneinfo import ZoneInfo  # noqa: PLC0415 - see above

    return ZoneInfo(name)


def _local_zone() -> tzinfo:
    """Return the host's zone, as localtime(3) finds it.

    Raises:
        ValueError: the variable TZ says none that is known.
    """
    name = os.environ.get("TZ", f":{_LOCALTIME}").removeprefix(":")
    if name.startswith("/"):
        return _zone_of_file(name)
    found = _zone(name) if name else UTC
    if found is None:
        raise ValueError(f"the variable TZ of virtsupd's environment: {_unknown_zone(name)}")
    return found


def _zone_of_file(path: str) -> tzinfo:
    """Return what a file of the zone database says; a change of it counts from the next question."""
    from zoneinfo import ZoneInfo  # noqa: PLC0415 - see above

    known = _local_zones.get(path)
    with suppress(OSError, ValueError):
        found = Path(path).stat()
        identity = (found.st_dev, found.st_ino, found.st_mtime_ns)
        if known is None or known[0] != identity:
            with Path(path).open("rb") as file:
                known = _local_zones[path] = (identity, ZoneInfo.from_file(file))
    return known[1] if known is not None else UTC

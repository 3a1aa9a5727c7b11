"""Timers against a clock on a wall that is looked at minute by minute, around changes of the clocks.

The oracle knows nothing of calendars: it asks of every minute there is what the clocks of the zone
show, and whether the fields of the expression allow that.
"""

import calendar
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import pairwise
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from virtsupd.config.firings import last_firing, next_firing
from virtsupd.core.spec import TimerSpec

MINUTE, HOUR, DAY = 60, 3600, 86400
AROUND = 20 * HOUR
"""Looked at before and after each change: midnight is in it twice."""
ZONES = (
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",  # by half an hour
    "America/Havana",  # at midnight: a day begins at one
    "Africa/Cairo",
    "America/St_Johns",
)
WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")

Allows = Callable[[datetime], bool]


@dataclass(frozen=True)
class Expression:
    """A text, and independently of it what it means."""

    text: str
    allows: Allows
    goes_by_the_clock: bool = False
    """Cron's: a star in the minutes or hours."""


@dataclass(frozen=True)
class Values:
    """One field."""

    text: str
    allowed: frozenset[int]


def at(moment: float, zone: str) -> datetime:
    return datetime.fromtimestamp(moment, ZoneInfo(zone))


@cache
def changes(zone: str) -> tuple[int, ...]:
    """Return the moments of 2026 at which the clocks of a zone are changed."""
    first = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp())
    quarters = range(first, first + 365 * DAY, 15 * MINUTE)
    return tuple(
        b for a, b in pairwise(quarters) if at(a, zone).utcoffset() != at(b, zone).utcoffset()
    )


@st.composite
def fields(draw: st.DrawFn, first: int, last: int, dots: str) -> Values:
    """Draw a list, a range, or steps; `dots` joins the ends of a range."""
    numbers = st.integers(first, last)
    match draw(st.sampled_from(["one", "list", "range", "from", "steps", "all"])):
        case "one":
            one = draw(numbers)
            return Values(str(one), frozenset({one}))
        case "list":
            some = draw(st.lists(numbers, min_size=1, max_size=4))
            return Values(",".join(map(str, some)), frozenset(some))
        case "range":
            low, high = sorted((draw(numbers), draw(numbers)))
            return Values(f"{low}{dots}{high}", frozenset(range(low, high + 1)))
        case "from":
            low, step = draw(numbers), draw(st.integers(1, last))
            return Values(f"{low}/{step}", frozenset(range(low, last + 1, step)))
        case "steps":
            low, high = sorted((draw(numbers), draw(numbers)))
            step = draw(st.integers(1, last))
            allowed = frozenset(range(low, high + 1)[::step])
            return Values(f"{low}{dots}{high}/{step}", allowed)
        case _:
            return Values("*", frozenset(range(first, last + 1)))


def seldom(values: st.SearchStrategy[Values], first: int, last: int) -> st.SearchStrategy[Values]:
    """Draw mostly a star, so that something fires in the days that are looked at."""
    star = st.just(Values("*", frozenset(range(first, last + 1))))
    return st.integers(0, 3).flatmap(lambda one: values if one == 3 else star)


@st.composite
def systemd_expressions(draw: st.DrawFn) -> Expression:
    minutes = draw(fields(0, 59, ".."))
    hours = draw(fields(0, 23, ".."))
    days = draw(seldom(fields(1, 31, ".."), 1, 31))
    months = draw(seldom(fields(1, 12, ".."), 1, 12))
    weekdays = draw(st.just([]) | st.lists(st.sampled_from(range(7)), max_size=5, unique=True))
    from_end = draw(st.booleans()) and days.text.isdigit() and int(days.text) <= 28
    day = ",".join(WEEKDAYS[one] for one in weekdays)
    date = f"*-{months.text}{'~' if from_end else '-'}{days.text}"

    def allows(shown: datetime) -> bool:
        of_month = shown.day
        if from_end:
            of_month = calendar.monthrange(shown.year, shown.month)[1] - shown.day + 1
        return (
            shown.minute in minutes.allowed
            and shown.hour in hours.allowed
            and of_month in days.allowed
            and shown.month in months.allowed
            and (not weekdays or shown.weekday() in weekdays)
        )

    return Expression(f"{day} {date} {hours.text}:{minutes.text}".strip(), allows)


@st.composite
def cron_expressions(draw: st.DrawFn) -> Expression:
    minutes = draw(fields(0, 59, "-"))
    hours = draw(fields(0, 23, "-"))
    days = draw(seldom(fields(1, 31, "-"), 1, 31))
    months = draw(seldom(fields(1, 12, "-"), 1, 12))
    weekdays = draw(seldom(fields(0, 7, "-"), 0, 7))
    is_either = not (days.text.startswith("*") or weekdays.text.startswith("*"))

    def allows(shown: datetime) -> bool:
        by_date = shown.day in days.allowed
        by_weekday = bool({shown.isoweekday(), shown.isoweekday() % 7} & weekdays.allowed)
        return (
            shown.minute in minutes.allowed
            and shown.hour in hours.allowed
            and shown.month in months.allowed
            and (by_date or by_weekday if is_either else by_date and by_weekday)
        )

    text = f"{minutes.text} {hours.text} {days.text} {months.text} {weekdays.text}"
    return Expression(text, allows, "*" in (minutes.text[0], hours.text[0]))


def shown_minutes(zone: str, change: int) -> Iterator[tuple[int, datetime]]:
    for moment in range(change - AROUND, change + AROUND + 1, MINUTE):
        yield moment, at(moment, zone)


def skipped(zone: str, change: int) -> Iterator[datetime]:
    """Yield what the clocks of a zone would have shown, and did not, when they were changed."""
    before = at(change - 1, zone).replace(tzinfo=None) + timedelta(seconds=1)
    after = at(change, zone).replace(tzinfo=None)
    while before < after:
        yield before
        before += timedelta(minutes=1)


def expected(kind: str, expression: Expression, zone: str, change: int) -> list[int]:
    found = []
    for moment, shown in shown_minutes(zone, change):
        comes_first = shown.fold == 0
        allowed = expression.allows(shown) and (comes_first or expression.goes_by_the_clock)
        is_late = (
            kind == "cron"
            and not expression.goes_by_the_clock
            and moment == change
            and any(expression.allows(lost) for lost in skipped(zone, change))
        )
        if allowed or is_late:
            found.append(moment)
    return found


def firings(timer: TimerSpec, after: float, until: float) -> list[float]:
    found = []
    while (moment := next_firing(timer, after)) is not None and moment <= until:
        found.append(moment)
        after = moment
    return found


@st.composite
def places(draw: st.DrawFn) -> tuple[str, int]:
    zone = draw(st.sampled_from(ZONES))
    return zone, draw(st.sampled_from(changes(zone)))


@settings(deadline=None, max_examples=150)
@given(systemd_expressions(), places())
def test_systemd_expressions_fire_when_the_wall_says_so(
    expression: Expression, place: tuple[str, int]
) -> None:
    zone, change = place
    timer = TimerSpec((expression.text,), "calendar", zone)
    found = firings(timer, change - AROUND - 1, change + AROUND)
    assert found == expected("calendar", expression, zone, change)


@settings(deadline=None, max_examples=150)
@given(cron_expressions(), places())
def test_cron_expressions_fire_when_the_wall_says_so(
    expression: Expression, place: tuple[str, int]
) -> None:
    zone, change = place
    timer = TimerSpec((expression.text,), "cron", zone)
    found = firings(timer, change - AROUND - 1, change + AROUND)
    assert found == expected("cron", expression, zone, change)


@settings(deadline=None, max_examples=200)
@given(
    st.one_of(
        systemd_expressions().map(lambda one: ("calendar", one.text)),
        cron_expressions().map(lambda one: ("cron", one.text)),
    ),
    places(),
    st.floats(-AROUND, AROUND),
    st.integers(0, 10 * 1024).map(lambda steps: steps / 1024),
)
def test_a_firing_is_later_and_none_lies_between(
    written: tuple[str, str], place: tuple[str, int], offset: float, delay: float
) -> None:
    """From wherever it is asked: a firing is never given twice and never left out."""
    kind, text = written
    zone, change = place
    assert kind in ("calendar", "cron")
    timer = TimerSpec((text,), "cron" if kind == "cron" else "calendar", zone, 11.0, delay)
    found = next_firing(timer, change + offset)
    if found is not None:
        assert found > change + offset
        assert next_firing(timer, found - 0.001) == found
        assert next_firing(timer, (change + offset + found) / 2) == found
        after = next_firing(timer, found)
        assert after is None or after > found
        assert last_firing(timer, found) == found
        before = last_firing(timer, found - 0.001)
        assert before is None or (before < found and next_firing(timer, before) == found)

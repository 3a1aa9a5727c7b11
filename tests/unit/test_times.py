import time

import pytest

from virtsupd.times import ago, elapsed, moment, parse_duration, span, stamp, until


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90),
        ("1.5", 1.5),
        ("1500ms", 1.5),
        ("5s", 5),
        ("5 sec", 5),
        ("2m", 120),
        ("2min", 120),
        ("1h", 3600),
        ("1d", 86400),
    ],
)
def test_a_duration_is_read_as_in_the_configuration(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "s", "5 parsecs", "-1", "nan", "inf", "1e300", "5S", "1M"])
def test_what_is_no_duration_is_refused_with_what_is_allowed(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a duration: seconds|is out of range"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.0004, "0 ms"),
        (0.004, "4 ms"),
        (0.05, "50 ms"),
        (0.3, "0.3 s"),
        (1, "1 s"),
        (12.3, "12 s"),
        (89.6, "1 min 30 s"),
        (180, "3 min"),
        (200, "3 min 20 s"),
        (3599, "59 min 59 s"),
        (7200, "2 h"),
        (7500, "2 h 5 min"),
        (86400, "1 day"),
        (3 * 86400 + 7300, "3 days 2 h"),
    ],
)
def test_a_span_has_at_most_two_units(seconds: float, said: str) -> None:
    assert span(seconds) == said


def test_what_goes_on_is_said_in_whole_seconds() -> None:
    assert [elapsed(seconds) for seconds in (-0.5, 0.9, 2.7, 61.0)] == [
        "0 s",
        "0 s",
        "2 s",
        "1 min",
    ]


def test_a_moment_of_another_day_has_its_date() -> None:
    now = time.mktime((2026, 11, 22, 15, 22, 40, 0, 0, -1))
    earlier = time.mktime((2026, 11, 22, 15, 19, 34, 0, 0, -1))
    assert moment(earlier, now) == "15:19:34"
    assert moment(earlier - 2 * 86400, now) == "2026-11-20 15:19"
    assert ago(earlier, now) == "3 min ago, 15:19:34"
    assert stamp(earlier) == "2026-11-22 15:19:34"


def test_a_coming_moment_is_a_distance_or_now() -> None:
    assert until(112.0, 100.0) == "in 12 s"
    assert until(100.2, 100.0) == "now"
    assert until(90.0, 100.0) == "now"

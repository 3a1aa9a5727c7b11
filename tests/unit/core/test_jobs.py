"""What tells timers apart, and a host that has none."""

import pytest

from virtsupd.core.jobs import NO_TIMERS, times_of
from virtsupd.core.spec import TimerSpec

NIGHT = TimerSpec(("02:30",))


@pytest.mark.parametrize(
    "other",
    [
        TimerSpec(("02:31",)),
        TimerSpec(("02:30", "03:30")),
        TimerSpec(("02:30",), "cron"),
        TimerSpec(("02:30",), timezone="UTC"),
        TimerSpec(("02:30",), jitter_seconds=9.0, delay_seconds=5.0),
    ],
)
def test_other_times_are_another_timer(other: TimerSpec) -> None:
    assert times_of(other) != times_of(NIGHT)


def test_what_is_no_time_makes_no_other_timer() -> None:
    other = TimerSpec(("02:30",), catch_up_seconds=0.0, timeout_seconds=5.0)
    assert times_of(other) == times_of(NIGHT)


def test_a_host_without_timers_has_no_times() -> None:
    assert NO_TIMERS.next_firing(NIGHT, 0.0) is None
    assert NO_TIMERS.last_firing(NIGHT, 1e9) is None

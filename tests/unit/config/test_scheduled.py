"""Scheduled jobs: a time of the clock becomes one moment, and a table a service that vanishes."""

import re
from datetime import UTC, datetime

import pytest
from tests.support.config_folder import Folder

from virtsupd.config.firings import next_firing
from virtsupd.config.scheduled import next_moment, scheduled_job
from virtsupd.core.names import Name
from virtsupd.core.spec import TimerSpec
from virtsupd.errors import ConfigError

NOON = datetime(2026, 7, 1, 12, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("clock_time", "moment"),
    [
        ("12:00:01", "2026-07-01 12:00:01 UTC"),
        ("13:30", "2026-07-01 13:30:00 UTC"),
        ("12:00", "2026-07-02 12:00:00 UTC"),
        ("9:05", "2026-07-02 09:05:00 UTC"),
    ],
)
def test_a_time_of_the_clock_is_the_next_such_moment_and_no_other(
    clock_time: str, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "UTC")
    assert next_moment(clock_time, NOON) == moment
    fires = next_firing(TimerSpec((moment,)), NOON)
    assert fires is not None
    assert next_firing(TimerSpec((moment,)), fires) is None


def test_the_clock_is_that_of_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    assert next_moment("22:00", NOON) == "2026-07-01 13:00:00 UTC"


@pytest.mark.parametrize("text", ["", "24:00", "12", "12:60", "12:00:00:00", "*:00", "noon", "1:2"])
def test_what_is_no_time_of_the_clock_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"found {text!r}, must be a time of the clock")):
        next_moment(text, NOON)


def test_a_job_is_a_transient_timer(folder: Folder) -> None:
    host = folder.load("").host
    table = {"command": ["/bin/true"], "timer": {"calendar": "2026-07-01 13:30:00 UTC"}}
    found = scheduled_job(Name("timer-1"), table, host)
    assert found.transient
    assert found.timer == TimerSpec(("2026-07-01 13:30:00 UTC",))
    assert found.process is not None
    assert found.process.command == ("/bin/true",)


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        ("colour", 1, "scheduled job timer-1: colour: "),
        ("ready", "notify", "scheduled job timer-1: ready: does not go with timer"),
    ],
)
def test_a_table_with_a_mistake_is_refused(
    folder: Folder, key: str, value: object, problem: str
) -> None:
    host = folder.load("").host
    table = {"command": ["/bin/true"], "timer": "2026-07-01 13:30:00 UTC", key: value}
    with pytest.raises(ConfigError, match=problem):
        scheduled_job(Name("timer-1"), table, host)

"""Next times, as `systemd-analyze calendar` and Debian's cron have them (read there, by zone)."""

import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Literal
from zoneinfo import ZoneInfo

import pytest

from virtsupd.config.firings import check_expression, check_zone, last_firing, next_firing
from virtsupd.core.spec import TimerSpec

Kind = Literal["calendar", "cron"]


def moment(shown: str, zone: str = "Europe/Berlin", *, again: bool = False) -> float:
    local = datetime.fromisoformat(shown)
    return local.replace(tzinfo=ZoneInfo(zone), fold=int(again)).timestamp()


def shown(at: float | None, zone: str = "Europe/Berlin") -> str:
    if at is None:
        return "never"
    local = datetime.fromtimestamp(at, ZoneInfo(zone))
    return local.strftime("%a %d %b %H:%M:%S") + (" again" if local.fold else "")


def firings(
    kind: Kind, *expressions: str, after: float, zone: str = "Europe/Berlin", count: int = 3
) -> list[str]:
    timer, found = TimerSpec(expressions, kind, zone), []
    for _ in range(count):
        at = next_firing(timer, after)
        found.append(shown(at, zone))
        if at is None:
            break
        after = at
    return found


@pytest.mark.parametrize(
    ("expression", "next_ones"),
    [
        ("daily", ["Tue 03 Mar 00:00:00", "Wed 04 Mar 00:00:00"]),
        ("Mon..Fri 10:30", ["Mon 02 Mar 10:30:00", "Tue 03 Mar 10:30:00"]),
        ("Sat *-*-1..7 18:00", ["Sat 07 Mar 18:00:00", "Sat 04 Apr 18:00:00"]),
        ("*-*~01 23:00", ["Tue 31 Mar 23:00:00", "Thu 30 Apr 23:00:00"]),
        ("*:0/5:01", ["Mon 02 Mar 09:00:01", "Mon 02 Mar 09:05:01"]),
        ("12:00 America/New_York", ["Mon 02 Mar 18:00:00", "Tue 03 Mar 18:00:00"]),
        ("2026-03-04 05:06:07", ["Wed 04 Mar 05:06:07", "never"]),
        ("09:00..00/4", ["Mon 02 Mar 09:00:00", "Tue 03 Mar 09:00:00"]),
    ],
)
def test_systemds_expressions(expression: str, next_ones: list[str]) -> None:
    after = moment("2026-03-02 08:59:59")
    assert firings("calendar", expression, after=after, count=2) == next_ones


@pytest.mark.parametrize(
    ("expression", "next_ones"),
    [
        ("45 1 * * *", ["Tue 03 Mar 01:45:00", "Wed 04 Mar 01:45:00"]),
        ("@weekly", ["Sun 08 Mar 00:00:00", "Sun 15 Mar 00:00:00"]),
        ("0 0 13 * 5", ["Fri 06 Mar 00:00:00", "Fri 13 Mar 00:00:00"]),
        ("*/20 9-17 * mar,apr mon-fri", ["Mon 02 Mar 09:00:00", "Mon 02 Mar 09:20:00"]),
        ("0-0/4 9 * * *", ["Mon 02 Mar 09:00:00", "Tue 03 Mar 09:00:00"]),
    ],
)
def test_crons_expressions(expression: str, next_ones: list[str]) -> None:
    after = moment("2026-03-02 08:59:59")
    assert firings("cron", expression, after=after, count=2) == next_ones


@pytest.mark.parametrize(
    ("kind", "expression", "next_ones"),
    [
        ("calendar", "02:30", ["Mon 30 Mar 02:30:00", "Tue 31 Mar 02:30:00"]),
        ("calendar", "*:0/30", ["Sun 29 Mar 01:30:00", "Sun 29 Mar 03:00:00"]),
        ("cron", "*/30 * * * *", ["Sun 29 Mar 01:30:00", "Sun 29 Mar 03:00:00"]),
        ("cron", "*/30 2 * * *", ["Mon 30 Mar 02:00:00", "Mon 30 Mar 02:30:00"]),
        ("cron", "0,30 2 * * *", ["Sun 29 Mar 03:00:00", "Mon 30 Mar 02:00:00"]),
    ],
)
def test_a_skipped_hour(kind: Kind, expression: str, next_ones: list[str]) -> None:
    """At two the clocks show three. A run of cron's at a fixed time is late and not lost."""
    after = moment("2026-03-29 01:00")
    assert firings(kind, expression, after=after, count=2) == next_ones


@pytest.mark.parametrize(
    ("kind", "expression", "next_ones"),
    [
        ("calendar", "02:30", ["Sun 25 Oct 02:30:00", "Mon 26 Oct 02:30:00"]),
        ("calendar", "*:30", ["Sun 25 Oct 02:30:00", "Sun 25 Oct 03:30:00"]),
        ("cron", "30 * * * *", ["Sun 25 Oct 02:30:00", "Sun 25 Oct 02:30:00 again"]),
        ("cron", "30 2 * * *", ["Sun 25 Oct 02:30:00", "Mon 26 Oct 02:30:00"]),
    ],
)
def test_an_hour_that_comes_twice(kind: Kind, expression: str, next_ones: list[str]) -> None:
    after = moment("2026-10-25 02:10")
    assert firings(kind, expression, after=after, count=2) == next_ones


@pytest.mark.parametrize(
    ("kind", "expression", "next_one"),
    [
        ("calendar", "02:30", "Mon 26 Oct 02:30:00"),
        ("cron", "30 2 * * *", "Mon 26 Oct 02:30:00"),
        ("cron", "*/30 2 * * *", "Sun 25 Oct 02:30:00 again"),
    ],
)
def test_in_the_second_of_two_hours_a_daily_run_has_been(
    kind: Kind, expression: str, next_one: str
) -> None:
    """A virtsupd started there, as after a crash, must not think that half past two is to come."""
    after = moment("2026-10-25 02:10", again=True)
    assert firings(kind, expression, after=after, count=1) == [next_one]


def test_clocks_that_change_by_half_an_hour() -> None:
    zone = "Australia/Lord_Howe"
    after = moment("2026-10-04 01:50", zone)
    assert firings("cron", "10 2 * * *", after=after, zone=zone, count=1) == ["Sun 04 Oct 02:30:00"]
    assert firings("calendar", "*:0/20", after=after, zone=zone, count=2) == [
        "Sun 04 Oct 02:40:00",
        "Sun 04 Oct 03:00:00",
    ]


def test_the_earliest_of_several_expressions_counts() -> None:
    after = moment("2026-03-02 08:00")
    found = firings("calendar", "Mon 12:00", "*-*-03 01:00", "2020-01-01", after=after)
    assert found == ["Mon 02 Mar 12:00:00", "Tue 03 Mar 01:00:00", "Mon 09 Mar 12:00:00"]


def test_a_delay_moves_every_firing_and_loses_none() -> None:
    timer = TimerSpec(("hourly",), timezone="UTC", jitter_seconds=7200, delay_seconds=5400.25)
    day = 86400.0
    assert next_firing(timer, day) == day + 1800.25
    assert next_firing(timer, day + 1800.25) == day + 5400.25
    assert next_firing(timer, day + 1800.0) == day + 1800.25


@pytest.mark.parametrize(
    ("expression", "last"),
    [
        ("hourly", "Mon 02 Mar 08:00:00"),
        ("08:30", "Mon 02 Mar 08:30:00"),
        ("08:30:01", "Sun 01 Mar 08:30:01"),
        ("*-02-29 *:*:*", "Thu 29 Feb 23:59:59"),
        ("2027-01-01", "never"),
    ],
)
def test_the_last_firing_of_however_many(expression: str, last: str) -> None:
    timer = TimerSpec((expression,), timezone="Europe/Berlin")
    assert shown(last_firing(timer, moment("2026-03-02 08:30"))) == last


@pytest.mark.parametrize("expression", ["*-02-30", "2199-02-29", "2026-03-29 02:30"])
def test_what_never_comes_is_none(expression: str) -> None:
    """The last one falls into a skipped hour, in that zone alone."""
    assert next_firing(TimerSpec((expression,), timezone="Europe/Berlin"), 0.0) is None


@pytest.mark.parametrize(
    ("kind", "expression", "why"),
    [
        ("calendar", "", "wrong number of fields"),
        ("calendar", "25:00", "bad hour"),
        ("calendar", "*:0/" + "9" * 5000, "exceeds the limit"),
        ("calendar", "02:30 Europe/Berln", "did you mean Europe/Berlin?"),
        ("cron", "61 * * * *", "bad minute"),
        ("cron", "0 0 30 2 *", "bad day-of-month"),
        ("cron", "0 30 2 * * *", "five fields"),
        ("cron", "@reboot", "five fields"),
    ],
)
def test_what_cannot_be_read_is_explained(kind: str, expression: str, why: str) -> None:
    with pytest.raises(ValueError, match=why.replace("?", r"\?")):
        check_expression(kind, expression)


@pytest.mark.parametrize("name", ["Europe/Berln", "Europe", "../etc/passwd", "/etc/localtime", ""])
def test_what_is_no_zone_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="is no time zone of this host"):
        check_zone(name)


def test_a_host_without_zones_says_what_is_missing() -> None:
    code = (
        "import zoneinfo; zoneinfo.reset_tzpath(to=[]);"
        "import sys; sys.modules['tzdata'] = None;"
        "from virtsupd.config.firings import check_zone; check_zone('Europe/Berlin')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.endswith("this host has no time zones (is tzdata installed?)\n")


@pytest.mark.parametrize("variable", ["Europe/Berlin", ":Europe/Berlin"])
def test_the_variable_tz_is_the_hosts_zone(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", variable)
    check_zone(None)
    assert next_firing(TimerSpec(("12:00",)), 0.0) == 11 * 3600


def test_a_variable_that_names_no_zone_is_refused_and_an_empty_one_is_utc(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
    with pytest.raises(ValueError, match="the variable TZ of virtsupd's environment"):
        check_zone(None)
    monkeypatch.setenv("TZ", "")
    assert next_firing(TimerSpec(("12:00",)), 0.0) == 12 * 3600


def test_another_zone_of_the_host_counts_at_the_next_question(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An operator sets the zone of a host that runs: no restart is needed."""
    file, noon = tmp_path / "localtime", TimerSpec(("12:00",))
    monkeypatch.setenv("TZ", f":{file}")
    assert next_firing(noon, 0.0) == 12 * 3600, "a host without the file keeps UTC"
    for zone, hour in (("Europe/Berlin", 11), ("Asia/Tokyo", 3)):
        other = tmp_path / "other"
        other.write_bytes(zone_file(zone))
        other.replace(file)
        assert next_firing(noon, 0.0) == hour * 3600
    file.unlink()
    assert next_firing(noon, 0.0) == 3 * 3600, "what cannot be read changes nothing"


def zone_file(name: str) -> bytes:
    from importlib.resources import files  # noqa: PLC0415 - here alone

    return files("tzdata").joinpath("zoneinfo", *name.split("/")).read_bytes()

import math
from pathlib import Path

import pytest
from pydantic import ValidationError
from tests.support.config_folder import Folder

from virtsupd.config.build import build_service, service_problems
from virtsupd.config.model import ServiceTable
from virtsupd.config.settings import HostSettings
from virtsupd.config.timer import TimerTable
from virtsupd.core.names import Name
from virtsupd.core.spec import ServiceSpec, TimerSpec

JOB = '[service.job]\ncommand = ["/bin/true"]\n'


def job(timer: object, name: str = "job") -> ServiceSpec:
    table = ServiceTable.model_validate({"command": ["x"], "timer": timer})
    assert list(service_problems(table)) == []
    return build_service(Name(name), table, HostSettings(log_dir=Path("/log")), "job.toml")


@pytest.mark.parametrize(
    ("written", "made"),
    [
        ("daily", TimerSpec(("daily",))),
        (["Mon 02:30", "Sat 12:00 UTC"], TimerSpec(("Mon 02:30", "Sat 12:00 UTC"))),
        ("45 1 * * *", TimerSpec(("45 1 * * *",), "cron")),
        (["@daily", "0 12 * * 0"], TimerSpec(("@daily", "0 12 * * 0"), "cron")),
        ({"cron": "@hourly"}, TimerSpec(("@hourly",), "cron")),
        (
            {"calendar": "*:0/5:01", "timezone": "UTC", "catch_up": "1h", "timeout": "4min"},
            TimerSpec(("*:0/5:01",), timezone="UTC", catch_up_seconds=3600, timeout_seconds=240),
        ),
        ({"calendar": ["daily"], "catch_up": False}, TimerSpec(("daily",), catch_up_seconds=0)),
        ({"calendar": ["daily"], "catch_up": True}, TimerSpec(("daily",))),
    ],
)
def test_what_is_written_becomes_a_timer(written: object, made: TimerSpec) -> None:
    assert job(written).timer == made


def test_a_job_is_not_respawned_unlike_every_other_service() -> None:
    assert job("daily").respawn is None
    assert math.isinf(TimerSpec(("daily",)).catch_up_seconds), "missed firings are caught up"


def test_jitter_spreads_services_and_is_the_same_at_every_load() -> None:
    timers = [job({"calendar": "daily", "jitter": "5min"}, f"job{n}").timer for n in range(50)]
    delays = [timer.delay_seconds for timer in timers if timer is not None]
    assert len(set(delays)) > 45
    assert all(0 <= delay < 300 for delay in delays)
    assert max(delays) - min(delays) > 150
    assert job({"calendar": "daily", "jitter": "5min"}, "job7").timer == timers[7]
    # Exact in binary: a firing minus its delay is the time of the calendar, to the last bit.
    assert all(1.8e9 + delay - delay == 1.8e9 for delay in delays)


@pytest.mark.parametrize(
    ("timer", "said"),
    [
        ('"dialy"', 'service.job.timer: found "dialy", must be a calendar expression'),
        ('"* * * * 8"', 'service.job.timer: found "* * * * 8", must be a time of crontab(5)'),
        ("[]", "service.job.timer: found [], must be a list that is not empty"),
        ("7", 'service.job.timer: found 7, must be a calendar expression such as "Mon..Fri 02:30"'),
        ('"*-2-30"', 'service.job.timer: found "*-2-30", a time that never comes'),
        ("{}", "service.job.timer: must have exactly one of calendar and cron"),
        (
            '{ calendar = "daily", cron = "@daily" }',
            "service.job.timer: must have exactly one of calendar and cron",
        ),
        ('{ cron = ["@daily", "1 2"] }', 'service.job.timer.cron[2]: found "1 2", must be'),
        ('{ calender = "daily" }', "unknown key; did you mean calendar?"),
        (
            '{ cron = "@daily", timezone = "Europe/Berln" }',
            'service.job.timer.timezone: found "Europe/Berln", must be a time zone',
        ),
        (
            '{ cron = "@daily", catch_up = "soon" }',
            'service.job.timer.catch_up: found "soon", must be true, false or a duration',
        ),
    ],
)
def test_a_refusal_names_key_value_and_what_is_allowed(
    folder: Folder, timer: str, said: str
) -> None:
    (problem,) = folder.problems(f"{JOB}timer = {timer}")
    assert said in problem


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ('ready = "notify"', "ready"),
        ('health = { kind = "tcp", port = 80 }', "health"),
        ("respawn = true", "respawn"),
        ('reload = "HUP"', "reload"),
        ('sockets = ["80"]', "sockets"),
        ("one_shot = true", "one_shot"),
        ("transient = true", "transient"),
        ("guest = true", "guest"),
        ("not_needed_exit = [11]", "not_needed_exit"),
        ('actions.hold = { command = ["x"] }', "actions.hold"),
    ],
)
def test_what_means_nothing_for_a_job_is_refused(folder: Folder, line: str, key: str) -> None:
    (problem,) = folder.problems(f'{JOB}timer = "daily"\n{line}')
    assert problem.startswith(f"host.toml: service.job.{key}: ")


@pytest.mark.parametrize(
    "line",
    ["respawn = false", "one_shot = false", "success_exit = [0, 11]", 'requires = ["loopback"]'],
)
def test_the_other_keys_are_a_jobs_too(folder: Folder, line: str) -> None:
    assert folder.service(f'{JOB}timer = "daily"\n{line}', "job").timer is not None


def test_a_timer_needs_something_to_run(folder: Folder) -> None:
    (problem,) = folder.problems('[service.job]\ntimer = "daily"')
    assert "timer: means nothing without command" in problem


def test_a_time_that_has_passed_is_sound(folder: Folder) -> None:
    """Or a host that ran yesterday would refuse its own file at today's boot."""
    assert folder.service(f'{JOB}timer = "2020-01-01"', "job").timer is not None


def test_a_host_whose_zone_is_unknown_needs_a_timezone(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "Mars/Olympus")
    (problem,) = folder.problems(f'{JOB}timer = "daily"')
    assert "service.job.timer: needs a timezone: the variable TZ" in problem
    assert folder.service(f'{JOB}timer = {{ cron = "@daily", timezone = "UTC" }}', "job").timer


def test_a_table_is_checked_before_it_is_made() -> None:
    with pytest.raises(ValidationError, match="bad minute"):
        TimerTable.model_validate({"calendar": "00:61"})

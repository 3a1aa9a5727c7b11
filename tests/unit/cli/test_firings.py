"""What an operator reads of a timer."""

import time
from typing import Any

import pytest
from tests.support.fake_varlink import service

from virtsupd.cli.firings import next_text, rows

NOW = time.mktime((2026, 11, 22, 15, 22, 40, 0, 0, -1))
IDLE: dict[str, Any] = {
    "expressions": ["Mon..Fri 02:30"],
    "kind": "calendar",
    "fires_at": NOW + 3600,
    "missed_at": None,
    "held": False,
    "held_until": None,
    "job": None,
    "runs": [],
    "skipped": 0,
}


def run(text: str, ended: float, seconds: float) -> dict[str, Any]:
    return {"code": 0, "signal": None, "text": text, "began": ended - seconds, "ended": ended}


def shown(name: str = "night", **facts: Any) -> list[tuple[str, str]]:
    found: Any = service(name, timer=IDLE | facts)
    return [row for row in rows(found, NOW) if row[1]]


@pytest.mark.parametrize(
    ("facts", "text"),
    [
        ({}, "fires in 1 h"),
        ({"fires_at": None}, "fires no more"),
        ({"held": True, "fires_at": None}, "held"),
        ({"held": True, "held_until": NOW + 60}, "held until 15:23:40"),
        (
            {"missed_at": NOW - 60, "fires_at": None},
            "missed 1 min ago, 15:21:40; runs when all it requires does",
        ),
    ],
)
def test_when_it_fires_next_or_why_not(facts: dict[str, Any], text: str) -> None:
    found: Any = IDLE | facts
    assert next_text(found, NOW) == text


def test_its_page_says_what_ran_and_runs() -> None:
    job = {"cause": "root via virtsupctl", "began": NOW - 5}
    runs = [run("exited with code 0", NOW - 60 * n, 1.5) for n in range(1, 8)]
    assert shown(job=job, runs=runs, skipped=2) == [
        ("Timer", "Mon..Fri 02:30"),
        ("Next", "fires in 1 h, 16:22:40"),
        ("Job", "runs for 5 s, started by root via virtsupctl"),
        ("Last runs", "exited with code 0 after 1.5 s, 1 min ago, 15:21:40"),
        *(
            ("before", f"exited with code 0 after 1.5 s, {n} min ago, 15:{22 - n}:40")
            for n in range(2, 6)
        ),
        ("Skipped", "2 times, while a job ran"),
    ]


def test_a_timer_that_is_held_says_what_lets_it_go() -> None:
    (row,) = [text for label, text in shown(held=True, fires_at=None) if label == "Next"]
    assert row == "held; let it fire with: virtsupctl release night"


def test_a_timer_that_never_fires_again_has_no_time() -> None:
    assert ("Next", "fires no more") in shown(fires_at=None, skipped=1)
    assert ("Skipped", "once, while a job ran") in shown(skipped=1)


def test_a_timer_that_is_stopped_is_not_armed() -> None:
    found: Any = service("night", state="stopped", timer=IDLE)
    assert ("Next", "not armed") in rows(found, NOW)


def test_what_is_no_timer_has_no_rows() -> None:
    found: Any = service("web")
    assert rows(found, NOW) == []

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.support.config_folder import Folder

from virtsupd.cli.supervise import DONE, check
from virtsupd.cli.upcoming import lapsed, upcoming

HOST = """
[service.web]
command = ["/bin/true"]
[service.nightly]
command = ["/bin/true"]
timer = "02:30"
[service.once]
command = ["/bin/true"]
timer = "2026-03-01 12:00:05"
"""
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC).timestamp()


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


@pytest.fixture(autouse=True)
def _in_berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Times are shown as the host's clocks show them."""
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def test_the_next_three_firings_of_each_timer_are_shown(folder: Folder) -> None:
    loaded = folder.load(HOST)
    assert list(upcoming(loaded, NOON - 7200)) == [
        (
            "nightly fires Mon 2026-03-02 02:30:00 CET, Tue 2026-03-03 02:30:00 CET, "
            "Wed 2026-03-04 02:30:00 CET"
        ),
        "once fires Sun 2026-03-01 12:00:05 CET",
    ]
    assert list(lapsed(loaded, NOON - 7200)) == []


def test_a_timer_that_fires_no_more_is_warned_of(folder: Folder) -> None:
    loaded = folder.load(HOST)
    assert [line.split()[0] for line in upcoming(loaded, NOON)] == ["nightly"]
    (warning,) = lapsed(loaded, NOON)
    assert warning == f"{folder.host}: once: timer: all its times are past; it fires no more"


def test_a_check_shows_them(folder: Folder, capsys: pytest.CaptureFixture[str]) -> None:
    folder.load(HOST)
    assert check(folder.host) == DONE
    output = capsys.readouterr()
    assert output.out.splitlines()[0].endswith("is sound: 3 services, 0 targets")
    assert output.out.splitlines()[1].startswith("nightly fires ")
    assert "once: timer: all its times are past" in output.err

"""What a message says, and the watchdog it feeds."""

import pytest

from virtsupd.process.notify import NotifyMessage, Watchdog, parse_fields


def message(**fields: str) -> NotifyMessage:
    return NotifyMessage(pid=1, uid=0, fields=fields)


@pytest.mark.parametrize(
    ("data", "fields"),
    [
        (b"READY=1", {"READY": "1"}),
        (b"READY=1\nSTATUS=a=b=c\n", {"READY": "1", "STATUS": "a=b=c"}),
        (b"STATUS=one\nSTATUS=two", {"STATUS": "two"}),
        (b"STATUS=", {"STATUS": ""}),
        (b"noise\n\n", {}),
        (b"", {}),
        (b"STATUS=\xe2\x82", {"STATUS": "\ufffd"}),
    ],
)
def test_lines_become_fields(data: bytes, fields: dict[str, str]) -> None:
    assert parse_fields(data) == fields


def test_silence_makes_the_watchdog_overdue() -> None:
    watchdog = Watchdog(10.0, now=100.0)
    watchdog.feed(message(STATUS="busy"), now=105.0)
    assert not watchdog.is_overdue(109.9)
    assert watchdog.is_overdue(110.0)


def test_a_keep_alive_moves_the_deadline() -> None:
    watchdog = Watchdog(10.0, now=100.0)
    watchdog.feed(message(WATCHDOG="1"), now=108.0)
    assert watchdog.deadline == 118.0


def test_a_trigger_cannot_be_taken_back_by_a_keep_alive() -> None:
    watchdog = Watchdog(10.0, now=100.0)
    watchdog.feed(message(WATCHDOG="trigger"), now=101.0)
    watchdog.feed(message(WATCHDOG="1"), now=102.0)
    assert watchdog.is_overdue(102.0)


def test_the_service_may_change_the_interval_or_end_the_watch() -> None:
    watchdog = Watchdog(10.0, now=100.0)
    watchdog.feed(message(WATCHDOG_USEC="2500000"), now=101.0)
    assert watchdog.deadline == 103.5
    watchdog.feed(message(WATCHDOG_USEC="0"), now=102.0)
    watchdog.feed(message(WATCHDOG="1"), now=103.0)
    assert not watchdog.is_overdue(1e9)


@pytest.mark.parametrize("interval", ["", "-1", "soon", "\u0665"])
def test_an_interval_that_is_no_number_changes_nothing(interval: str) -> None:
    watchdog = Watchdog(10.0, now=100.0)
    watchdog.feed(message(WATCHDOG_USEC=interval), now=105.0)
    assert watchdog.deadline == 110.0

from typing import Any

import pytest
from tests.support.fake_varlink import event, reason, service, stopped

from virtsupd.cli.changes import as_event, change_line, history, is_echo, shortened

EXIT = {"code": 3, "signal": None, "text": "exited with code 3", "at": 50.0}
FAILED = stopped("a", failed=True, since=50.0, reason=reason("failed", "exited with code 3; limit"))
LINES: list[tuple[dict[str, Any], str]] = [
    (event(service("a")), "a running, pid 4711"),
    (event(service("a", restarts=2)), "a running, pid 4711, restarted 2 times so far"),
    (event(service("a", state="starting", restarts=2, pid=None)), "a starting"),
    (event(service("a", warnings=["cannot set limit"])), "a running, pid 4711"),
    (
        event(service("a", replacement_pending=True), "service reloaded"),
        "a reloaded, pid 4711, changed, restart it to apply",
    ),
    (event(FAILED), "a stopped"),
    (event(FAILED, "service failed"), "a failed: exited with code 3; limit"),
    (
        event(service("a", state="stopping", pid=None, last_exit=EXIT), "service exited"),
        "a exited with code 3",
    ),
    (event(service("a", state="stopping", pid=None), "service exited"), "a exited"),
    (event(service("a", status_text="up\x1b")), "a running, pid 4711, up\\x1b"),
    (event(stopped("a", reason=reason("adopted", ""))), "a stopped, adopted"),
    (event(stopped("a", reason=reason("x", "stopped by root"))), "a stopped by root"),
    (
        event(service("a", reason=reason("degraded", "health check: no")), "service degraded"),
        "a degraded, pid 4711, health check: no",
    ),
    (
        event(service("a", state="starting", status_text="reached monitor"), "service progress"),
        "a starting, pid 4711, reached monitor",
    ),
    (event(service("a"), "output lost"), "a output lost, pid 4711"),
    (event(service("a"), "guest ended"), "a: guest ended"),
    (
        event(stopped("a", reason=reason("backing-off", "x", retry_at=1_001.5))),
        "a stopped, x in 1.5 s",
    ),
]


@pytest.mark.parametrize(("happened", "line"), LINES)
def test_a_change_is_a_line(happened: Any, line: str) -> None:
    assert change_line(happened) == line


def test_the_stop_an_exit_began_is_an_echo_and_no_other_is() -> None:
    crashed = service("a", state="stopping", pid=None, since=50.0, last_exit=EXIT)
    told: list[tuple[Any, bool]] = [
        (event(crashed), True),
        (event(crashed, "service exited"), False),
        (event(service("a", state="stopping", since=51.0, last_exit=EXIT)), False),
        (event(service("a", state="stopping")), False),
    ]
    assert [is_echo(one) for one, _ in told] == [answer for _, answer in told]


def test_a_short_event_has_no_definition_and_no_past() -> None:
    happened: Any = event(service("a", last_exit=EXIT))
    assert shortened(happened) == {
        "event": "service running",
        "at": 1_000.0,
        "service": {"name": "a", "state": "running", "pid": 4711, "reason": None, "exit": EXIT},
    }


def test_a_state_is_an_event_too() -> None:
    records: list[Any] = [FAILED, service("a", since=7.0)]
    assert [(as_event(one)["event"], as_event(one)["at"]) for one in records] == [
        ("service failed", 50.0),
        ("service running", 7.0),
    ]


def changes(*pairs: tuple[str, float]) -> list[dict[str, Any]]:
    """Return a history, newest first."""
    return [{"state": state, "at": at} for state, at in pairs]


def test_the_past_is_told_with_its_exits_and_the_present_with_its_reason() -> None:
    past = changes(("stopped", 60.0), ("stopping", 60.0), ("running", 51.0), ("starting", 51.0))
    earlier = changes(("stopped", 50.0), ("stopping", 50.0), ("running", 10.0))
    killed = {"code": None, "signal": "SIGKILL", "text": "ended by SIGKILL", "at": 60.0}
    record: Any = {
        **FAILED,
        "since": 60.0,
        "changes": past + earlier,
        "exits": [killed, EXIT],
        "last_exit": killed,
    }
    found = history([record])
    assert [(one["at"], line) for one, line in found] == [
        (10.0, "a running"),
        (50.0, "a exited with code 3"),
        (50.0, ""),
        (50.0, "a stopped"),
        (51.0, "a starting"),
        (51.0, "a running"),
        (60.0, "a ended by SIGKILL"),
        (60.0, ""),
        (60.0, "a failed: exited with code 3; limit"),
    ]
    assert found[1][0]["service"] == {
        "name": "a",
        "state": "stopping",
        "pid": None,
        "reason": None,
        "exit": EXIT,
    }


def test_an_exit_leads_to_a_stop_and_that_of_a_one_shot_to_done() -> None:
    crashed: Any = service("a", exits=[EXIT])
    done: Any = service("a", exits=[EXIT], changes=changes(("running", 50.0)), since=50.0)
    assert [history([one])[0][0]["service"]["state"] for one in (crashed, done)] == [
        "stopping",
        "running",
    ]

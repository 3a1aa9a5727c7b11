"""What a shutdown waits for, in words."""

from typing import Any

import pytest

from virtsupd.cli.ending import heading, waits

NOW = 1_000_000.0


def guest(
    name: str,
    did: str = "shutdown",
    host: str | None = "libvirtd",
    *,
    due: float | None = 59.0,
    then: str = "kill",
) -> dict[str, Any]:
    at = NOW + due if due is not None else None
    return {"name": name, "guest": True, "host": host, "did": did, "due": at, "then": then}


def service(name: str, did: str = "SIGTERM", then: str = "SIGKILL") -> dict[str, Any]:
    due = NOW + 3.2
    return {"name": name, "guest": False, "host": None, "did": did, "due": due, "then": then}


def shutdown(*waiting: dict[str, Any], **facts: Any) -> Any:
    made = {
        "by": "root",
        "since": NOW - 60,
        "deadline": NOW + 600,
        "phase": "guests",
        "guests": 5,
        "guests_ended": 2,
        "waits": list(waiting),
    }
    return made | facts


@pytest.mark.parametrize(
    ("waiting", "text"),
    [
        ([], "nothing is left to wait for"),
        ([guest("vm1"), guest("vm2", due=9)], "waits for guests: vm1, vm2 (2 of 5 ended; the first is killed in 9 s)"),
        ([guest("vm1", "save")], "waits for guests: vm1 (being saved) (2 of 5 ended; it is killed in 59 s)"),
        ([guest("vm1", "kill", then="left")], "waits for guests: vm1 (being killed) (2 of 5 ended; it is given up in 59 s)"),
        ([guest("vm1", "SIGKILL", None, then="left")], "waits for guests: vm1 (being killed) (2 of 5 ended; it is given up in 59 s)"),
        ([guest("vm1", due=None)], "waits for guests: vm1 (2 of 5 ended)"),
        ([guest(f"g{i}") for i in range(6)], "waits for guests: g0, g1, g2, g3 and 2 more (2 of 5 ended; the first is killed in 59 s)"),
        ([service("libvirtd", "asked", "left")], "asks for guests: libvirtd"),
        ([service("db")], "stops db (TERM sent, KILL in 3 s)"),
        ([service("db", "SIGKILL", "left")], "stops db (KILL sent)"),
        ([guest("vm"), service("db")], "waits for guests: vm (2 of 5 ended; it is killed in 59 s); stops db (TERM sent, KILL in 3 s)"),
    ],
)  # fmt: skip
def test_what_is_waited_for(waiting: list[dict[str, Any]], text: str) -> None:
    assert waits(shutdown(*waiting), NOW) == text


def test_without_an_instant_the_text_stays_as_time_passes() -> None:
    assert waits(shutdown(service("db")), None) == "stops db (TERM sent)"
    assert waits(shutdown(guest("vm")), None) == "waits for guests: vm (2 of 5 ended)"


def test_what_is_overdue_is_due_now() -> None:
    assert waits(shutdown(service("db")), NOW + 10) == "stops db (TERM sent, KILL in 0 s)"


def test_names_cannot_write_to_the_terminal() -> None:
    assert "\x1b" not in waits(shutdown(guest("\x1b[2J"), service("\x1b]")), NOW)


def test_status_says_who_and_until_when() -> None:
    assert heading(shutdown(guest("vm1")), NOW).startswith("Shutting down, by root, until ")
    assert heading(shutdown(guest("vm1")), NOW).endswith(
        " at the latest: waits for guests: vm1 (2 of 5 ended; it is killed in 59 s)."
    )

import time
from typing import Any

import pytest
from tests.support.fake_varlink import daemon, reason, service, stopped

from virtsupd.cli.overview import (
    DONE,
    FAILED,
    GUESTS,
    RUNNING,
    STAGES,
    STARTING,
    STOPPED,
    STOPPING,
    WAITING,
    group_of,
    marks,
    note,
    overview,
    wrapped,
)
from virtsupd.cli.style import Style
from virtsupd.times import moment

NOW = time.mktime((2026, 11, 22, 15, 22, 40, 0, 0, -1))

GROUPS = [
    (FAILED, stopped("x", failed=True, wanted=True)),
    (STARTING, service("x", state="starting")),
    (STOPPING, service("x", state="stopping")),
    (WAITING, stopped("x", wanted=True, reason=reason("waiting", "waits for y"))),
    (WAITING, stopped("x", wanted=True, kind="condition")),
    (RUNNING, service("x")),
    (GUESTS, service("x", kind="guest")),
    (DONE, service("x", kind="one-shot", done=True)),
    (DONE, stopped("x", wanted=True, reason=reason("finished", "exited with code 0"))),
    (DONE, stopped("x", wanted=True, reason=reason("not-needed", "exited with code 11"))),
    (STOPPED, stopped("x")),
    (STOPPED, stopped("x", wanted=True, enabled=False)),
    (STAGES, service("x", kind="target")),
    (STAGES, service("x", kind="condition")),
]


@pytest.mark.parametrize(("group", "record"), GROUPS)
def test_each_service_has_its_group(group: str, record: Any) -> None:
    assert group_of(record) == group


NOTES: list[tuple[dict[str, Any], str]] = [
    (service("x"), ""),
    (service("x", status_text="rea\x1bdy"), "rea\\x1bdy"),
    (service("x", status_text="ready", status_since=NOW - 5), "ready"),
    (
        service("x", domain=["x", "u"], status_text="paused", status_since=NOW - 65),
        "paused, 1 min ago, 15:21:35",
    ),
    (stopped("x", status_text="old"), ""),
    (stopped("x", enabled=False, reason=reason("disabled", "disabled; why")), "disabled; why"),
    (stopped("x", reason=reason("finished", "exited with code 0")), ""),
    (stopped("x", reason=reason("adopted", "")), "adopted"),
    (
        stopped("x", reason=reason("backing-off", "starts again by itself", retry_at=NOW + 12)),
        "starts again by itself in 12 s",
    ),
]


@pytest.mark.parametrize(("record", "text"), NOTES)
def test_a_note_says_what_is_remarkable(record: Any, text: str) -> None:
    assert note(record, NOW) == text


MARKED: list[tuple[dict[str, Any], str]] = [
    (service("x"), ""),
    (service("x", restarts=1), "restarted once"),
    (service("x", restarts=3, warnings=["a"]), "restarted 3 times; 1 warning"),
    (service("x", replacement_pending=True), "changed, restart it to apply"),
    (service("x", enabled=False), "disabled"),
    (service("x", warnings=["cannot set limit", "b"]), "2 warnings"),
    (stopped("x", restarts=3), ""),
    (stopped("x", enabled=False, reason=reason("disabled", "disabled; why")), ""),
]


@pytest.mark.parametrize(("record", "text"), MARKED)
def test_marks_are_short(record: Any, text: str) -> None:
    assert marks(record) == text


def shown(services: list[dict[str, Any]], style: Style | None = None, **facts: Any) -> list[str]:
    """Return the lines of the overview, from the daemon's own on."""
    own: Any = daemon(since=NOW - 11_000, **facts)
    return overview(own, list(services), NOW, style or Style()).splitlines()  # type: ignore[arg-type]  # plain dicts


def test_groups_stand_in_the_order_of_urgency_with_aligned_columns() -> None:
    lines = shown(
        [
            service("user-processes", kind="target", pid=None, since=NOW - 60),
            service("libvirtd", pid=22871, since=NOW - 186, restarts=2),
            service("loopback", kind="condition", pid=None, since=NOW - 60),
            stopped(
                "web", failed=True, since=NOW - 5, reason=reason("failed", "exited with code 3")
            ),
            service("vm", pid=7, kind="guest", since=NOW - 3 * 86400),
        ]
    )
    assert lines == [
        "virtsupd 0.1.0, pid 812, up 3 h 3 min, /etc/virtsupd/host.toml",
        "1 failed, 1 running, 1 guest",
        "",
        "Failed",
        "  ! web              5 s ago, 15:22:35             exited with code 3",
        "",
        "Running",
        "  + libvirtd  22871  3 min ago, 15:19:34           restarted 2 times",
        "",
        "Guests",
        "  + vm            7  3 days ago, 2026-11-19 15:22",
        "",
        "Targets and conditions",
        "  + user-processes, loopback",
    ]


def test_a_stage_with_something_to_say_has_its_own_line() -> None:
    lines = shown([service("net", kind="condition", pid=None, since=NOW - 60, warnings=["odd"])])
    assert lines[-1] == "  + net    1 min ago, 15:21:40  1 warning"


def test_warnings_of_the_daemon_and_a_shutdown_are_at_the_top() -> None:
    shutdown = {
        "by": "root",
        "since": NOW,
        "deadline": NOW + 60,
        "phase": "services",
        "guests": 0,
        "guests_ended": 0,
        "waits": [],
    }
    end = moment(NOW + 60, NOW)
    lines = shown([], phase="shutting-down", shutdown=shutdown, warnings=["no cgroups"])
    assert lines[1:] == [
        f"Shutting down, by root, until {end} at the latest: nothing is left to wait for.",
        "Warning: no cgroups",
        "",
        "No services are defined in /etc/virtsupd/host.toml.",
    ]


def test_colours_mark_what_is_urgent() -> None:
    record = stopped("web", failed=True, since=NOW, reason=reason("failed", "exited with code 3"))
    lines = shown([record], Style(has_colors=True))
    assert lines[1] == "\x1b[31m1 failed\x1b[0m"
    assert lines[3] == "\x1b[1mFailed\x1b[0m"
    assert lines[4].startswith("  \x1b[31m!\x1b[0m web")
    assert lines[4].endswith("\x1b[31mexited with code 3\x1b[0m")


def test_on_a_terminal_no_line_is_wider_than_it() -> None:
    record = service("web", since=NOW - 60, status_text="long " * 40)
    assert max(map(len, shown([record], Style(width=72)))) <= 72


def test_what_is_cut_is_the_reason_never_the_marks() -> None:
    record = service("web", since=NOW - 60, restarts=7, warnings=["x"], status_text="long " * 40)
    for width in (120, 100):
        line = shown([record], Style(width=width))[-1]
        assert line.endswith("…; restarted 7 times; 1 warning")
        assert len(line) <= width
    record["status_text"] = ""
    assert shown([record], Style(width=70))[-1].endswith("  restarted 7 times; 1 warning")


def test_a_very_long_name_moves_its_own_columns_only() -> None:
    lines = shown([service("n" * 70, since=NOW), service("short", since=NOW)])
    assert lines[-1].index("4711") == 4 + 40 + 2


def test_names_are_wrapped_between_words() -> None:
    assert wrapped(["aaaa", "bbbb", "cccc"], 15, 4) == ["aaaa, bbbb,", "cccc"]
    assert wrapped([], 80, 4) == []

"""What an operator reads of a chain of causes."""

import json
import time
from typing import Any

from tests.support.fake_varlink import reason, service, stopped
from tests.support.scripted_client import Run

from virtsupd.cli.style import Style
from virtsupd.cli.why import page, run

NOW = time.mktime((2026, 11, 22, 15, 22, 40, 0, 0, -1))


def next_of(kind: str, text: str, **facts: Any) -> dict[str, Any]:
    return {
        "kind": kind,
        "text": text,
        "at": None,
        "then": "",
        "names": [],
        "command": [],
        **facts,
    }


def link(record: dict[str, Any], why: str, coming: dict[str, Any], **facts: Any) -> dict[str, Any]:
    return {
        "service": record,
        "why": why,
        "since": record["since"],
        "causes": [],
        "next": coming,
        "needed_by": [],
        "log": [],
        **facts,
    }


def lines_of(*links: dict[str, Any]) -> list[str]:
    found: Any = {"name": links[0]["service"]["name"], "culprits": [], "links": list(links)}
    return page(found, NOW, Style())


def waiting(name: str, *causes: str) -> dict[str, Any]:
    record = stopped(name, wanted=True, since=NOW - 186, wanted_since=NOW - 190)
    record["reason"] = reason("waiting", "waits")
    coming = next_of("starts", f"starts when {' and '.join(causes)} run")
    return link(record, f"waits for {', '.join(causes)}", coming, causes=list(causes))


def crashed(name: str) -> dict[str, Any]:
    last = {"code": None, "signal": "SIGSEGV", "text": "ended by SIGSEGV", "at": NOW - 186}
    record = stopped(name, failed=True, since=NOW - 186, last_exit=last, log_files=["/log/db"])
    record["reason"] = reason("failed", "too often")
    coming = next_of("needs-command", "stays down until started", command=["start", name])
    return link(record, "ended by SIGSEGV; too often", coming, log=["one", "two\x1b"])


def test_a_cause_stands_below_its_consequence_and_further_right() -> None:
    assert lines_of(waiting("a", "b"), waiting("b", "db"), crashed("db")) == [
        "~ a: stopped since 15:19:34, 3 min ago",
        "  Why           waits for b",
        "  Wanted        up, by boot, 3 min ago, 15:19:30",
        "  Next          starts when b run",
        "  ~ b: stopped since 15:19:34, 3 min ago",
        "    Why           waits for db",
        "    Next          starts when db run",
        "    ! db: failed since 15:19:34, 3 min ago",
        "      Why           ended by SIGSEGV; too often",
        "      Last exit     ended by SIGSEGV, 3 min ago, 15:19:34",
        "      Next          stays down until started: virtsupctl start db",
        "      Log           /log/db",
        "      | one",
        "      | two\\x1b",
    ]


def test_times_to_come_and_what_follows_are_told() -> None:
    coming = next_of("ends", "gets SIGKILL", at=NOW + 12, then="starts again")
    lines = lines_of(link(service("a", state="stopping", since=NOW - 3), "is restarted", coming))
    assert lines[-1] == "  Next          gets SIGKILL at 15:22:52, in 12 s; then starts again"


def test_since_when_is_told_where_the_state_does_not_say_it() -> None:
    coming = next_of("needs-command", "stays down", command=["start", "a"])
    record = stopped("a", since=NOW - 5)
    lines = lines_of(link(record, "stopped by root", coming, since=NOW - 9))
    assert "  Why           stopped by root, 9 s ago, 15:22:31" in lines
    lines = lines_of(link(record, "stopped by root", coming, since=None))
    assert "  Why           stopped by root" in lines


def test_a_healthy_service_says_who_wants_and_needs_it_and_nothing_of_the_past() -> None:
    last = {"code": 3, "signal": None, "text": "exited with code 3", "at": NOW - 900}
    record = service("db", since=NOW - 186, wanted_since=NOW - 190, last_exit=last)
    lines = lines_of(link(record, "as wanted", next_of("stays", "runs on"), needed_by=["a", "b"]))
    assert lines == [
        "+ db: running since 15:19:34, 3 min ago, pid 4711",
        "  Why           as wanted",
        "  Wanted        up, by boot, 3 min ago, 15:19:30",
        "  Needed by     a, b",
        "  Next          runs on",
    ]


def test_a_cause_that_may_not_be_seen_is_named() -> None:
    assert lines_of(waiting("a", "db"))[-1] == "  db: you may not look at it"


def test_no_service_writes_to_the_terminal() -> None:
    lines = lines_of(link(service("a"), "unhealthy: \x1b[2J", next_of("stays", "\x1b")))
    assert not any("\x1b" in line for line in lines)


def test_explanations_are_apart_and_the_exit_status_is_0() -> None:
    both = [{"name": one["service"]["name"], "culprits": [], "links": [one]} for one in MANY]
    ran = Run(["why", "db", "web"], {"Why": [{"explanations": both}]})
    assert run(ran.session) == 0
    assert ran.client.calls == [("Why", {"names": ["db", "web"]})]
    assert "\n\n! web: " in ran.out


def test_json_is_the_reply_as_it_came() -> None:
    reply = {"explanations": [{"name": "db", "culprits": ["db"], "links": [crashed("db")]}]}
    ran = Run(["why", "--json", "db"], {"Why": [reply]})
    assert run(ran.session) == 0
    assert json.loads(ran.out) == reply


MANY = [crashed("db"), crashed("web")]


def test_arguments_of_this_run_alone_are_told() -> None:
    record = service("luxid", once=["--no-voting"])
    lines = lines_of(link(record, "runs", next_of("stays", "goes on")))
    given = "  Once          this process was started with --once --no-voting; the next one is not"
    assert given in lines

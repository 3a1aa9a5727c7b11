import json
from typing import Any

from tests.support.fake_varlink import service
from tests.support.scripted_client import Answers, Run

from virtsupd.cli import follow


def entry(name: str, *lines: str) -> dict[str, Any]:
    """Return one reply of Log."""
    return {"name": name, "lines": list(lines)}


def changed(name: str, *changes: tuple[str, float]) -> dict[str, Any]:
    """Return a service with a history, newest first."""
    return service(name, changes=[{"state": state, "at": at} for state, at in changes])


def test_one_log_is_printed_as_it_is() -> None:
    run = Run(["log", "-n", "5", "a"], {"Log": [entry("a", "x\x1b[1m", "y"), entry("a", "z")]})
    assert follow.run(run.session) == 0
    assert run.out == "x\x1b[1m\ny\nz\n"
    assert run.client.calls == [("Log", {"names": ["a"], "lines": 5, "follow": False})]


def test_twenty_lines_are_shown_unless_told_and_none_for_0() -> None:
    for words, lines in ((["log", "a"], 20), (["log", "-f", "-n0", "a"], 0)):
        run = Run(words, {"Log": []})
        follow.run(run.session)
        assert run.client.calls[0][1]["lines"] == lines


def test_lines_of_several_logs_begin_with_the_name() -> None:
    run = Run(["log", "a", "bbb"], {"Log": [entry("a", "x"), entry("bbb", "y")]})
    follow.run(run.session)
    assert run.out == "a   | x\nbbb | y\n"


def test_a_log_cannot_drive_a_terminal() -> None:
    run = Run(["log", "a"], {"Log": [entry("a", "x\x1b[2J")]}, terminal=True)
    follow.run(run.session)
    assert run.out == "x\\x1b[2J\n"


def test_json_of_a_log_is_a_document_a_line() -> None:
    run = Run(["log", "--json", "a"], {"Log": [entry("a", "x", "y")]})
    follow.run(run.session)
    assert [json.loads(line)["line"] for line in run.out.splitlines()] == ["x", "y"]


def test_without_names_the_latest_changes_are_merged_by_time() -> None:
    services = [
        changed("a", ("running", 30.0), ("starting", 10.0)),
        changed("b", ("running", 20.0), ("starting", 20.0)),
    ]
    run = Run(["log", "-n", "3"], {"Status": [{"services": services}]})
    follow.run(run.session)
    assert [line.split("  ")[1] for line in run.out.splitlines()] == [
        "b starting",
        "b running",
        "a running",
    ]


def test_no_lines_of_the_past_are_none() -> None:
    run = Run(["log", "-n0"], {"Status": [{"services": [changed("a", ("running", 1.0))]}]})
    follow.run(run.session)
    assert run.out == ""


def test_following_changes_goes_on_with_what_happens() -> None:
    answers: Answers = {
        "Status": [{"services": [changed("a", ("running", 1.0))]}],
        "Watch": [
            {"event": {"event": "service stopping", "service": service("a", state="stopping")}}
        ],
    }
    run = Run(["--json", "log", "-f"], answers)
    assert follow.run(run.session) == 0
    first, second = map(json.loads, run.out.splitlines())
    assert first == {"name": "a", "state": "running", "at": 1.0}
    assert second["event"] == "service stopping"


def test_watch_prints_a_line_for_each_change() -> None:
    event = {"event": "service running", "service": service("a", pid=7)}
    run = Run(["watch", "a"], {"Watch": [{"event": event}]}, terminal=False)
    assert follow.run(run.session) == 0
    assert run.out.split("  ")[1] == "a running, pid 7\n"
    assert run.client.calls == [("Watch", {"names": ["a"]})]
    assert run.err == ""

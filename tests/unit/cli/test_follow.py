import json
import time
from typing import Any

from tests.support.fake_varlink import event, reason, service, stopped
from tests.support.scripted_client import Answers, Run

from virtsupd.cli import follow

KEPT = [{"services": [service("a", log_files=["/l/a"]), service("bbb", log_files=["/l/b"])]}]
"""The answer of Status that has logs of a and bbb."""


def entry(name: str, *lines: str) -> dict[str, Any]:
    """Return one reply of Log."""
    return {"name": name, "lines": list(lines)}


def changed(name: str, *changes: tuple[str, float]) -> dict[str, Any]:
    """Return a service with a history, newest first."""
    history = [{"state": state, "at": at} for state, at in changes]
    return service(name, changes=history, state=changes[0][0], since=changes[0][1])


def test_one_log_is_printed_as_it_is() -> None:
    run = Run(
        ["log", "-n", "5", "a"],
        {"Status": KEPT, "Log": [entry("a", "x\x1b[1m", "y"), entry("a", "z")]},
    )
    assert follow.run(run.session) == 0
    assert run.out == "x\x1b[1m\ny\nz\n"
    assert run.client.calls[1:] == [("Log", {"names": ["a"], "lines": 5, "follow": False})]


def test_twenty_lines_are_shown_unless_told_and_none_for_0() -> None:
    for words, lines in ((["log", "a"], 20), (["log", "-f", "-n0", "a"], 0)):
        run = Run(words, {"Status": KEPT, "Log": []})
        follow.run(run.session)
        assert run.client.calls[1][1]["lines"] == lines


def test_lines_of_several_logs_begin_with_the_name() -> None:
    run = Run(["log", "a", "bbb"], {"Status": KEPT, "Log": [entry("a", "x"), entry("bbb", "y")]})
    follow.run(run.session)
    assert run.out == "a   | x\nbbb | y\n"


def test_a_log_cannot_drive_a_terminal() -> None:
    run = Run(["log", "a"], {"Status": KEPT, "Log": [entry("a", "x\x1b[2J")]}, terminal=True)
    follow.run(run.session)
    assert run.out == "x\\x1b[2J\n"


def test_json_of_a_log_is_a_document_a_line() -> None:
    run = Run(["log", "--json", "a"], {"Status": KEPT, "Log": [entry("a", "x", "y")]})
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
        "b running, pid 4711",
        "a running, pid 4711",
    ]


def test_no_lines_of_the_past_are_none() -> None:
    run = Run(["log", "-n0"], {"Status": [{"services": [changed("a", ("running", 1.0))]}]})
    follow.run(run.session)
    assert run.out == ""


def test_following_changes_goes_on_with_what_happens() -> None:
    answers: Answers = {
        "Status": [{"services": [changed("a", ("running", 1.0))]}],
        "Watch": [{"event": event(service("a", state="stopping"))}],
    }
    run = Run(["--json", "log", "-f"], answers)
    assert follow.run(run.session) == 0
    first, second = map(json.loads, run.out.splitlines())
    assert (first["event"], first["service"]["name"]) == ("service running", "a")
    assert second["event"] == "service stopping"
    assert first.keys() == second.keys()
    assert first["service"].keys() == second["service"].keys()


def test_watch_prints_a_line_for_each_change() -> None:
    happened = event(service("a", pid=7), at=time.mktime((2026, 11, 22, 15, 0, 1, 0, 0, -1)))
    run = Run(["watch", "a"], {"Watch": [{"event": happened}]}, terminal=False)
    assert follow.run(run.session) == 0
    assert run.out == "2026-11-22 15:00:01  a running, pid 7\n"
    assert run.client.calls == [("Watch", {"names": ["a"]})]
    assert run.err == ""


def crash() -> list[dict[str, Any]]:
    """Return what Watch tells of a crash."""
    last = {"code": 3, "signal": None, "text": "exited with code 3", "at": 50.0}
    down: dict[str, Any] = {"pid": None, "since": 50.0, "last_exit": last}
    ending = service("a", state="stopping", **down)
    backing_off = reason("backing-off", "exited with code 3; starts again by itself", retry_at=50.1)
    ended = service("a", state="stopped", reason=backing_off, **down)
    return [
        {"event": event(ending, "service exited", 50.0)},
        {"event": event(ending, at=50.0)},
        {"event": event(ended, at=50.0)},
    ]


def test_a_crash_is_told_with_its_exit_and_what_comes_next() -> None:
    run = Run(["watch"], {"Watch": crash()})
    follow.run(run.session)
    assert [line.split("  ")[1] for line in run.out.splitlines()] == [
        "a exited with code 3",
        "a stopped, exited with code 3; starts again by itself in 0.1 s",
    ]


def test_json_of_an_event_is_short_unless_verbose() -> None:
    run = Run(["--json", "watch"], {"Watch": crash()})
    follow.run(run.session)
    last = json.loads(run.out.splitlines()[-1])
    assert last == {
        "event": "service stopped",
        "at": 50.0,
        "service": {
            "name": "a",
            "state": "stopped",
            "pid": None,
            "reason": crash()[2]["event"]["service"]["reason"],
            "exit": crash()[2]["event"]["service"]["last_exit"],
        },
    }
    assert len(run.out.splitlines()) == 3
    run = Run(["--json", "-v", "watch"], {"Watch": crash()})
    follow.run(run.session)
    assert [json.loads(line) for line in run.out.splitlines()] == [one["event"] for one in crash()]


def test_where_the_output_of_a_guest_is_is_told() -> None:
    guest = service(
        "web", kind="guest", command=[], domain=["web 1", "qemu:///system"], log_files=[]
    )
    run = Run(["log", "web"], {"Status": [{"services": [guest]}], "Log": []})
    assert follow.run(run.session) == 0
    assert run.err == (
        "web has no log: that of its QEMU is /var/log/libvirt/qemu/web 1.log, "
        "and its console: virsh console 'web 1'\n"
    )


def test_a_service_without_a_log_says_so() -> None:
    services = [service("a"), stopped("net", kind="target", command=[])]
    for words, said in ((["log"], True), (["-q", "log"], False)):
        run = Run([*words, "a", "net"], {"Status": [{"services": services}], "Log": []})
        assert follow.run(run.session) == 0
        assert run.out == ""
        assert (
            run.err
            == (
                "a has no log: its output is not kept (log = false)\n"
                "net has no log: it has no process\n"
            )
            * said
        )

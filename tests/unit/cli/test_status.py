import json

from tests.support.fake_varlink import daemon, service, stopped
from tests.support.scripted_client import Answers, Run

from virtsupd.cli import status
from virtsupd.errors import ActionError, PeerDeniedError

RUNNING = service("a", log_files=["/log/a"])
DEFINED = [{"text": 'command = ["x"]\nuser = "nobody"\n'}]


def test_the_overview_asks_for_everything_and_never_fails() -> None:
    run = Run([], {"Status": [{"daemon": daemon(), "services": [stopped("a", failed=True)]}]})
    assert status.run(run.session) == 0
    assert run.client.calls == [("Status", {"names": []})]
    assert "1 failed" in run.out


def test_a_running_service_is_0_and_any_other_3() -> None:
    for record, code in ((RUNNING, 0), (stopped("a"), 3), (service("a", state="starting"), 3)):
        run = Run(
            ["status", "a"],
            {"Status": [{"daemon": daemon(), "services": [record]}], "Log": [], "Cat": DEFINED},
        )
        assert status.run(run.session) == code


def test_a_page_holds_the_last_ten_lines() -> None:
    answers: Answers = {
        "Status": [{"daemon": daemon(), "services": [RUNNING]}],
        "Log": [{"name": "a", "lines": ["x", "y"]}],
        "Cat": DEFINED,
    }
    run = Run(["status", "a"], answers)
    status.run(run.session)
    assert run.client.calls[-2] == ("Log", {"names": ["a"], "lines": 10, "follow": False})
    assert run.out.endswith("  | x\n  | y\n")


def test_pages_are_apart() -> None:
    both = {"daemon": daemon(), "services": [service("b"), service("c")]}
    run = Run(["status", "b", "c"], {"Status": [both], "Cat": DEFINED})
    status.run(run.session)
    assert "\n\n+ c\n" in run.out


def test_processes_are_asked_for_on_request_alone() -> None:
    process = {"pid": 7, "command": "sh", "memory_bytes": 1, "cpu_seconds": 0.0}
    answers: Answers = {
        "Status": [{"daemon": daemon(), "services": [service("a")]}],
        "Processes": [{"processes": [process]}],
        "Cat": DEFINED,
    }
    run = Run(["status", "-p", "a"], answers)
    status.run(run.session)
    assert ("Processes", {"name": "a"}) in run.client.calls
    assert "COMMAND" in run.out


def test_a_log_that_may_not_be_read_costs_its_lines_only() -> None:
    answers: Answers = {
        "Status": [{"daemon": daemon(), "services": [RUNNING]}],
        "Log": [PeerDeniedError("no")],
        "Cat": DEFINED,
    }
    run = Run(["status", "a"], answers)
    assert status.run(run.session) == 0
    assert "/log/a" in run.out


def test_a_page_holds_the_definition_if_it_may_be_seen() -> None:
    for cat, shown in ((DEFINED, True), ([PeerDeniedError("no")], False)):
        answers: Answers = {
            "Status": [{"daemon": daemon(), "services": [service("a")]}],
            "Cat": cat,
        }
        run = Run(["status", "a"], answers)
        assert status.run(run.session) == 0
        assert ("  User          nobody\n" in run.out) == shown


def test_json_is_the_reply_as_it_came() -> None:
    reply = {"daemon": daemon(), "services": [RUNNING]}
    run = Run(["status", "--json", "a"], {"Status": [reply]})
    assert status.run(run.session) == 0
    assert json.loads(run.out) == reply
    assert run.out.count("\n") == 1


def test_quiet_is_the_exit_status_alone() -> None:
    run = Run(["status", "-q", "a"], {"Status": [{"daemon": daemon(), "services": [stopped("a")]}]})
    assert status.run(run.session) == 3
    assert run.out == ""


def test_the_end_of_a_log_is_empty_when_it_cannot_be_read() -> None:
    run = Run(["status"], {"Log": [{"name": "a", "lines": ["x"]}, ActionError("gone")]})
    record = RUNNING
    assert status.last_lines(run.session, record, 3) == []  # type: ignore[arg-type]  # a plain dict

import json
from typing import Any

import pytest
from tests.support.fake_varlink import progress, reason, reports, service, step, stopped
from tests.support.scripted_client import Answers, Run

from virtsupd.cli import commands
from virtsupd.cli.arguments import UsageError
from virtsupd.errors import PeerDeniedError, UnreachableError


def hung_up() -> UnreachableError:
    """Return what the client raises when a connection ends without an answer."""
    error = UnreachableError("cannot reach virtsupd")
    error.__cause__ = ConnectionResetError()
    return error


CALLS: list[tuple[list[str], str, dict[str, Any]]] = [
    (["start", "a", "b"], "Start", {"names": ["a", "b"], "guests": False, "force": False}),
    (
        ["start", "a", "--once", "--no-voting", "--once=b c"],
        "Start",
        {"names": ["a"], "guests": False, "force": False, "once": ["--no-voting", "b c"]},
    ),
    (["stop", "-g", "a"], "Stop", {"names": ["a"], "guests": True, "force": False}),
    (["restart", "--force", "a"], "Restart", {"names": ["a"], "guests": False, "force": True}),
    (["reload", "a"], "ReloadService", {"names": ["a"], "guests": False}),
    (["enable", "a"], "Enable", {"names": ["a"]}),
    (["disable", "a"], "Disable", {"names": ["a"]}),
    (["wait", "--state", "stopped", "a"], "Wait", {"names": ["a"], "state": "stopped"}),
]


@pytest.mark.parametrize(("words", "method", "parameters"), CALLS)
def test_a_verb_is_one_call(words: list[str], method: str, parameters: dict[str, Any]) -> None:
    run = Run(words, {method: [reports(("a", "done", ""))]})
    assert commands.run(run.session) == 0
    assert run.client.calls == [(method, parameters)]


def test_arguments_that_were_not_used_are_said_to_be_so_and_fail_nothing() -> None:
    text = "a is already running; --once has no effect"
    run = Run(["start", "a", "--once", "x"], {"Start": [reports(("a", "already", text))]})
    assert commands.run(run.session) == 0
    assert run.out == f"{text}\n"


def test_one_reason_to_refuse_many_is_said_once() -> None:
    rows = [(name, "refused", f"cannot stop {name}: nothing was changed, see v") for name in "ab"]
    rows += [("v", "refused", "cannot stop v: its guests")]
    rows += [(name, "refused", "this would end vm") for name in "cd"]
    rows += [(name, "refused", "") for name in "ef"]
    run = Run(["stop", *"abvcdef"], {"Stop": [reports(*rows)]})
    assert commands.run(run.session) == 1
    assert run.err.splitlines() == [
        "cannot stop a, b: nothing was changed, see v",
        "cannot stop v: its guests",
        "cannot stop c, d: this would end vm",
        "e: refused",
        "f: refused",
    ]


def test_one_bad_report_makes_the_command_fail() -> None:
    rows = reports(("a", "done", "a is running"), ("b", "disabled", "b: disabled"))
    run = Run(["start", "a", "b"], {"Start": [rows]})
    assert commands.run(run.session) == 1
    assert run.out == "a is running\n"
    assert run.err == "b: disabled\n"


def test_a_failed_start_shows_the_end_of_the_output() -> None:
    answers: Answers = {
        "Start": [reports(("a", "failed", "a: exited with code 3"))],
        "Status": [{"services": [stopped("a", failed=True)]}],
        "Log": [{"name": "a", "lines": ["no such port\x1b"]}],
    }
    run = Run(["start", "a"], answers)
    assert commands.run(run.session) == 1
    assert run.err.splitlines() == [
        "a: exited with code 3",
        "  | no such port\\x1b",
        "  more: virtsupctl status a",
    ]


def test_a_start_that_fails_for_another_service_points_to_that_one() -> None:
    waits = reason("waiting", "waits for b (stopped)", names=["b"])
    graph = [
        stopped("a", reason=waits),
        stopped("b", reason=reason("waiting", "waits for c (failed)", names=["a", "c"])),
        stopped("c", failed=True, log_files=["/l/c"]),
    ]
    answers: Answers = {
        "Start": [reports(("a", "failed", "a needs c: exited with code 4"))],
        "Status": [{"services": graph}],
        "Log": [{"name": "c", "lines": ["oops"]}],
    }
    run = Run(["start", "a"], answers)
    assert commands.run(run.session) == 1
    assert run.err.endswith("  | oops\n  more: virtsupctl status c\n")
    nobody: Answers = {**answers, "Status": [{"services": [stopped("a", reason=waits)]}]}
    run = Run(["start", "a"], nobody)
    assert commands.run(run.session) == 1
    assert run.err.endswith("more: virtsupctl status a\n")


def test_output_that_may_not_be_read_is_left_out() -> None:
    answers: Answers = {
        "Start": [reports(("a", "failed", "a: x"))],
        "Status": [PeerDeniedError("no")],
    }
    run = Run(["start", "a"], answers)
    assert commands.run(run.session) == 1
    assert run.err.endswith("more: virtsupctl status a\n")


@pytest.mark.parametrize(
    ("verb", "method", "text"),
    [
        ("stop", "Stop", "also stopped, until it is started again: b, c\n"),
        ("restart", "Restart", "also restarted: b, c\n"),
        ("start", "Start", "stopped, since it conflicts: b, c\n"),
    ],
)
def test_what_else_was_touched_is_named(verb: str, method: str, text: str) -> None:
    run = Run([verb, "a"], {method: [reports(("a", "done", "a x"), touched=["a", "b", "c"])]})
    commands.run(run.session)
    assert run.out == f"a x\n{text}"


def test_progress_is_shown_on_request_for_what_the_command_can_move() -> None:
    moving = service("a", state="starting", pid=5)
    needed = service("b", state="starting", pid=6)
    other = service("c", state="starting", pid=7)
    rows = [progress(moving), progress(other), progress(needed), reports(("a", "done", "a up"))]
    graph = [service("a", requires=["b"]), service("b"), other]
    run = Run(["-v", "start", "a"], {"Status": [{"services": graph}], "Start": rows})
    assert commands.run(run.session) == 0
    assert run.err == "a starting, pid 5\nb starting, pid 6\n"


@pytest.mark.parametrize(("verb", "told"), [("start", 1), ("wait", 1), ("stop", 0)])
def test_what_is_under_way_already_is_progress_of_a_start(verb: str, told: int) -> None:
    graph = [service("a", requires=["b"]), service("b", state="starting", pid=6)]
    rows = {verb.title(): [reports(("a", "done", "a x"))]}
    run = Run(["-v", verb, "a"], {"Status": [{"services": graph}], **rows})
    assert commands.run(run.session) == 0
    assert run.err == "b starting, pid 6\n" * told


def test_a_command_that_times_out_says_so_in_json_too() -> None:
    run = Run(["--json", "-t", "50ms", "wait", "a"], {"Wait": [TimeoutError()]})
    assert commands.run(run.session) == 7
    assert json.loads(run.out)["error"]["code"] == "timed-out"
    assert run.err == "virtsupctl: no end within 50 ms; a: not running yet\n"


def test_progress_of_everything_is_shown_where_the_graph_may_not_be_seen() -> None:
    rows = [progress(service("c", state="starting", pid=7)), reports(("a", "done", "a up"))]
    run = Run(["-v", "start", "a"], {"Status": [PeerDeniedError("no")], "Start": rows})
    assert commands.run(run.session) == 0
    assert run.err == "c starting, pid 7\n"


def test_json_is_reports_and_what_was_touched() -> None:
    run = Run(["--json", "stop", "a"], {"Stop": [reports(("a", "done", "x"), touched=["a", "b"])]})
    assert commands.run(run.session) == 0
    assert json.loads(run.out) == {
        "reports": [{"name": "a", "result": "done", "message": "x"}],
        "touched": ["a", "b"],
    }


def test_quiet_prints_what_failed_alone() -> None:
    rows = reports(("a", "done", "a is stopped"), ("b", "failed", "b: stuck"))
    run = Run(["-q", "stop", "a", "b"], {"Stop": [rows]})
    assert commands.run(run.session) == 1
    assert (run.out, run.err) == ("", "b: stuck\n")


@pytest.mark.parametrize(
    ("words", "method", "text"),
    [
        (["start", "a"], "Start", "(start a) stays in force; take it back with: virtsupctl stop a"),
        (["stop", "a"], "Stop", "(stop a) stays in force; take it back with: virtsupctl start a"),
        (["restart", "a"], "Restart", "the command (restart a) stays in force"),
        (["shutdown"], "Shutdown", "the command (shutdown) stays in force"),
        (["wait", "a"], "Wait", "a: not running yet"),
    ],
)
def test_an_interrupted_wait_leaves_the_command_in_force(
    words: list[str], method: str, text: str
) -> None:
    run = Run(words, {method: [KeyboardInterrupt()]})
    assert commands.run(run.session) == 130
    assert run.err.startswith("virtsupctl: interrupted; ")
    assert run.err.rstrip().endswith(text)


def test_a_wait_that_takes_too_long_is_7() -> None:
    run = Run(["-t", "5", "wait", "a"], {"Wait": [TimeoutError()]})
    assert commands.run(run.session) == 7
    assert run.err == "virtsupctl: no end within 5 s; a: not running yet\n"


RELOADED = {
    "steps": [step("a", "started"), step("b", "pending", command=["restart", "b"])],
    "warnings": [],
}


def test_a_reload_says_what_it_did() -> None:
    run = Run(["reload"], {"Reload": [RELOADED]})
    assert commands.run(run.session) == 0
    assert run.out.splitlines()[0] == "a: is being started"
    run = Run(["--json", "reload"], {"Reload": [RELOADED]})
    commands.run(run.session)
    assert json.loads(run.out) == RELOADED


def test_a_reload_restarts_what_needs_it_if_it_is_to() -> None:
    answers: Answers = {"Reload": [RELOADED], "Restart": [reports(("b", "done", "b is running"))]}
    run = Run(["reload", "--restart"], answers)
    assert commands.run(run.session) == 0
    assert [method for method, _ in run.client.calls] == ["Reload", "Restart"]
    parameters = run.client.calls[1][1]
    assert (parameters["names"], parameters["guests"]) == (["b"], False)
    assert run.out.splitlines()[-1] == "b is running"
    run = Run(["--json", "reload", "--restart"], answers)
    commands.run(run.session)
    assert json.loads(run.out) == RELOADED | {
        "reports": answers["Restart"][0]["reports"],
        "touched": [],
    }


def test_a_reload_restarts_nothing_with_which_a_guest_would_end() -> None:
    steps = [
        step("vm", "pending", kind="guest", command=["restart", "vm"]),
        step("net", "pending", command=["restart", "net", "--guests"], guests=["vm"]),
    ]
    run = Run(["reload", "--restart"], {"Reload": [{"steps": steps, "warnings": []}]})
    assert commands.run(run.session) == 0
    assert [method for method, _ in run.client.calls] == ["Reload"]


def test_a_reload_of_services_restarts_nothing() -> None:
    run = Run(["reload", "--restart", "a"], {})
    with pytest.raises(UsageError, match="without names only"):
        commands.run(run.session)
    assert run.client.calls == []


@pytest.mark.parametrize("last", [{}, hung_up()])
def test_shutdown_and_quit_end_with_an_answer_or_with_the_daemon(last: Any) -> None:
    moving = progress(service("vm", state="stopping", kind="guest"))
    gone: list[Any] = [UnreachableError("cannot reach virtsupd")]
    run = Run(["shutdown"], {"Shutdown": [moving, last], "Status": gone})
    assert commands.run(run.session) == 0
    assert run.client.calls[0] == ("Shutdown", {})
    assert run.out == "everything is stopped, virtsupd ends\n"
    run = Run(["quit"], {"Quit": [last], "Status": gone})
    assert commands.run(run.session) == 0
    assert run.out == "virtsupd ends; every service runs on\n"


SHUTDOWN: dict[str, Any] = {
    "by": "root",
    "since": 1.0,
    "deadline": 2.0,
    "phase": "guests",
    "guests": 2,
    "guests_ended": 1,
    "waits": [
        {"name": "vm", "guest": True, "host": "v", "did": "save", "due": None, "then": "kill"}
    ],
}


def test_a_shutdown_says_what_it_waits_for_and_what_it_left() -> None:
    last = {"left": ["guest vm of v: stuck"]}
    run = Run(
        ["-v", "shutdown"], {"Shutdown": [{"shutdown": SHUTDOWN}, {"shutdown": SHUTDOWN}, last]}
    )
    assert commands.run(run.session) == 1
    assert run.out == ""
    assert run.err.splitlines() == [
        "waits for guests: vm (being saved) (1 of 2 ended)",
        "left behind: guest vm of v: stuck",
    ]
    run = Run(["--json", "shutdown"], {"Shutdown": [{"shutdown": SHUTDOWN}, last]})
    assert commands.run(run.session) == 1
    assert json.loads(run.out) == last
    run = Run(["--json", "shutdown"], {"Shutdown": [{"left": []}]})
    assert commands.run(run.session) == 0
    assert json.loads(run.out) == {"left": []}


def test_a_virtsupd_that_was_killed_has_not_shut_down() -> None:
    refused = UnreachableError("cannot reach virtsupd")
    refused.__cause__ = ConnectionRefusedError()
    answers: dict[str, list[Any]] = {
        "Shutdown": [{"shutdown": SHUTDOWN}, hung_up()],
        "Status": [refused] * 50,
    }
    run = Run(["shutdown"], answers)
    with pytest.raises(UnreachableError):
        commands.run(run.session)


def test_json_of_quit_is_an_empty_document() -> None:
    run = Run(["--json", "quit"], {"Quit": [{}]})
    commands.run(run.session)
    assert json.loads(run.out) == {}


@pytest.mark.parametrize(("words", "method"), [(["shutdown"], "Shutdown"), (["quit"], "Quit")])
def test_nobody_there_is_no_shutdown(words: list[str], method: str) -> None:
    run = Run(words, {method: [UnreachableError("cannot reach virtsupd")]})
    with pytest.raises(UnreachableError):
        commands.run(run.session)


@pytest.mark.parametrize(("words", "method"), [(["shutdown"], "Shutdown"), (["quit"], "Quit")])
def test_a_connection_that_ends_is_no_shutdown_while_virtsupd_answers(
    words: list[str], method: str
) -> None:
    run = Run(words, {method: [hung_up()], "Status": [{"services": []}]})
    with pytest.raises(UnreachableError):
        commands.run(run.session)


def test_a_daemon_that_dies_during_a_start_is_an_error() -> None:
    run = Run(["start", "a"], {"Start": [progress(service("a", state="starting")), hung_up()]})
    with pytest.raises(UnreachableError):
        commands.run(run.session)

"""virtsupctl reexec, and commands that meet one."""

from typing import Any

import pytest
from tests.support.fake_varlink import reports
from tests.support.scripted_client import Run, ScriptedClient

from virtsupd.cli import commands, reexec
from virtsupd.errors import ReexecError, ReexecutingError, UnreachableError

TOLD: dict[str, Any] = {"version": "1", "next_version": "2", "reexecs": 3}


def status(**changes: Any) -> dict[str, Any]:
    daemon = {"pid": 7, "version": "2", "reexecs": 4, "warnings": []} | changes
    return {"daemon": daemon, "services": []}


@pytest.mark.parametrize(
    ("version", "words", "text"),
    [
        ("2", ["reexec"], "virtsupd 1 is 2 now, pid 7\n"),
        ("1", ["reexec"], "virtsupd 1 goes on anew, pid 7\n"),
        ("2", ["--json", "reexec"], '{"version": "2", "before": "1"}\n'),
        ("2", ["-q", "reexec"], ""),
    ],
)
def test_the_new_program_is_asked_once_the_old_one_is_gone(
    version: str, words: list[str], text: str
) -> None:
    run = Run(words, {"Reexec": [TOLD], "Status": [status(version=version)]})
    assert reexec.run(run.session) == 0
    assert run.out == text
    assert [method for method, _ in run.client.calls] == ["Reexec", "await_end", "Status"]


@pytest.mark.parametrize(
    ("warnings", "reason"),
    [
        (["no cgroups", "virtsupd could not re-execute itself: gone"], "itself: gone"),
        ([], "its log says why"),
    ],
)
def test_a_program_that_goes_on_as_it_was_says_why(warnings: list[str], reason: str) -> None:
    run = Run(["reexec"], {"Reexec": [TOLD], "Status": [status(reexecs=3, warnings=warnings)]})
    with pytest.raises(ReexecError, match=reason):
        reexec.run(run.session)


def test_a_program_that_died_is_told_from_one_that_was_refused() -> None:
    run = Run(["reexec"], {"Reexec": [TOLD], "Status": [UnreachableError("nobody there")]})
    with pytest.raises(UnreachableError, match=r"the services run on.*nobody there"):
        reexec.run(run.session)


class Reexecuting(ScriptedClient):
    """Re-executes itself at the first call."""

    def stream(self, method: str, parameters: dict[str, object] | None = None) -> Any:
        if not self.calls:
            self.calls.append((method, parameters or {}))
            raise ReexecutingError
        return super().stream(method, parameters)


@pytest.mark.parametrize(
    ("verb", "asked"),
    [
        ("start", ["Start", "await_end", "Start"]),
        ("stop", ["Stop", "await_end", "Stop"]),
        ("wait", ["Wait", "await_end", "Wait"]),
        ("restart", ["Restart", "await_end", "Wait"]),
    ],
)
def test_the_new_program_is_asked_where_that_is_safe(verb: str, asked: list[str]) -> None:
    run = Run([verb, "a"], {})
    answers = {method: [reports(("a", "done", ""))] for method in ("Start", "Stop", "Wait")}
    run.session.client = run.client = Reexecuting(answers)
    assert commands.run(run.session) == 0
    assert [method for method, _ in run.client.calls] == asked


def test_what_may_not_be_done_twice_is_told() -> None:
    run = Run(["reload", "a"], {})
    run.session.client = run.client = Reexecuting({})
    with pytest.raises(ReexecutingError):
        commands.run(run.session)

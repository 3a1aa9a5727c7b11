from typing import Any

import pytest

from virtsupd.cli.reports import merged, report_text


@pytest.mark.parametrize(
    ("verb", "result", "message", "text"),
    [
        ("start", "done", "a is running", "a is running"),
        ("start", "done", "", "a is running"),
        ("stop", "already", "", "a is already stopped"),
        ("wait", "done", "", "a is stopped"),
        ("start", "not-needed", "", "a is not needed here"),
        ("start", "failed", "exited with code 3", "a: exited with code 3"),
        ("start", "waiting", "a needs b: stopped by root", "a needs b: stopped by root"),
        ("start", "failed", "a: no such program", "a: no such program"),
        ("start", "superseded", "", "a: superseded"),
        ("stop", "refused", "cannot stop a: vm is wet", "cannot stop a: vm is wet"),
        ("stop", "refused", "cannot stop b: vm is wet", "a: cannot stop b: vm is wet"),
        ("stop", "refused", "give --guests", "a: give --guests"),
        ("stop", "done", "bad \x1b", "a: bad \\x1b"),
    ],
)
def test_a_report_is_a_sentence(verb: str, result: str, message: str, text: str) -> None:
    report: Any = {"name": "a", "result": result, "message": message}
    assert report_text(verb, "stopped", report) == text


def test_one_reason_is_told_of_all_that_it_is_about() -> None:
    alike: list[Any] = [
        {"name": name, "result": "refused", "message": f"cannot stop {name}: no"} for name in "ab"
    ]
    [found] = merged("stop", alike)
    assert found == {"name": "a, b", "result": "refused", "message": "cannot stop a, b: no"}

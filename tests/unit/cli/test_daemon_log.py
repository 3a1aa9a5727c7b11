"""The daemon's own log: lines for people, or JSON."""

import io
import json
import sys
from collections.abc import Iterator
from typing import Literal

import pytest
import structlog

from virtsupd.cli.daemon_log import configure_log


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """Undo the configuration of the log after each test."""
    before = structlog.get_config()
    yield
    structlog.reset_defaults()
    structlog.configure(**before)


class Terminal(io.StringIO):
    """A standard error that says whether it is a terminal."""

    def __init__(self, *, is_terminal: bool) -> None:
        super().__init__()
        self._is_terminal = is_terminal

    def isatty(self) -> bool:
        return self._is_terminal


@pytest.mark.parametrize(
    ("log_format", "is_terminal", "is_json"),
    [
        ("auto", False, True),
        ("auto", True, False),
        ("json", True, True),
        ("console", False, False),
    ],
)
def test_the_format_follows_the_setting_and_the_terminal(
    monkeypatch: pytest.MonkeyPatch,
    log_format: Literal["auto", "console", "json"],
    *,
    is_terminal: bool,
    is_json: bool,
) -> None:
    stream = Terminal(is_terminal=is_terminal)
    monkeypatch.setattr(sys, "stderr", stream)
    configure_log(log_format)
    structlog.get_logger().info("service running", service="web", pid=7)
    structlog.get_logger().debug("not shown")
    [line] = stream.getvalue().splitlines()
    if is_json:
        entry = json.loads(line)
        assert (entry["event"], entry["service"], entry["pid"]) == ("service running", "web", 7)
        assert entry["timestamp"].endswith("Z")
    else:
        assert "service running" in line
        assert "web" in line
    assert ("\x1b[" in line) == (is_terminal and not is_json)


@pytest.mark.parametrize("log_format", ["console", "json"])
def test_a_defect_comes_with_its_traceback(
    monkeypatch: pytest.MonkeyPatch, log_format: Literal["console", "json"]
) -> None:
    stream = Terminal(is_terminal=False)
    monkeypatch.setattr(sys, "stderr", stream)
    configure_log(log_format)
    try:
        int("unforeseen")
    except ValueError:
        structlog.get_logger().exception("task failed")
    assert "ValueError: invalid literal" in stream.getvalue()
    assert "Traceback" in stream.getvalue()

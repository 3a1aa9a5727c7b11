import io
import time
from typing import Any

from tests.support.checks import eventually
from tests.support.fake_varlink import reason, service, stopped
from tests.support.scripted_client import Terminal

from virtsupd.cli.progress import Progress, change_line
from virtsupd.cli.style import Style

NOW = 1_000_000.0


def starting(name: str, **facts: Any) -> Any:
    """Return a service that has been starting for two seconds."""
    return service(name, state="starting", since=NOW - 2.4, **facts)


def progress(*names: str, doing: str = "starting") -> Progress:
    """Return progress at a fixed time."""
    return Progress(doing, list(names), now=lambda: NOW)


def test_before_the_first_change_the_command_itself_is_shown() -> None:
    assert progress("a", "b").line() == "starting a, b (0 s)"
    assert progress(doing="stopping everything").line() == "stopping everything  (0 s)"


def test_the_longest_waiting_service_is_shown_with_what_it_waits_for() -> None:
    shown = progress("libvirtd")
    shown.update(starting("libvirtd", reason=reason("waiting", "waits for virtlogd")))
    assert shown.line() == "starting libvirtd (2 s, waits for virtlogd)"
    shown.update(starting("virtlogd"))
    shown.update(starting("udev"))
    assert shown.line() == "starting libvirtd (2 s, waits for virtlogd) and 2 more"


def test_what_has_arrived_is_shown_no_longer() -> None:
    shown = progress("a")
    shown.update(starting("a"))
    shown.update(starting("b"))
    shown.update(service("a"))  # type: ignore[arg-type]  # a plain dict
    assert shown.line() == "starting b (2 s)"


def test_stopped_but_waiting_counts_as_moving() -> None:
    shown = progress("a")
    waiting: Any = stopped("a", since=NOW - 2, reason=reason("waiting", "waits for b"))
    shown.update(waiting)
    assert shown.line() == "waiting for a (2 s, waits for b)"


def test_a_terminal_gets_one_line_that_is_cleared_at_the_end() -> None:
    terminal, shown = Terminal(), progress("a")
    shown.show_on(terminal, Style(can_redraw=True, width=80), verbose=False)
    eventually(terminal.getvalue, "a line on the terminal")
    shown.close()
    shown.close()
    assert terminal.getvalue().startswith("\r\x1b[Kstarting a (0 s)")
    assert terminal.getvalue().endswith("(0 s)\r\x1b[K")
    assert "\n" not in terminal.getvalue()


def test_what_is_quick_leaves_no_trace_on_a_terminal() -> None:
    terminal, shown = Terminal(), progress("a")
    began = time.monotonic()
    shown.show_on(terminal, Style(can_redraw=True, width=80), verbose=False)
    shown.close()
    assert terminal.getvalue() == "" or time.monotonic() - began > 0.2


def test_elsewhere_changes_are_lines_on_request_alone() -> None:
    for verbose, text in ((True, "a starting, pid 4711, slow\n"), (False, "")):
        stream, shown = io.StringIO(), progress("a")
        shown.show_on(stream, Style(), verbose=verbose)
        shown.update(starting("a", status_text="slow"))
        shown.close()
        assert stream.getvalue() == text


def test_a_failure_is_called_one() -> None:
    record: Any = stopped("a", failed=True, reason=reason("failed", "exited with code 3"))
    assert change_line(record, NOW) == "a failed, exited with code 3"

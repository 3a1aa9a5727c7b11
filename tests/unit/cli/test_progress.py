import io
import time
from typing import Any

from tests.support.checks import eventually
from tests.support.fake_varlink import event, reason, service, stopped
from tests.support.scripted_client import Terminal

from virtsupd.cli.progress import Progress
from virtsupd.cli.style import Style

NOW = 1_000_000.0


def starting(name: str, **facts: Any) -> Any:
    """Return a service that has been starting for two seconds."""
    return service(name, state="starting", since=NOW - 2.4, **facts)


def came(record: Any) -> Any:
    """Return the event that a service came to its state."""
    return event(record)


def came_starting(name: str, **facts: Any) -> Any:
    """Return the event that a service began to start."""
    return came(starting(name, **facts))


def progress(*names: str, doing: str = "starting") -> Progress:
    """Return progress at a fixed time."""
    return Progress(doing, list(names), now=lambda: NOW)


def test_before_the_first_change_the_command_itself_is_shown() -> None:
    assert progress("a", "b").line() == "starting a, b (0 s)"
    assert progress(doing="stopping everything").line() == "stopping everything  (0 s)"


def test_a_shutdown_shows_what_it_waits_for_instead() -> None:
    waiting: Any = {
        "name": "db",
        "guest": False,
        "did": "SIGTERM",
        "due": NOW + 3,
        "then": "SIGKILL",
    }
    ending: Any = {"guests": 0, "guests_ended": 0, "waits": [waiting]}
    shown = progress(doing="stopping everything")
    stream = io.StringIO()
    shown.show_on(stream, Style(), verbose=True)
    shown.update(came_starting("b"))
    for _ in range(2):
        shown.waits_for(ending)
    assert shown.line() == "stopping everything (0 s): stops db (TERM sent, KILL in 3 s)"
    assert stream.getvalue().splitlines()[-2:] == [
        "b starting, pid 4711",
        "stops db (TERM sent)",
    ]


def test_the_longest_waiting_service_is_shown_with_what_it_waits_for() -> None:
    shown = progress("libvirtd")
    shown.update(came_starting("libvirtd", reason=reason("waiting", "waits for virtlogd")))
    assert shown.line() == "starting libvirtd (2 s, waits for virtlogd)"
    shown.update(came_starting("virtlogd"))
    shown.update(came_starting("udev"))
    assert shown.line() == "starting libvirtd (2 s, waits for virtlogd) and 2 more"


def test_what_a_service_says_of_itself_meanwhile_is_shown() -> None:
    shown = progress("vm")
    shown.update(
        came_starting("vm", reason=reason("readiness", "waits"), status_text="reached monitor")
    )
    assert shown.line() == "starting vm (2 s, waits; reached monitor)"


def test_what_has_arrived_is_shown_no_longer() -> None:
    shown = progress("a")
    shown.update(came_starting("a"))
    shown.update(came_starting("b"))
    shown.update(came(service("a")))
    assert shown.line() == "starting b (2 s)"


def test_stopped_but_waiting_counts_as_moving() -> None:
    shown = progress("a")
    waiting: Any = stopped("a", since=NOW - 2, reason=reason("waiting", "waits for b"))
    shown.update(came(waiting))
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
        shown.update(came_starting("a", status_text="slow"))
        shown.close()
        assert stream.getvalue() == text


def test_the_stop_that_an_exit_began_is_no_line_of_its_own() -> None:
    last = {"code": 3, "signal": None, "text": "exited with code 3", "at": NOW}
    record = service("a", state="stopping", pid=None, since=NOW, last_exit=last)
    stream, shown = io.StringIO(), progress("a")
    shown.show_on(stream, Style(), verbose=True)
    exited: Any = event(record, "service exited")
    shown.update(exited)
    shown.update(came(record))
    assert stream.getvalue() == "a exited with code 3\n"

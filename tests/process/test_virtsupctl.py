"""virtsupctl as a program: a process, a socket, signals, pipes and a terminal."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.support.checks import eventually
from tests.support.fake_varlink import (
    HANG_UP,
    SILENCE,
    FakeSupervisor,
    fake_supervisor,
    progress,
    reason,
    reports,
    service,
    status_of,
    stopped,
)

import virtsupd

pytestmark = pytest.mark.process

SOURCES = Path(virtsupd.__path__[0]).parent
CODE = f"""\
import sys; sys.path.insert(0, {str(SOURCES)!r})
from virtsupd.cli.virtsupctl import main
sys.exit(main())"""
PROGRAM = [sys.executable, "-c", CODE]
SECONDS = 15


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[FakeSupervisor]:
    """Give a hand-driven virtsupd."""
    with fake_supervisor(tmp_path / "control") as one:
        yield one


def environment(path: Path, **variables: str) -> dict[str, str]:
    """Return the environment of a virtsupctl that talks to `path`."""
    return {**os.environ, "VIRTSUPD_SOCKET": str(path), "LC_ALL": "C.UTF-8", **variables}


def run(
    supervisor: FakeSupervisor, *words: str, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run virtsupctl to its end."""
    return subprocess.run(
        [*PROGRAM, *words],
        env=environment(supervisor.path, **variables),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


@contextmanager
def started(supervisor: FakeSupervisor, *words: str) -> Iterator[subprocess.Popen[str]]:
    """Give a running virtsupctl whose output can be read, and end it."""
    with subprocess.Popen(
        [*PROGRAM, *words],
        env=environment(supervisor.path),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def in_terminal(
    supervisor: FakeSupervisor, *words: str, **variables: str
) -> Iterator[tuple[subprocess.Popen[bytes], "Screen"]]:
    """Give a virtsupctl on a terminal of its own, and what it writes there."""
    main_end, program_end = pty.openpty()
    with subprocess.Popen(
        [*PROGRAM, *words],
        env=environment(supervisor.path, TERM="xterm", **variables),
        stdin=program_end,
        stdout=program_end,
        stderr=program_end,
        start_new_session=True,
    ) as process:
        os.close(program_end)
        screen = Screen(main_end)
        try:
            yield process, screen
        finally:
            process.kill()
            process.wait(SECONDS)
            screen.close()


class Screen:
    """Collects what a program writes to its terminal."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._text = b""
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        while True:
            try:
                chunk = os.read(self._descriptor, 65536)
            except OSError:
                return
            if not chunk:
                return
            self._text += chunk

    def text(self) -> str:
        """Return everything so far."""
        return self._text.decode()

    def close(self) -> None:
        """End the collection: the program is gone."""
        self._thread.join(SECONDS)
        os.close(self._descriptor)


def test_status_goes_from_the_socket_to_the_screen(supervisor: FakeSupervisor) -> None:
    supervisor.answers["Status"] = status_of([service("web"), stopped("old")])
    done = run(supervisor, "status")
    assert done.returncode == 0
    assert "  + web  4711  " in done.stdout
    assert "\x1b" not in done.stdout
    assert done.stderr == ""


def test_exit_status_of_one_service(supervisor: FakeSupervisor) -> None:
    supervisor.answers["Status"] = status_of([service("web"), stopped("old")])
    assert run(supervisor, "status", "web").returncode == 0
    assert run(supervisor, "status", "old").returncode == 3
    unknown = run(supervisor, "status", "nosuch")
    assert unknown.returncode == 4
    assert unknown.stderr.startswith("virtsupctl: no service is named 'nosuch'")


def test_a_pattern_is_expanded_before_the_verb_sees_it(supervisor: FakeSupervisor) -> None:
    supervisor.answers["Status"] = status_of([service("vm", kind="guest"), service("web")])
    supervisor.answers["Stop"] = [reports(("web", "done", "web is stopped"))]
    assert run(supervisor, "stop", "*").returncode == 0
    expected = {"names": ["web"], "guests": False, "force": False}
    assert supervisor.calls[-1] == ("Stop", expected)
    unknown = run(supervisor, "status", "x*")
    assert (unknown.returncode, unknown.stdout) == (4, "")
    supervisor.answers["Act"] = [{"lines": []}]
    assert run(supervisor, "poke", "web", "*").returncode == 0
    assert supervisor.calls[-1][1]["arguments"] == ["*"]


ERRORS: list[tuple[dict[str, Any], int, str]] = [
    ({"error": "ActionFailed", "message": "no luck"}, 1, "no luck"),
    ({"error": "BadArguments", "message": "no such word"}, 2, "virtsupctl: no such word"),
    ({"error": "Internal", "message": "a defect"}, 1, "a defect"),
    ({"error": "ShuttingDown"}, 1, "virtsupd is shutting down"),
    ({"error": "BadConfiguration", "problems": ["a: b"]}, 2, "nothing has changed:\n  a: b"),
    ({"error": "ActionNotFound", "action": "frob", "service": "a"}, 4, "has no action 'frob'"),
    ({"error": "PermissionDenied", "message": "needs role admin"}, 5, "permission denied: needs"),
    (HANG_UP, 6, "closed the connection"),
    (SILENCE, 7, "no answer in time"),
]


@pytest.mark.parametrize(("reply", "code", "text"), ERRORS)
def test_each_answer_has_its_exit_status(
    supervisor: FakeSupervisor, reply: dict[str, Any], code: int, text: str
) -> None:
    supervisor.answers["Act"] = [reply]
    done = run(supervisor, "--timeout", "1s" if reply is SILENCE else "10s", "frob", "a")
    assert (done.returncode, done.stdout) == (code, "")
    assert text in done.stderr


def test_a_start_reports_progress_and_result(supervisor: FakeSupervisor) -> None:
    waiting = service("web", state="starting", reason=reason("waiting", "waits for net"))
    supervisor.answers["Start"] = [progress(waiting), reports(("web", "done", "web is running"))]
    quiet = run(supervisor, "start", "web")
    assert (quiet.returncode, quiet.stdout, quiet.stderr) == (0, "web is running\n", "")
    verbose = run(supervisor, "-v", "start", "web")
    assert verbose.stderr == "web starting, pid 4711, waits for net\n"


def test_an_interrupted_start_stays_in_force(supervisor: FakeSupervisor) -> None:
    moving = service("web", state="starting")
    supervisor.answers["Start"] = [progress(moving), SILENCE]
    with started(supervisor, "-v", "start", "web") as process:
        assert process.stderr
        assert process.stderr.readline().startswith("web starting")
        process.send_signal(signal.SIGINT)
        assert process.wait(SECONDS) == 130
        assert process.stderr.read() == (
            "virtsupctl: interrupted; the command (start web) stays in force; "
            "take it back with: virtsupctl stop web\n"
        )


def test_a_terminal_shows_one_line_of_progress_and_then_the_result(
    supervisor: FakeSupervisor,
) -> None:
    seen = threading.Event()

    def answer(_: dict[str, Any]) -> Iterator[dict[str, Any]]:
        yield progress(service("web", state="starting", reason=reason("waiting", "waits for net")))
        seen.wait(SECONDS)
        yield reports(("web", "done", "web is running"))

    supervisor.answers["Start"] = answer
    with in_terminal(supervisor, "start", "web") as (process, screen):
        eventually(lambda: ", waits for net)" in screen.text(), "progress on the terminal")
        seen.set()
        assert process.wait(SECONDS) == 0
        eventually(lambda: "web is running\r\n" in screen.text(), "the result")
        assert re.search(r"\r\x1b\[Kstarting web \(.*, waits for net\)", screen.text())
        assert screen.text().endswith("\r\x1b[Kweb is running\r\n")


@pytest.mark.parametrize(("variables", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_colours_are_for_terminals_and_can_be_forbidden(
    supervisor: FakeSupervisor, variables: dict[str, str], *, coloured: bool
) -> None:
    supervisor.answers["Status"] = status_of([service("web")])
    cleared = {"NO_COLOR": "", **variables}
    with in_terminal(supervisor, "status", **cleared) as (process, screen):
        assert process.wait(SECONDS) == 0
        eventually(lambda: "web" in screen.text(), "the overview")
        assert ("\x1b[32m+\x1b[0m" in screen.text()) == coloured


def test_followed_lines_arrive_at_once(supervisor: FakeSupervisor) -> None:
    more = threading.Event()

    def answer(_: dict[str, Any]) -> Iterator[dict[str, Any]]:
        yield {"name": "web", "lines": ["one"], "continues": True}
        more.wait(SECONDS)
        yield {"name": "web", "lines": ["two"], "continues": True}
        yield SILENCE

    supervisor.answers["Log"] = answer
    supervisor.answers["Status"] = status_of([service("web", log_files=["/log/web"])])
    with started(supervisor, "log", "-f", "web") as process:
        assert process.stdout
        assert process.stdout.readline() == "one\n"
        more.set()
        assert process.stdout.readline() == "two\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(SECONDS) == 130
        assert process.stderr
        assert process.stderr.read() == ""


def test_a_reader_that_goes_away_ends_it_quietly(supervisor: FakeSupervisor) -> None:
    def answer(_: dict[str, Any]) -> Iterator[dict[str, Any]]:
        for _number in range(10_000):
            yield {"name": "web", "lines": ["line " * 20] * 10, "continues": True}

    supervisor.answers["Log"] = answer
    supervisor.answers["Status"] = status_of([service("web", log_files=["/log/web"])])
    with started(supervisor, "log", "-f", "web") as process:
        assert process.stdout
        assert process.stderr
        process.stdout.readline()
        process.stdout.close()
        assert process.wait(SECONDS) == 141
        assert process.stderr.read() == ""


def test_a_full_disk_is_an_error(supervisor: FakeSupervisor) -> None:
    supervisor.answers["Status"] = status_of([service("web")])
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*PROGRAM, "status"],
            env=environment(supervisor.path),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=SECONDS,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr == "virtsupctl: cannot write the answer: No space left on device\n"


def test_an_encoding_without_our_letters_loses_nothing_else(supervisor: FakeSupervisor) -> None:
    supervisor.answers["Status"] = status_of([service("web", status_text="böse ☃")])
    done = run(supervisor, "status", PYTHONIOENCODING="ascii")
    assert done.returncode == 0
    assert "b\\xf6se \\u2603" in done.stdout


def test_the_option_wins_over_the_environment(supervisor: FakeSupervisor) -> None:
    done = run(supervisor, "--socket", "/nonexistent/other", "status")
    assert done.returncode == 6
    assert "/nonexistent/other" in done.stderr


def test_json_is_machine_readable_from_end_to_end(supervisor: FakeSupervisor) -> None:
    supervisor.answers["Status"] = status_of([service("web")])
    document = json.loads(run(supervisor, "status", "--json").stdout)
    assert document["services"][0]["name"] == "web"
    assert document["daemon"]["pid"] == 812


def test_the_bash_script_completes_verbs_options_and_services(
    supervisor: FakeSupervisor, tmp_path: Path
) -> None:
    supervisor.answers["Status"] = status_of([service("libvirtd"), service("virtlogd")])
    wrapper = tmp_path / "virtsupctl"
    quoted = " ".join(
        f"'{part.replace(chr(39), chr(39) + chr(92) + chr(39) * 2)}'" for part in PROGRAM
    )
    wrapper.write_text(f'#!/bin/sh\nexec {quoted} "$@"\n')
    wrapper.chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    script = run(supervisor, "completion", "bash").stdout

    def completed(*words: str) -> list[str]:
        line = " ".join(f"'{word}'" for word in words)
        typed = f"COMP_WORDS=({line}); COMP_CWORD={len(words) - 1}; _virtsupctl"
        shown = 'printf "%s\\n" "${COMPREPLY[@]}"'
        done = subprocess.run(
            ["bash", "--norc", "-c", f"{script}\n{typed}; {shown}"],
            env=environment(supervisor.path, PATH=path),
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=True,
        )
        assert done.stderr == ""
        return done.stdout.split()

    assert completed("virtsupctl", "sta") == ["status", "start"]
    assert completed("virtsupctl", "start", "lib") == ["libvirtd"]
    assert completed("virtsupctl", "-t", "5s", "start", "virt") == ["virtlogd"]
    assert completed("virtsupctl", "log", "--f") == ["--follow"]
    assert completed("virtsupctl", "wait", "--state", "") == ["running", "stopped"]
    assert completed("virtsupctl", "completion", "z") == ["zsh"]


STATUS_MODULES = {
    "virtsupd",
    "virtsupd.cli",
    "virtsupd.cli.arguments",
    "virtsupd.cli.overview",
    "virtsupd.cli.problems",
    "virtsupd.cli.session",
    "virtsupd.cli.status",
    "virtsupd.cli.style",
    "virtsupd.times",
    "virtsupd.cli.verbs",
    "virtsupd.cli.virtsupctl",
    "virtsupd.control",
    "virtsupd.control.client",
    "virtsupd.errors",
}
"""All of our own that `virtsupctl status` imports."""

STANDARD_MODULES = {
    *("array", "collections", "contextlib", "copyreg", "enum", "errno", "functools", "itertools"),
    *("json", "keyword", "math", "operator", "re", "reprlib", "select", "selectors", "socket"),
    *("time", "types", "warnings"),
}
"""All that it may import of the standard library: json and socket, and what those two need. Not
typing, which is a tenth of the whole."""


def test_status_imports_these_modules_and_no_others(supervisor: FakeSupervisor) -> None:
    supervisor.answers["Status"] = status_of([service("web")])
    code = (
        "import sys; before = set(sys.modules)\n"
        f"sys.path.insert(0, {str(SOURCES)!r})\n"
        "from virtsupd.cli.virtsupctl import main\n"
        "code = main(['status'])\n"
        "print(*sorted(set(sys.modules) - before), file=sys.stderr)\n"
        "sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", code],
        env=environment(supervisor.path),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=True,
    )
    names = done.stderr.split()
    assert {name for name in names if name.startswith("virtsupd")} == STATUS_MODULES
    others = {name.partition(".")[0] for name in names} - {"virtsupd"}
    assert {name for name in others if not name.startswith("_")} <= STANDARD_MODULES

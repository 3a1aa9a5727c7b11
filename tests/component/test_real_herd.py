"""The real `herd` of GNU Shepherd 1.0 against our codec, and Guile against our reader and writer."""

import re
import shutil
import string
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.herd_server import HerdServer, herd_server
from tests.support.real_herd import guile, herd, herd_program, make_herd

from virtsupd.control.herd import HerdCommand
from virtsupd.control.sexp import Datum, Symbol, parse
from virtsupd.control.sexp_writer import write
from virtsupd.core.effects import Result
from virtsupd.core.events import Verb

pytestmark = [pytest.mark.component, pytest.mark.timeout(330)]

ECHO = (
    "(let loop ((datum (read))) (unless (eof-object? datum) (write datum) (newline) (loop (read))))"
)


@pytest.fixture(scope="module")
def listening(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HerdServer]:
    with herd_server(tmp_path_factory.mktemp("herd") / "socket") as server:
        yield server


@pytest.fixture
def server(listening: HerdServer) -> HerdServer:
    listening.reset()
    return listening


def test_it_is_herd_1(server: HerdServer) -> None:
    assert "GNU Shepherd) 1." in herd(server.path, "--version").output


def test_the_program_is_made_once() -> None:
    program = herd_program()
    made = program.stat().st_ctime_ns
    herd_program.cache_clear()
    assert herd_program() == program
    assert program.stat().st_ctime_ns == made


def test_without_apt_it_says_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/dirname").symlink_to(shutil.which("dirname") or "")
    outcome = make_herd({"PATH": str(tmp_path / "bin"), "XDG_CACHE_HOME": str(tmp_path / "cache")})
    assert outcome.code == 1
    assert "apt-get is missing" in outcome.errors
    assert not (tmp_path / "cache").exists()


def test_status_groups_every_service(server: HerdServer) -> None:
    outcome = herd(server.path, "status")
    assert outcome.code == 0
    assert outcome.errors == ""
    assert outcome.output.splitlines() == [
        *("Started:", " + once", " + root", " + sleeper", " + user-processes"),
        *("Starting:", " ^ starting"),
        *("Stopped:", " - dependent"),
        *("Stopping:", " v stopping"),
        *("Failed to start:", " ! bad", " ! crashing"),
    ]


def test_status_shows_all_that_a_record_says(server: HerdServer) -> None:
    outcome = herd(server.path, "status", "sleeper")
    assert outcome.code == 0
    # It names the day unless that is today.
    since = r"Status of sleeper:\n  It is running since (\w+ \w+ \d+ )?15:19:34"
    assert re.search(since, outcome.output)
    lines = [line.strip() for line in outcome.output.splitlines()]
    for line in [
        "Main PID: 20195",
        "Command: sleep 1000",
        "It is enabled.",
        "Provides: sleeper slumber",
        "Custom actions: poke reload",
        "Will be respawned.",
        "- 2026-11-22 15:19:32  Process exited with code 3.",
        "- 2026-11-22 15:19:31  Process terminated with signal 9.",
        "Log file: /log/sleep.log",
        "2026-11-22 15:19:33 first line",
        "2026-11-22 15:19:34 second line",
    ]:
        assert line in lines


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("root", "Main PID: 812"),
        ("shepherd", "2026-11-22 15:19:34 no cgroups: read-only"),
        ("slumber", "Provides: sleeper slumber"),
        ("user-processes", "Running value is #t."),
        ("once", "Running value is #t."),
        ("dependent", "Requires: slumber"),
        ("bad", "It is stopped (failing)."),
        ("crashing", "It is disabled."),
        ("starting", "It is starting."),
        ("stopping", "It is being stopped."),
    ],
)
def test_status_of_each_kind(server: HerdServer, name: str, line: str) -> None:
    outcome = herd(server.path, "status", name)
    assert (outcome.code, outcome.errors) == (0, "")
    assert line in [found.strip() for found in outcome.output.splitlines()]


def test_detailed_status_shows_every_service(server: HerdServer) -> None:
    outcome = herd(server.path, "detailed-status")
    assert (outcome.code, outcome.errors) == (0, "")
    assert outcome.output.count("Status of ") == 9


def test_log_merges_the_changes_of_all_services(server: HerdServer) -> None:
    outcome = herd(server.path, "log")
    assert (outcome.code, outcome.errors) == (0, "")
    lines = outcome.output.splitlines()
    assert lines[0] == "22 Nov 2026 15:19:33\tservice sleeper is being started"
    assert "22 Nov 2026 15:19:34\tservice sleeper is running" in lines
    assert len(lines) == 10


def test_graph_draws_every_requirement(server: HerdServer) -> None:
    outcome = herd(server.path, "graph")
    assert (outcome.code, outcome.errors) == (0, "")
    assert '"dependent" -> "sleeper";' in outcome.output
    assert '"bad" -> "sleeper";' in outcome.output
    assert '"once" [shape = circle' in outcome.output


@pytest.mark.parametrize(
    ("words", "output"),
    [
        (["start", "sleeper"], "Service sleeper has been started.\n"),
        (["start", "root"], "Service root is already running.\n"),
        (["stop", "sleeper"], ""),
        (["restart", "sleeper"], "Service sleeper has been started.\n"),
        (["enable", "sleeper"], "Enabled service sleeper.\n"),
        (["disable", "sleeper"], "Disabled service sleeper.\n"),
        (["doc", "sleeper"], "Sleep for a long time.\n"),
        (["doc", "sleeper", "action", "poke"], "poke: Poke the service with words.\n"),
        (["doc", "once"], "[No description].\n"),
        (["poke", "sleeper"], ""),
        (["poke", "sleeper", "é☃", "--", "-x", 'q"\\'], "poked with 'é☃'\npoked with '-x'\npoked with 'q\"\\\\'\n"),
        (["reload", "root"], "added: web\n"),
        (["stop", "root"], ""),
    ],
)  # fmt: skip
def test_what_works_exits_0(server: HerdServer, words: list[str], output: str) -> None:
    outcome = herd(server.path, *words)
    assert (outcome.code, outcome.output, outcome.errors) == (0, output, "")


@pytest.mark.parametrize("words", [["help"], ["doc", "root"], ["doc", "root", "list-actions"]])
def test_virtsupd_explains_itself(server: HerdServer, words: list[str]) -> None:
    outcome = herd(server.path, *words)
    assert (outcome.code, outcome.errors) == (0, "")
    assert outcome.output


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["status", "nosuch"], "service 'nosuch' could not be found"),
        (["frob", "sleeper"], "service 'sleeper' does not have an action 'frob'"),
        (["frob", "root"], "service 'root' does not have an action 'frob'"),
        (["doc", "sleeper", "action", "nope"], "service 'sleeper' does not have an action 'nope'"),
        (["log", "sleeper"], "service 'sleeper' does not have an action 'log'"),
        (["poke", "sleeper", "fail"], 'poke failed: 100 ~a of "nothing"'),
        (["reload", "root", "/other.scm"], "takes no file"),
        (["restart", "root"], "cannot restart virtsupd itself"),
        (["schedule", "timer", "at", "23:00", "--", "true"], "has neither timers nor causes"),
    ],
)
def test_what_fails_exits_1_and_says_why(
    server: HerdServer, words: list[str], message: str
) -> None:
    outcome = herd(server.path, *words)
    assert outcome.code == 1
    assert message in outcome.errors
    assert "Backtrace" not in outcome.errors


@pytest.mark.parametrize(
    ("verb", "result", "code"),
    [
        (Verb.START, Result.FAILED, 1),
        (Verb.START, Result.DISABLED, 1),
        (Verb.START, Result.WAITING, 1),
        (Verb.START, Result.NOT_NEEDED, 0),
        (Verb.RESTART, Result.FAILED, 1),
        (Verb.RESTART, Result.REFUSED, 1),
        (Verb.STOP, Result.REFUSED, 1),
        (Verb.STOP, Result.FAILED, 1),
        (Verb.RELOAD, Result.FAILED, 1),
        (Verb.ENABLE, Result.FAILED, 1),
    ],
)
def test_what_the_engine_refuses_is_told(
    server: HerdServer, verb: Verb, result: Result, code: int
) -> None:
    server.answer(verb, result, "the guest childhurd is in the way")
    outcome = herd(server.path, verb.value, "sleeper")
    assert outcome.code == code
    assert "the guest childhurd is in the way" in outcome.output + outcome.errors
    assert "Backtrace" not in outcome.errors


def test_a_refusal_is_told(server: HerdServer) -> None:
    server.is_denied = True
    outcome = herd(server.path, "stop", "sleeper")
    assert outcome.code == 1
    assert "permission-denied stop sleeper" in outcome.errors
    assert "needs the role operator" in outcome.errors


def test_a_reply_in_small_pieces_is_understood(server: HerdServer) -> None:
    server.chunk_bytes = 3
    assert "Main PID: 20195" in herd(server.path, "status", "sleeper").output


def test_a_command_arrives_as_it_was_typed(server: HerdServer, tmp_path: Path) -> None:
    herd(server.path, "poke", "sleeper", "--", "", "-x", "tab\t", "nl\n", "\x01", "é☃😀", 'a"b\\c')
    (command,) = server.commands
    words = ("", "-x", "tab\t", "nl\n", "\x01", "é☃😀", 'a"b\\c')
    assert command == HerdCommand("poke", "sleeper", words, str(Path.cwd()))


def test_guile_writes_what_we_write() -> None:
    """Each datum goes to Guile as we write it; Guile reads it and writes it in the same way."""
    letters = [*map(chr, range(0xA1)), *"«»²é“€☃😀\u0301\u0660\u2028\u200b\u3000\ue000\U000e0001"]
    names = ["", "..", "...", "-1+", "->x", "+5a", "a.b", ".a", "1/2", "-1/2", "1e5", "+inf.0"]
    names += ["+i", "-i", "+5", ".5", "foo:", ":foo", "foo bar", "a}#b", "+nan.0", "1.5e3x", "2i"]
    # A wrapped backslash is the one thing that Guile writes in a way it cannot read.
    data: list[Datum] = [*letters, *map(Symbol, names), *map(Symbol, letters)]
    data += [Symbol(f"a{letter}b") for letter in letters]
    data += [True, False, 0, -7, 0.1, 5.0, 1e22, ("a", (Symbol("b"), ())), parse(b"(5 . 7)")]
    texts = list(map(write, data))
    assert guile(ECHO, "\n".join(texts)).splitlines() == texts


def test_we_read_what_guile_reads() -> None:
    """Each text is read by both; Guile's reading, written, is our reading, written."""
    texts = [
        "[a (b) [c]]",
        "(a #| x #| y |# |# b ; z\n #;(c d) #; #;e f g)",
        "(1 +2 -3 4. .5 6e2 7.5e-1 1+ 0x10 e5 +a ... .a)",
        '("a\\x41b" "\\u2603" "\\U01f600" "\\n\\t\\a\\0\\v" "x\\\ny")',
        "(a . (b . (c))) ",
        "(a . (b . c))",
        "(#{a b}# #{\\x28;}# #{a}b}# #:key #:#{odd one}# #true #false)",
        f"({' '.join(letter + 'x' for letter in string.ascii_letters)})",
    ]
    ours = [write(parse(text.encode())) for text in texts]
    assert guile(ECHO, "\n".join(texts)).splitlines() == ours

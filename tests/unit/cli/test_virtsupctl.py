import io
import sys

import pytest

from virtsupd.cli.virtsupctl import main


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch) -> str:
    """Give a socket path where nobody listens."""
    path = "/nonexistent/control"
    monkeypatch.setenv("VIRTSUPD_SOCKET", path)
    return path


def test_help_is_of_the_program_or_of_a_verb(
    nowhere: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for words in (["--help"], ["help"], ["-h"]):
        assert main(words) == 0
        assert capsys.readouterr().out.startswith("virtsupctl controls virtsupd")
    for words in (["start", "-h"], ["-h", "start"], ["help", "start"]):
        assert main(words) == 0
        assert capsys.readouterr().out.startswith("usage: virtsupctl [OPTION…] start NAME…")
    assert main(["-h", "console", "childhurd"]) == 0
    assert main(["-s", nowhere, "console", "childhurd", "-h"]) == 6


def test_help_on_no_verb_is_a_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["help", "strat"]) == 2
    assert "did you mean start?" in capsys.readouterr().err


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("virtsupctl")


def test_a_mistake_says_where_help_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["stop", "--dot", "a"]) == 2
    assert capsys.readouterr().err == (
        "virtsupctl: stop does not take --dot\nvirtsupctl stop -h explains it\n"
    )
    assert main(["statu"]) == 2
    assert "virtsupctl --help lists the verbs" in capsys.readouterr().err
    assert main(["completion", "tcsh"]) == 2


@pytest.mark.parametrize(
    "words", [["status"], ["start", "a"], ["log", "a"], ["cat", "a"], ["graph"]]
)
def test_an_unreachable_daemon_is_6_whatever_the_verb(
    nowhere: str, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 6
    assert f"cannot reach virtsupd at {nowhere}: no such file" in capsys.readouterr().err


def test_errors_are_json_too(nowhere: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--json", "status"]) == 6
    assert nowhere
    assert '{"error": {"code": "unreachable", "message": "' in capsys.readouterr().out


def test_output_streams_of_any_kind_will_do(nowhere: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert main(["status", "--socket", nowhere]) == 6


def test_scripts_for_shells_need_no_daemon(
    nowhere: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["completion", "bash"]) == 0
    assert nowhere
    assert "complete -F" in capsys.readouterr().out

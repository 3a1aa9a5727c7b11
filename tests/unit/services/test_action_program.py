import json
import os

import pytest

from virtsupd.errors import VirtsupdError
from virtsupd.services.action_program import (
    ActionParser,
    UsageError,
    json_text,
    json_value_text,
    table_text,
    told,
)


def test_a_failure_is_one_line_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    def work() -> str:
        raise VirtsupdError("first\n  second")

    assert told("list things", work) == 1
    assert capsys.readouterr() == ("", "cannot list things: first second\n")


def test_wrong_words_end_it_as_sysexits_says(capsys: pytest.CaptureFixture[str]) -> None:
    def work() -> str:
        raise UsageError("no such word")

    assert told("list things", work) == 64
    assert capsys.readouterr().err == "cannot list things: no such word\n"


def test_what_the_system_refuses_names_the_file(capsys: pytest.CaptureFixture[str]) -> None:
    def work() -> str:
        raise FileNotFoundError(2, "No such file", "/a/b")

    assert told("list things", work) == 1
    assert capsys.readouterr().err == "cannot list things: /a/b: no such file\n"


def test_what_was_found_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert told("list things", lambda: "one\ntwo") == 0
    assert told("list things", lambda: "") == 0
    assert capsys.readouterr() == ("one\ntwo\n", "")


def test_words_that_are_not_known_name_the_help() -> None:
    parser = ActionParser("virtsupctl list things", "List them.")
    with pytest.raises(UsageError, match="--al; see virtsupctl list things --help"):
        parser.parse_args(["--al"])


def test_columns_are_as_wide_as_what_is_in_them() -> None:
    assert table_text([("ID", "NAME"), ("100", "a"), ("1",)]) == "ID   NAME\n100  a\n1"


def test_nothing_in_a_table_moves_the_cursor() -> None:
    assert table_text([("a\tb\x1b[2J\u202e", "é")]) == "a\\tb\\x1b[2J\\u202e  é"


def test_json_of_a_name_that_is_no_text_can_be_written_and_read_again() -> None:
    name = os.fsdecode(b"\xff")
    text = json_text({"name": name})
    text.encode()
    assert json.loads(text) == {"name": name}


def test_json_keeps_letters() -> None:
    assert json_text({"name": "é"}) == '{\n  "name": "é"\n}'


def test_json_has_escapes_for_what_could_drive_a_terminal() -> None:
    found = json_value_text({"name": "\x1b]0;owned\x07\x9b2J\u202eä\U000e0001"})
    assert all(char.isprintable() or char == "\n" for char in found)
    assert json.loads(found) == {"name": "\x1b]0;owned\x07\x9b2J\u202eä\U000e0001"}
    assert "ä" in found


def test_what_others_say_of_a_failure_cannot_drive_a_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail() -> str:
        raise VirtsupdError("refused \x1b[2J")

    assert told("ask", fail) == 1
    assert capsys.readouterr().err == "cannot ask: refused \\x1b[2J\n"

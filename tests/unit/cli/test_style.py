import io
from pathlib import Path

import pytest
from tests.support.scripted_client import Terminal

from virtsupd.cli.style import Style, harmless, quoted, style_of


def test_control_characters_are_spelled_out_and_tabs_and_letters_kept() -> None:
    assert harmless("a\tb\x1b[2Jc\x9bdé☃") == "a\tb\\x1b[2Jc\\x9bdé☃"


def test_colours_are_for_terminals_that_take_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert style_of(Terminal()).paint("red", "x") == "\x1b[31mx\x1b[0m"
    assert style_of(Terminal(), no_color=True).paint("red", "x") == "x"
    monkeypatch.setenv("NO_COLOR", "1")
    assert style_of(Terminal()).paint("red", "x") == "x"
    assert style_of(Terminal()).can_redraw


def test_an_empty_no_color_forbids_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "")
    assert style_of(Terminal()).has_colors


def test_a_dumb_terminal_gets_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    style = style_of(Terminal())
    assert not style.has_colors
    assert not style.can_redraw


def test_a_pipe_gets_plain_lines_of_any_width() -> None:
    style = style_of(io.StringIO())
    assert style.fit("x" * 500, 10) == "x" * 500
    assert style.paint("red", "x") == "x"


def test_a_terminal_of_unknown_width_counts_as_80_columns() -> None:
    assert style_of(Terminal()).width == 80


def test_a_file_in_another_encoding_gets_no_strokes(tmp_path: Path) -> None:
    with (tmp_path / "out").open("w", encoding="latin-1") as stream:
        assert not style_of(stream).is_unicode


def test_what_does_not_fit_is_cut_and_marked() -> None:
    assert Style(width=30).fit("x" * 40, 5) == "x" * 24 + "…"
    assert Style(width=30, is_unicode=False).fit("x" * 40, 5) == "x" * 24 + "~"
    assert Style(width=30).fit("short", 5) == "short"


def test_at_least_twenty_columns_are_left() -> None:
    assert len(Style(width=30).fit("x" * 40, 29)) == 20


def test_a_command_is_shown_as_one_would_type_it() -> None:
    assert quoted(["/bin/sh", "-c", "echo 'x' > y", ""]) == "/bin/sh -c 'echo '\\''x'\\'' > y' ''"

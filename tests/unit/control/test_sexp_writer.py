"""What is written, letter by letter as Guile 3.0 writes it."""

import math

import pytest

from virtsupd.control.sexp import Datum, Keyword, Pair, Symbol, parse
from virtsupd.control.sexp_writer import write

STRINGS = [
    ("", '""'),
    ('a"b\\c', r'"a\"b\\c"'),
    ("\n\r\t\a\b\f\v", r'"\n\r\t\a\b\f\v"'),
    ("\0\x01b\x7f", r'"\x00\x01b\x7f"'),
    ("\x80\x9f\xa0\xad", r'"\x80\x9f\xa0\xad"'),
    ("é☃😀€²»“\u0660", '"é☃😀€²»“\u0660"'),
    ("a b", '"a b"'),
    ("\u2028\u200b\u3000\ue000\u0378", r'"\u2028\u200b\u3000\ue000\u0378"'),
    ("\U000f0000\U000e0001", r'"\U0f0000\U0e0001"'),
]

PLAIN = [
    *["a", "a@b.c", "Do:It", "é", "..", "...", "a.b", ".a", "foo:", ":foo", "nan", "@a", "&a"],
    *["+", "-", "--", "-1+", "+a", "-x", "->x", "+5a", "e5"],
    *["a'b", "a,b", "a`b", "a|b", "a\\b", "\\", "|", "_", "~", "€", "☃", "²", "a\u0660b"],
    *"!$%&*/:<=>?^",
    "file-system-/proc/sys/fs/binfmt_misc",
]

WRAPPED = [
    ("", "#{}#"),
    (".", "#{.}#"),
    ("foo bar", "#{foo bar}#"),
    ("1+", "#{1+}#"),
    ("123", "#{123}#"),
    ("+5", "#{+5}#"),
    (".5", "#{.5}#"),
    ("-1/2", "#{-1/2}#"),
    ("1e5", "#{1e5}#"),
    ("+inf.0", "#{+inf.0}#"),
    ("+i", "#{+i}#"),
    ("-i", "#{-i}#"),
    ("1é", "#{1é}#"),
    ("#foo", "#{#foo}#"),
    ("a#", "#{a#}#"),
    ("'", "#{'}#"),
    (";", "#{;}#"),
    ('a"b', '#{a"b}#'),
    ("a(b", r"#{a\x28;b}#"),
    ("a}#b", r"#{a\x7d;#b}#"),
    ("[]{}", r"#{\x5b;\x5d;\x7b;\x7d;}#"),
    ("a\nb\0", r"#{a\xa;b\x0;}#"),
    ("«»", r"#{\xab;\xbb;}#"),
    ("a\u2028b", r"#{a\x2028;b}#"),
    ("\u0660", "#{\u0660}#"),
]

OTHERS: list[tuple[Datum, str]] = [
    (True, "#t"),
    (False, "#f"),
    (0, "0"),
    (-1795360774, "-1795360774"),
    (0.1, "0.1"),
    (5.0, "5.0"),
    (1e22, "1.0e22"),
    (1.5e-7, "1.5e-7"),
    (math.inf, "+inf.0"),
    (-math.inf, "-inf.0"),
    (math.nan, "+nan.0"),
    (Keyword("key"), "#:key"),
    (Keyword("odd one"), "#:#{odd one}#"),
    (Pair((5,), 7), "(5 . 7)"),
    (Pair((Symbol("a"), 1), "x"), '(a 1 . "x")'),
    ((), "()"),
    ((Symbol("a"), ("b", ()), True), '(a ("b" ()) #t)'),
]


@pytest.mark.parametrize(("datum", "text"), [*STRINGS, *OTHERS])
def test_data_are_written_as_guile_does(datum: Datum, text: str) -> None:
    assert write(datum) == text


@pytest.mark.parametrize("name", PLAIN)
def test_plain_names_stand_as_they_are(name: str) -> None:
    assert write(Symbol(name)) == name


@pytest.mark.parametrize(("name", "text"), WRAPPED)
def test_odd_names_are_wrapped(name: str, text: str) -> None:
    assert write(Symbol(name)) == text


@pytest.mark.parametrize("name", [*PLAIN, *(name for name, _ in WRAPPED), r"a\x41; b"])
def test_names_come_back(name: str) -> None:
    assert parse(write(Symbol(name)).encode()) == Symbol(name)


def test_bytes_that_are_no_text_become_replacement_characters() -> None:
    assert write(("a\udcffb", Symbol("\udcff"), Symbol("a \udcff"))) == '("a\ufffdb" \ufffd #{a \ufffd}#)'  # fmt: skip

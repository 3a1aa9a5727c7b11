"""What the reader takes, refuses, and never does."""

import math
import time
from collections.abc import Iterator

import pytest
from tests.support.splits import Cut, byte_by_byte, in_two, trailing_bytes, whole

from virtsupd.control.sexp import Datum, Keyword, Pair, Reader, Symbol, parse
from virtsupd.errors import ProtocolError

A, B, C = Symbol("a"), Symbol("b"), Symbol("c")

# Names that look like something else at first.
NAMES = ["a@b.c", "Do:It", "é", "...", "..", "+", "-", "-x", "a'b", "a|b", "a\\b"]
NUMBERLIKE = ["1+", "-1+", "+a", "e5", "1e5x", "0x10", "+i"]

ACCEPTED: list[tuple[str, Datum]] = [
    ("()", ()),
    ("(a b c)", (A, B, C)),
    ("[a (b) [c]]", (A, (B,), (C,))),
    (" \t\r\n\f\v( a\n\tb )", (A, B)),
    (f"({' '.join(NAMES)})", tuple(map(Symbol, NAMES))),
    (f"({' '.join(NUMBERLIKE)})", tuple(map(Symbol, NUMBERLIKE))),
    ("(#{foo bar}# #{123}# #{}#)", (Symbol("foo bar"), Symbol("123"), Symbol(""))),
    (r"(#{a\x28;b}# #{\x0;}# #{a\b}#)", (Symbol("a(b"), Symbol("\0"), Symbol("a\\b"))),
    ("(#{a}b}# #{}}# #{a#}#)", (Symbol("a}b"), Symbol("}"), Symbol("a#"))),
    ("(#{(;\"}# x)", (Symbol('(;"'), Symbol("x"))),
    ("(#:key #:#{odd one}# #:5)", (Keyword("key"), Keyword("odd one"), Keyword("5"))),
    ("(#t #f #true #false)", (True, False, True, False)),
    ("(0 -5 +7 007)", (0, -5, 7, 7)),
    ("(0.1 -.5 5. 1e3 1.5e-3 +2.5)", (0.1, -0.5, 5.0, 1000.0, 0.0015, 2.5)),
    ("(+inf.0 -inf.0)", (math.inf, -math.inf)),
    ("(5 . 7)", Pair((5,), 7)),
    ("(a b . c)", Pair((A, B), C)),
    ("(a . (b c))", (A, B, C)),
    ("(a . ())", (A,)),
    ("(a . (b . c))", Pair((A, B), C)),
    ("((running . 1795360774))", (Pair((Symbol("running"),), 1795360774),)),
    ('("" "a b" "é☃" "a\nb")', ("", "a b", "é☃", "a\nb")),
    (r'("\"\\\n\r\t\a\b\f\v\0\|\(")', ('"\\\n\r\t\a\b\f\v\0|(',)),
    (r'("\x01;" "\x7f" "\xe9" "\u2028" "\U01f600")', ("\x01;", "\x7f", "é", "\u2028", "😀")),
    ('("a\\\nb")', ("ab",)),
    ("(a ; (comment \"\n b)", (A, B)),
    ("(a #| b |# c)", (A, C)),
    ("(a #| b #| |c# |# #||# ||# c)", (A, C)),
    ("(a #;b c)", (A, C)),
    ("(a #;(b [c] \"d\") c)", (A, C)),
    ("(a #; #;b b c)", (A, C)),
    ("#;(a) (b)", (B,)),
    ("; first\n(a)", (A,)),
    ('"top"', "top"),
    ("#{top}#", Symbol("top")),
    ("(a\"b\"c(a)b)", (A, "b", C, (A,), B)),
]  # fmt: skip

REFUSED = [
    ")",
    "(a]",
    "[a)",
    "( . a)",
    "(a . )",
    "(a . b c)",
    "(a . b . c)",
    "(a #; . b)",
    "(#;a . b)",
    "(a #;)",
    ". ",
    "('a)",
    "(`a)",
    "(,a)",
    "(#(1 2))",
    "(#\\a)",
    "(#<procedure>)",
    "(#!eof)",
    "(#x10)",
    "(#tt)",
    "(1/2)",
    "(#)",
    '("\\q")',
    '("\\é")',
    '("\\x1")',
    '("\\ud800")',
    '("\\U110000")',
    "(#{\\xd800;}#)",
    "(#{\\x110000;}#)",
    "(" + "9" * 1001 + ")",
    "(0." + "9" * 1001 + ")",
]

UNFINISHED = ["", " ", "(", "(a", "(a ", '("a', '("a\\', "(#", "(#{a", "(#{a}", "(#:", "(#:#", "(#|", "(;", "a", "5", "#t"]  # fmt: skip


def read(pieces: Iterator[bytes], reader: Reader) -> Datum | None:
    """Feed pieces until a datum is complete."""
    for piece in pieces:
        datum = reader.feed(piece)
        if datum is not None:
            return datum
    return None


@pytest.mark.parametrize("cut", [whole, byte_by_byte, trailing_bytes])
@pytest.mark.parametrize(("text", "datum"), ACCEPTED, ids=[text for text, _ in ACCEPTED])
def test_a_datum_is_read_whatever_the_cuts(text: str, datum: Datum, cut: Cut) -> None:
    assert read(cut(text.encode()), Reader()) == datum


@pytest.mark.parametrize(("text", "datum"), ACCEPTED, ids=[text for text, _ in ACCEPTED])
def test_a_datum_is_read_cut_in_two_anywhere(text: str, datum: Datum) -> None:
    data = text.encode()
    for at in range(len(data) + 1):
        assert read(in_two(at)(data), Reader()) == datum, at


@pytest.mark.parametrize("cut", [whole, byte_by_byte, trailing_bytes])
@pytest.mark.parametrize("text", REFUSED)
def test_what_is_no_message_is_refused(text: str, cut: Cut) -> None:
    with pytest.raises(ProtocolError):
        read(cut(text.encode() + b" )"), Reader())


@pytest.mark.parametrize("cut", [whole, byte_by_byte])
@pytest.mark.parametrize("text", UNFINISHED)
def test_a_beginning_waits_for_more(text: str, cut: Cut) -> None:
    assert read(cut(text.encode()), Reader()) is None


@pytest.mark.parametrize("cut", [whole, byte_by_byte])
@pytest.mark.parametrize("data", [b'("\xff")', b"(a\xc3)", b"(#{\xe2\x98}#)", b'("\xed\xa0\x80")'])
def test_what_is_not_utf8_is_refused(data: bytes, cut: Cut) -> None:
    with pytest.raises(ProtocolError, match="UTF-8"):
        read(cut(data), Reader())


def test_comments_may_hold_any_bytes() -> None:
    assert parse(b"(a ; \xff\n #| \xfe |# b)") == (A, B)


def test_booleans_and_numbers_are_told_apart() -> None:
    assert parse(b"#t") is True
    assert parse(b"1") is not True


def test_nan_is_a_number() -> None:
    assert math.isnan(parse(b"+nan.0"))  # type: ignore[arg-type]  # a float, by the text


def test_nothing_follows_the_datum() -> None:
    reader = Reader()
    assert reader.feed(b"(a) (b)") == (A,)
    assert reader.feed(b"(c)") is None


@pytest.mark.parametrize("cut", [whole, byte_by_byte])
def test_a_datum_may_be_as_long_as_the_limit(cut: Cut) -> None:
    assert read(cut(b'("12345")'), Reader(limit_bytes=9)) == ("12345",)
    with pytest.raises(ProtocolError, match="longer"):
        read(cut(b'("12345")'), Reader(limit_bytes=8))


@pytest.mark.parametrize("cut", [whole, byte_by_byte])
def test_lists_may_nest_as_deep_as_the_limit(cut: Cut) -> None:
    assert read(cut(b"((()))"), Reader(max_depth=3)) == (((),),)
    with pytest.raises(ProtocolError, match="deeper"):
        read(cut(b"(((())))"), Reader(max_depth=3))


@pytest.mark.parametrize("cut", [whole, byte_by_byte])
@pytest.mark.parametrize("text", [b'(a "b" (5))', b"(() () ())", b"(#;a #;b #;c d)"])
def test_a_datum_may_have_as_many_parts_as_the_limit(text: bytes, cut: Cut) -> None:
    assert read(cut(text), Reader(max_data=5)) is not None
    with pytest.raises(ProtocolError, match="more parts"):
        read(cut(text), Reader(max_data=3))


@pytest.mark.parametrize("text", [b"", b" ; only this", b"a b", b"1) (2", b"(a", b"a #;", b")("])
def test_parse_takes_exactly_one_datum(text: bytes) -> None:
    with pytest.raises(ProtocolError):
        parse(text)


@pytest.mark.parametrize("text", [b"a", b" a ", b"a ; end", b"#;b a", b"a #| |#"])
def test_parse_takes_what_surrounds_a_datum(text: bytes) -> None:
    assert parse(text) == A


HOSTILE = [b"(", b'("' + b"x", b'("' + b"\\n", b"(#{" + b"}", b"(#|" + b"|", b"(;" + b"x", b"(" + b"1", b"(" + b"#;", b" "]  # fmt: skip


@pytest.mark.parametrize("opening", HOSTILE)
def test_time_is_linear_in_the_input_however_it_is_cut(opening: bytes) -> None:
    """A quadratic reader needs minutes for this; the allowance is fifty times what is measured."""
    repeated = opening[-2:] if opening.endswith((b"\\n", b"#;")) else opening[-1:]
    data = opening + repeated * (2**18 // len(repeated))
    begin = time.process_time()
    reader = Reader(limit_bytes=2**20, max_data=2**20)
    try:
        for start in range(0, len(data), 16):
            reader.feed(data[start : start + 16])
    except ProtocolError:
        assert opening == b"("
    assert time.process_time() - begin < 5

"""Where the value of a Scheme file is."""

import pytest

from virtsupd.machine.scheme_text import SchemeError, last_datum


@pytest.mark.parametrize(
    ("text", "datum"),
    [
        ("(list)", "(list)"),
        ("(use-modules (guix))\n(list 1 ; )\n 2)\n;; end (\n", "(list 1 ; )\n 2)"),
        ("(define x '(a))\nx\n", "x"),
        ('(list ")" #\\( #\\) "\\"(")', '(list ")" #\\( #\\) "\\"(")'),
        ("'(a b) #| ( |#", "'(a b)"),
        ("(a) #;(b c)", "(a)"),
        ("[list 1]", "[list 1]"),
        ("`(,@(x) ,y)", "`(,@(x) ,y)"),
    ],
)
def test_the_last_one_is_found(text: str, datum: str) -> None:
    where = last_datum(text)
    assert where is not None
    assert text[slice(*where)] == datum


@pytest.mark.parametrize("text", ["", " \n", "; only\n", "#;(a)"])
def test_a_text_without_any_has_none(text: str) -> None:
    assert last_datum(text) is None


@pytest.mark.parametrize("text", ["(", "(list))", "'", '"open', "(a"])
def test_what_does_not_match_is_refused(text: str) -> None:
    with pytest.raises(SchemeError):
        last_datum(text)

"""Writes S-expressions exactly as Guile's `write` does, so that any Guile program reads them back."""

import math
import re
import unicodedata
from functools import lru_cache

from virtsupd.control.sexp import Datum, Keyword, Pair, Symbol

_UNPLAIN = re.compile(r"[^ !#-\[\]-~]")
_SHORT_ESCAPES = {
    '"': '\\"',
    "\\": "\\\\",
    "\a": "\\a",
    "\b": "\\b",
    "\f": "\\f",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\v": "\\v",
}
_SURROGATE = re.compile("[\ud800-\udfff]")
_COMMON_NAME = re.compile(r"[A-Za-z][A-Za-z0-9?-]*\Z")
# Unicode categories of what may begin a symbol, and of what may follow.
_INITIAL = frozenset(
    ["Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Nl", "No", "Pd", "Pc", "Po", "Sc", "Sm", "Sk", "So", "Co"]
)
_SUBSEQUENT = _INITIAL | {"Nd", "Mc", "Me"}
_REAL = r"(?:[0-9]+/[0-9]+|(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[esfdl][+-]?[0-9]+)?|(?:inf|nan)\.0)"
_NUMBER = re.compile(
    rf"[+-]?{_REAL}(?:@[+-]?{_REAL})?\Z|(?:[+-]?{_REAL})?[+-]{_REAL}?i\Z", re.IGNORECASE
)


def write(datum: Datum) -> str:
    """Return the text of `datum`, in one line.

    Floats beyond 1e16 or below 1e-4 may get another, equal notation. Lone surrogates, which
    Python makes of bytes that are not UTF-8, become U+FFFD. In a wrapped symbol the backslash is
    escaped, which Guile forgets.
    """
    match datum:
        case tuple():
            return f"({' '.join(map(write, datum))})"
        case Pair():
            return f"({' '.join(map(write, datum.items))} . {write(datum.tail)})"
        case Symbol():
            return _write_name(datum.name)
        case Keyword():
            return f"#:{_write_name(datum.name)}"
        case _:
            return _write_plain(datum)


def _write_plain(datum: str | float) -> str:
    match datum:
        case str():
            return f'"{_UNPLAIN.sub(_escape, datum)}"'
        case bool():
            return "#t" if datum else "#f"
        case int():
            return str(datum)
        case _:
            return _write_float(datum)


def _escape(found: re.Match[str]) -> str:
    """Return one character that is not plain ASCII as it stands in a written string."""
    character = found[0]
    code = ord(character)
    if character in _SHORT_ESCAPES:
        return _SHORT_ESCAPES[character]
    if 0xD800 <= code <= 0xDFFF:
        return "\ufffd"
    if unicodedata.category(character)[0] in "LMNPS":
        return character
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:06x}"


@lru_cache(maxsize=4096)
def _write_name(name: str) -> str:
    if _COMMON_NAME.match(name):
        return name
    name = _SURROGATE.sub("\ufffd", name)
    return name if _is_plain(name) else "#{" + "".join(map(_wrap, name)) + "}#"


def _is_plain(name: str) -> bool:
    """Whether a name can stand as it is: it neither ends early nor reads as something else."""
    if not name or name == "." or name[0] in "',`" or _NUMBER.match(name):
        return False
    categories = [unicodedata.category(character) for character in name]
    is_delimited = any(character in '";#' for character in name)
    return not is_delimited and categories[0] in _INITIAL and _SUBSEQUENT.issuperset(categories)


def _wrap(character: str) -> str:
    category = unicodedata.category(character)
    is_raw = character != "\\" and (category in _SUBSEQUENT or category == "Zs")
    return character if is_raw else f"\\x{ord(character):x};"


def _write_float(number: float) -> str:
    if math.isnan(number):
        return "+nan.0"
    if math.isinf(number):
        return "+inf.0" if number > 0 else "-inf.0"
    mantissa, mark, exponent = repr(number).partition("e")
    if not mark:
        return mantissa
    return f"{mantissa if '.' in mantissa else mantissa + '.0'}e{int(exponent)}"

"""Where the last datum of a Scheme file is: what Guix takes as the file's value."""

import re
from collections.abc import Iterator
from typing import Final

from virtsupd.errors import VirtsupdError

_TOKEN: Final = re.compile(
    r"""
    (?P<blank>\s+ | ;[^\n]* | \#\|.*?\|\#)
  | (?P<skip>\#;)
  | (?P<string>"(?:\\.|[^"\\])*")
  | (?P<open>[(\[] | \#\()
  | (?P<close>[)\]])
  | (?P<prefix>'|`|,@|,|\#'|\#`|\#~|\#\$@?|\#\+@?)
  | (?P<char>\#\\(?:[^\s()\[\]";]+|.))
  | (?P<atom>[^\s()\[\]";]+)
    """,
    re.VERBOSE | re.DOTALL,
)

_DEEPER: Final = {"open": 1, "close": -1}


class SchemeError(VirtsupdError):
    """A text is no Scheme that can be told apart; it stays as it is."""

    code = "bad-scheme"


def last_datum(text: str) -> tuple[int, int] | None:
    """Return where the last datum at the top level begins and ends; None if there is none.

    A datum that is commented out (#;) counts as a comment; nested block comments are not understood.

    Raises:
        SchemeError: parentheses or quotes do not match.
    """
    depth, begin, is_skipped = 0, -1, False
    found: tuple[int, int] | None = None
    for kind, start, end in _tokens(text):
        if kind == "skip":
            is_skipped = is_skipped or depth == 0
            continue
        begin = start if depth == 0 and begin < 0 else begin
        depth += _DEEPER.get(kind, 0)
        if depth < 0:
            raise SchemeError("has a parenthesis that closes nothing")
        if depth == 0 and kind != "prefix":
            found = found if is_skipped else (begin, end)
            begin, is_skipped = -1, False
    if depth or begin >= 0:
        raise SchemeError("has a parenthesis that is never closed")
    return found


def _tokens(text: str) -> Iterator[tuple[str, int, int]]:
    """Yield what there is but blanks and comments: its kind, where it begins and ends."""
    at = 0
    while at < len(text):
        token = _TOKEN.match(text, at)
        if token is None or token.lastgroup is None:
            raise SchemeError(f"cannot be read from {text[at : at + 20]!r} on")
        if token.lastgroup != "blank":
            yield token.lastgroup, at, token.end()
        at = token.end()

"""Colours and the width of a terminal, and text that cannot harm one."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TextIO

_CODES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}

_HARMLESS = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if code != 9}


def harmless(text: str) -> str:
    """Return `text` with its control characters spelled out, so that no service drives a terminal."""
    return text if text.isprintable() else text.translate(_HARMLESS)


def quoted(command: list[str]) -> str:
    """Return a command as one would type it to a shell."""
    return " ".join(_quoted_word(word) for word in command)


def _quoted_word(word: str) -> str:
    if word and all(letter.isalnum() or letter in "@%+=:,./_-" for letter in word):
        return word
    return "'" + harmless(word).replace("'", "'\\''") + "'"


class Style:
    """How to write to one stream: coloured or not, how wide, with which lines.

    `width` is 0 where nothing has to fit: not a terminal. `can_redraw`: a line can be written over.
    """

    __slots__ = ("can_redraw", "has_colors", "is_unicode", "width")

    def __init__(
        self,
        *,
        has_colors: bool = False,
        can_redraw: bool = False,
        width: int = 0,
        is_unicode: bool = True,
    ) -> None:
        self.has_colors = has_colors
        self.can_redraw = can_redraw
        self.width = width
        self.is_unicode = is_unicode

    def paint(self, color: str, text: str) -> str:
        """Return `text` in a colour ("red", "bold" …; "" for none) if the stream takes colours."""
        if not (self.has_colors and color and text):
            return text
        return f"\x1b[{_CODES[color]}m{text}\x1b[0m"

    def fit(self, text: str, used: int) -> str:
        """Return `text` cut to what is left of a line after `used` columns, at least 20."""
        room = max(self.width - used, 20)
        if not self.width or len(text) <= room:
            return text
        return f"{text[: room - 1]}{'…' if self.is_unicode else '~'}"


def style_of(stream: TextIO, *, no_color: bool = False) -> Style:
    """Return how to write to `stream`: plain for files and pipes, for NO_COLOR and a dumb terminal."""
    is_unicode = (stream.encoding or "utf-8").lower().startswith("utf")
    if not stream.isatty():
        return Style(is_unicode=is_unicode)
    is_dumb = os.environ.get("TERM", "dumb") == "dumb"
    return Style(
        has_colors=not (is_dumb or no_color or os.environ.get("NO_COLOR")),
        can_redraw=not is_dumb,
        width=_width(stream),
        is_unicode=is_unicode,
    )


def _width(stream: TextIO) -> int:
    try:
        return os.get_terminal_size(stream.fileno()).columns
    except OSError:
        return 80

"""S-expressions as Guile's `write` puts them: the data, and an incremental reader, pure.

The reader takes what herd and Guile programs send: lists in round or square brackets, dotted
pairs, symbols (also `#{odd ones}#`), keywords, strings, integers, floats, booleans, and comments
and white space between them. Vectors, characters, quotations and every other `#` syntax are
refused: no message of the protocol has them.

Input comes from strangers, so the reader keeps these promises: it looks at each byte once however
the input is cut into pieces, it does not recurse, it holds no more than its limits say, and the only
exception it raises is `ProtocolError`.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from virtsupd.core.frozen import frozen
from virtsupd.errors import ProtocolError

DEFAULT_LIMIT_BYTES = 64 * 1024
DEFAULT_MAX_DEPTH = 64
DEFAULT_MAX_DATA = 4096


@frozen
class Symbol:
    """A symbol, by its name."""

    name: str


@frozen
class Keyword:
    """A keyword, by its name without the `#:`."""

    name: str


@frozen
class Pair:
    """A list with a tail that is not a list: `(5 . 7)` is Pair((5,), 7).

    `items` is not empty and `tail` is neither a tuple nor a Pair: the reader makes no others.
    """

    items: "tuple[Datum, ...]"
    tail: "Datum"


Datum = Symbol | Keyword | Pair | str | int | float | bool | tuple["Datum", ...]

# What goes on with the thing being read, as far as these bytes tell. Each is unrolled so that it
# matches in one pass and always succeeds.
_BLANK_RUN = re.compile(rb"[ \t\n\r\f\v]*(?:;[^\n]*\n[ \t\n\r\f\v]*)*")
_ATOM_RUN = re.compile(rb"[^ \t\n\r\f\v()\[\]\";]*")
_STRING_RUN = re.compile(rb'[^"\\]*(?:\\[\s\S][^"\\]*)*')
_WRAPPED_RUN = re.compile(rb"[^}]*(?:\}(?=[^#])[^}]*)*")
_LINE_RUN = re.compile(rb"[^\n]*")
_BLOCK_RUN = re.compile(rb"[^|#]*(?:(?:\|(?=[^#])|#(?=[^|]))[^|#]*)*")

_INTEGER = re.compile(r"[+-]?[0-9]+\Z")
_FLOAT = re.compile(r"[+-]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=e))(?:e[+-]?[0-9]+)?\Z")
_FRACTION = re.compile(r"[+-]?[0-9]+/[0-9]+\Z")
_MAX_DIGITS = 1000
_CONSTANTS: dict[str, Datum] = {
    "#t": True,
    "#true": True,
    "#f": False,
    "#false": False,
    "+inf.0": float("inf"),
    "-inf.0": float("-inf"),
    "+nan.0": float("nan"),
}

_STRING_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{6})|([\s\S]))")
_WRAPPED_ESCAPE = re.compile(r"\\x([0-9a-fA-F]{1,6});")
_ONE_CHARACTER = {
    "a": "\a",
    "b": "\b",
    "f": "\f",
    "n": "\n",
    "r": "\r",
    "t": "\t",
    "v": "\v",
    "0": "\0",
    "\\": "\\",
    '"': '"',
    "|": "|",
    "(": "(",
    "\n": "",
}
_CLOSER = {"(": ")", "[": "]"}


@dataclass(slots=True)
class _List:
    """A list whose end has not come yet."""

    closer: str
    items: list[Datum] = field(default_factory=list)
    dot: int | None = None
    """How many items stood before the dot."""
    dropped: int = 0
    """How many data are to be left out yet: what `#;` asked for."""


class Reader:
    """Reads one datum from bytes that arrive in pieces of any size.

    A datum ends with its closing parenthesis or quote; an atom at top level ends at the first byte
    that cannot belong to it. What follows the datum is never looked at.
    """

    def __init__(
        self,
        limit_bytes: int = DEFAULT_LIMIT_BYTES,
        max_depth: int = DEFAULT_MAX_DEPTH,
        max_data: int = DEFAULT_MAX_DATA,
    ) -> None:
        """Make a reader of one datum.

        It ends within `limit_bytes`, nests at most `max_depth` lists, and consists of at most
        `max_data` data, lists and left-out ones included: small ones cost a hundred times the
        memory that their text does.
        """
        self._room = limit_bytes
        self._max_depth = max_depth
        self._data_left = max_data
        self._rest = b""
        self._token = bytearray()
        self._is_keyword = False
        self._block_depth = 0
        self._lists: list[_List] = []
        self._top = _List("")
        self._step: Callable[[bytes, int], int] = self._between

    def feed(self, data: bytes) -> Datum | None:
        """Take the next bytes; return the datum once it is complete, None before (and after).

        Raises:
            ProtocolError: this is not, or can no longer become, one datum within the limits. The
                reader is of no further use.
        """
        if self._top.items:
            return None
        chunk = self._rest + data[: self._room]
        is_too_long = len(data) > self._room
        self._room -= min(len(data), self._room)
        self._rest = chunk[self._advance(chunk) :]
        if self._top.items:
            return self._top.items[0]
        if is_too_long:
            raise ProtocolError("the message is longer than allowed")
        return None

    def _advance(self, chunk: bytes) -> int:
        """Read on and return how many bytes were used; at most three, undecided yet, are not."""
        position = 0
        while position < len(chunk) and not self._top.items:
            step = self._step
            following = step(chunk, position)
            if following == position and self._step == step:
                break
            position = following
        return position

    # Steps. Each reads on from `start` and returns where it stopped; a step that stops where it
    # started, and stays the current one, needs more bytes before it can decide.

    def _between(self, chunk: bytes, start: int) -> int:
        position = _skip(_BLANK_RUN, chunk, start)
        if position > start:
            return position
        character = chr(chunk[start])
        if character == "#":
            return self._after_hash(chunk, start)
        if character in "'`,":
            raise ProtocolError("quotations are not allowed")
        if character in "([":
            self._open(_CLOSER[character])
        elif character in ")]":
            self._close(character)
        elif character in '";':
            self._step = self._in_string if character == '"' else self._in_line_comment
        else:
            self._step = self._in_atom
            return start
        return start + 1

    def _after_hash(self, chunk: bytes, start: int) -> int:
        match chunk[start + 1 : start + 2]:
            case b"":
                return start
            case b"{":
                self._step = self._in_wrapped
            case b":":
                self._step = self._in_keyword
            case b"|":
                self._block_depth = 1
                self._step = self._in_block_comment
            case b";":
                self._innermost.dropped += 1
            case _:
                self._step = self._in_atom
                return start
        return start + 2

    def _in_keyword(self, chunk: bytes, start: int) -> int:
        self._is_keyword = True
        if chunk[start : start + 1] != b"#":
            self._step = self._in_atom
            return start
        following = chunk[start + 1 : start + 2]
        if following:
            self._step = self._in_wrapped if following == b"{" else self._in_atom
        return start + 2 if following == b"{" else start

    def _in_atom(self, chunk: bytes, start: int) -> int:
        end = self._collect(_ATOM_RUN, chunk, start)
        if end < len(chunk):
            text = self._take_token()
            if self._is_keyword:
                self._add_name(text)
            elif text == ".":
                self._dot()
            else:
                self._add(_atom(text))
        return end

    def _in_string(self, chunk: bytes, start: int) -> int:
        end = self._collect(_STRING_RUN, chunk, start)
        if chunk[end : end + 1] != b'"':
            return end
        self._add(_STRING_ESCAPE.sub(_unescape, self._take_token()))
        return end + 1

    def _in_wrapped(self, chunk: bytes, start: int) -> int:
        end = self._collect(_WRAPPED_RUN, chunk, start)
        if chunk[end : end + 2] != b"}#":
            return end
        self._add_name(_WRAPPED_ESCAPE.sub(_unescape, self._take_token()))
        return end + 2

    def _in_line_comment(self, chunk: bytes, start: int) -> int:
        end = _skip(_LINE_RUN, chunk, start)
        if end < len(chunk):
            self._step = self._between
        return end

    def _in_block_comment(self, chunk: bytes, start: int) -> int:
        end = _skip(_BLOCK_RUN, chunk, start)
        if len(chunk) < end + 2:
            return end
        self._block_depth += 1 if chunk[end] == ord("#") else -1
        if not self._block_depth:
            self._step = self._between
        return end + 2

    # What the steps build.

    @property
    def _innermost(self) -> _List:
        return self._lists[-1] if self._lists else self._top

    def _collect(self, run: re.Pattern[bytes], chunk: bytes, start: int) -> int:
        end = _skip(run, chunk, start)
        self._token += chunk[start:end]
        return end

    def _take_token(self) -> str:
        """Return the token as text and begin the next one."""
        try:
            text = self._token.decode()
        except UnicodeDecodeError as error:
            raise ProtocolError("the message is not UTF-8") from error
        self._token.clear()
        self._step = self._between
        return text

    def _add_name(self, text: str) -> None:
        self._add(Keyword(text) if self._is_keyword else Symbol(text))
        self._is_keyword = False

    def _add(self, datum: Datum) -> None:
        self._data_left -= 1
        if self._data_left < 0:
            raise ProtocolError("the message has more parts than allowed")
        target = self._innermost
        if target.dropped:
            target.dropped -= 1
        else:
            target.items.append(datum)

    def _dot(self) -> None:
        target = self._innermost
        if target is self._top or target.dot is not None or not target.items or target.dropped:
            raise ProtocolError("a dot stands where none may")
        target.dot = len(target.items)

    def _open(self, closer: str) -> None:
        if len(self._lists) >= self._max_depth:
            raise ProtocolError("the message is nested deeper than allowed")
        self._lists.append(_List(closer))

    def _close(self, closer: str) -> None:
        if not self._lists or self._lists[-1].closer != closer:
            raise ProtocolError(f"a {closer} closes nothing")
        finished = self._lists.pop()
        if finished.dropped:
            raise ProtocolError("a comment of a datum has no datum")
        self._add(_finish(finished))


def parse(data: bytes) -> Datum:
    """Return the one datum that `data` holds.

    Raises:
        ProtocolError: it holds none, more than one, or something else.
    """
    reader = Reader(limit_bytes=len(data) + 3, max_data=len(data) + 1)
    too_early = reader.feed(b"(" + data + b"\n")
    datum = reader.feed(b")")
    if too_early is not None or not isinstance(datum, tuple) or len(datum) != 1:
        raise ProtocolError("not exactly one datum")
    return datum[0]


def _skip(run: re.Pattern[bytes], chunk: bytes, start: int) -> int:
    found = run.match(chunk, start)
    return found.end() if found else start


def _finish(finished: _List) -> Datum:
    items = tuple(finished.items)
    if finished.dot is None:
        return items
    if len(items) != finished.dot + 1:
        raise ProtocolError("not exactly one datum follows a dot")
    head, tail = items[:-1], items[-1]
    if isinstance(tail, tuple):
        return head + tail
    if isinstance(tail, Pair):
        return Pair(head + tail.items, tail.tail)
    return Pair(head, tail)


def _atom(text: str) -> Datum:
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if text.startswith("#") or _FRACTION.match(text):
        raise ProtocolError("the message uses a notation that is not allowed")
    is_integer = _INTEGER.match(text)
    if not is_integer and not _FLOAT.match(text):
        return Symbol(text)
    if len(text) > _MAX_DIGITS:
        raise ProtocolError("a number is longer than allowed")
    return int(text) if is_integer else float(text)


def _unescape(found: re.Match[str]) -> str:
    """Return the character that an escape of a string or a wrapped symbol stands for."""
    digits = next((group for group in found.groups()[:3] if group), None)
    if digits is None:
        character = _ONE_CHARACTER.get(found[found.re.groups])
        if character is None:
            raise ProtocolError("a string holds an unknown escape")
        return character
    code = int(digits, 16)
    if code > 0x10FFFF or 0xD800 <= code <= 0xDFFF:
        raise ProtocolError("an escape stands for no character")
    return chr(code)

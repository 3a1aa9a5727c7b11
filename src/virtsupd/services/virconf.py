"""The configuration files of libvirt's daemons: one `key = value` a line, written and read.

    key = 1                     whole numbers; truth values are 0 and 1
    key = "text"                also 'text', and \"\"\"text\"\"\", which may hold lines and both quotes
    key = ["one", "two",]       on several lines, too; comments may not stand in it
    # a comment, also after a value; instead of a line's end there may be a semicolon

There are no escapes, so a string lies in the quotes that it does not hold. Names are letters, digits
and underscores, a letter first. Of two lines with the same key libvirt reads the first.
"""

import re
from dataclasses import dataclass
from typing import Final

from virtsupd.errors import ConfigError

ConfValue = str | int | list["str | int"]
"""What a key can have in such a file."""

_TRIPLE: Final = '"""'
_BLANKS = re.compile(r"[ \t]*")
_GAP = re.compile(r"[ \t\r\n]*")
_COMMENT = re.compile(r"#[^\r\n]*")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_NUMBER = re.compile(r"[+-]?[0-9]{1,20}(?![0-9])")
_STRING = re.compile(r"""'([^'\r\n]*)'|\"{3}(.*?)\"{3}|"([^"\r\n]*)\"""", re.DOTALL)
_END = re.compile(r"[\r\n]+|;|\Z")


class ConfText:
    """A value that stands in the file as a string: the one that `str` makes of it."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What a file says of one key."""

    value: ConfValue
    line: int
    """From 1."""


def conf_string(value: object) -> str:
    """Return a string that can be written to such a file.

    Libvirt would also take a string with line breaks and control characters; none of its keys means
    anything with them.

    Raises:
        ValueError: it is none; the message completes "must be …".
    """
    if not isinstance(value, str):
        raise ValueError("a string")  # noqa: TRY004 - pydantic collects ValueErrors only
    if not value.isprintable():
        raise ValueError("a string of one line without control characters")
    if "'" in value and (_TRIPLE in value or value.endswith('"')) and '"' in value:
        raise ValueError(
            "a string that libvirt's file can hold, which has no escapes: with both kinds of quotes, "
            'it must neither end with " nor have three of them in a row'
        )
    return value


def value_text(value: object) -> str:
    """Return a value as libvirt's parser reads it.

    Raises:
        ValueError: it has a string that such a file cannot hold.
    """
    match value:
        case bool():
            return str(int(value))
        case ConfText():
            return _quoted(str(value))
        case int():
            return str(value)
        case tuple():
            return "[" + ", ".join(value_text(item) for item in value) + "]"
        case _:
            return _quoted(conf_string(value))


def _quoted(value: str) -> str:
    quote = '"' if '"' not in value else "'" if "'" not in value else _TRIPLE
    return f"{quote}{value}{quote}"


def parse(text: str, file: str) -> dict[str, Setting]:
    """Return what a file of one of libvirt's daemons says; of equal keys the first counts.

    Raises:
        ConfigError: libvirt would not read it; the message has file and line.
    """
    return _Parser(text, file).settings()


class _Parser:
    """One reading of one file."""

    def __init__(self, text: str, file: str) -> None:
        self._text = text
        self._file = file
        self._at = 0

    def settings(self) -> dict[str, Setting]:
        found: dict[str, Setting] = {}
        if "\0" in self._text:
            self._at = self._text.index("\0")
            raise self._error("a NUL, at which libvirt would stop")
        self._take(_GAP)
        while self._at < len(self._text):
            if not self._take(_COMMENT):
                key, setting = self._setting()
                found.setdefault(key, setting)
            self._take(_BLANKS)
            if self._take(_END) is None:
                raise self._error("expecting the end of the line, or ;")
            self._take(_GAP)
        return found

    def _setting(self) -> tuple[str, Setting]:
        line = self._line()
        name = self._take(_NAME)
        if name is None:
            raise self._error("expecting a key: letters, digits and _, a letter first")
        self._take(_BLANKS)
        if not self._takes("="):
            raise self._error(f"expecting = after {name[0]}")
        self._take(_BLANKS)
        value = self._list() if self._takes("[") else self._plain()
        self._take(_BLANKS)
        self._take(_COMMENT)
        return name[0], Setting(value, line)

    def _plain(self) -> str | int:
        if number := self._take(_NUMBER):
            return int(number[0])
        if string := self._take(_STRING):
            return next(part for part in string.groups() if part is not None)
        raise self._error("expecting a value: a number, a string in quotes, or a list of strings")

    def _list(self) -> list[str | int]:
        found: list[str | int] = []
        self._take(_GAP)
        while not self._takes("]"):
            found.append(self._plain())
            self._take(_GAP)
            if self._takes(","):
                self._take(_GAP)
            elif not self._text.startswith("]", self._at):
                raise self._error("expecting , or ] in a list")
        return found

    def _take(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        found = pattern.match(self._text, self._at)
        if found:
            self._at = found.end()
        return found

    def _takes(self, text: str) -> bool:
        is_there = self._text.startswith(text, self._at)
        self._at += len(text) if is_there else 0
        return is_there

    def _line(self) -> int:
        return self._text.count("\n", 0, self._at) + 1

    def _error(self, what: str) -> ConfigError:
        return ConfigError((f"{self._file}:{self._line()}: {what}",))

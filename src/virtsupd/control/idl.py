"""Varlink interface descriptions: read them, and check values against them.

The text of an interface is the single source of its types. Reading is linear and happens once, at
import; a mistake in the text is a defect of ours and raises ValueError.
"""

import re
from collections.abc import Callable, Mapping

from virtsupd.core.frozen import frozen

_TOKEN = re.compile(r"\s+|#[^\n]*|(?P<token>[A-Za-z][\w.]*|->|\[\]|[?:,()])")


class MismatchError(ValueError):
    """A value does not fit its type; `path` is the field it was found at ("names[2]")."""

    def __init__(self, path: str, what: str) -> None:
        """Say `what` is wrong at `path`."""
        super().__init__(f"{path}: {what}")
        self.path = path


@frozen
class Optional:
    """A value that may be null or missing."""

    element: "Type"


@frozen
class Array:
    """A list of one type."""

    element: "Type"


@frozen
class Struct:
    """An object with these fields and no others."""

    fields: "Mapping[str, Type]"


Type = str | Optional | Array | Struct
"""A string is the name of a basic type (bool, int, float, string, object) or of a type of the interface."""


@frozen
class MethodType:
    """What a method takes and gives."""

    parameters: Struct
    reply: Struct


@frozen
class Interface:
    """One interface: its name, the text it was read from, and what the text declares."""

    name: str
    text: str
    types: Mapping[str, Struct]
    methods: Mapping[str, MethodType]
    errors: Mapping[str, Struct]

    def check(self, value: object, wanted: Type, path: str = "") -> None:
        """Check that a value read from JSON fits a type of this interface.

        Raises:
            MismatchError: it does not; the first place that does not fit is named.
        """
        if isinstance(wanted, Optional):
            if value is not None:
                self.check(value, wanted.element, path)
        elif isinstance(wanted, Array):
            self._check_array(value, wanted, path)
        elif isinstance(wanted, Struct):
            self._check_struct(value, wanted, path)
        elif wanted in self.types:
            self._check_struct(value, self.types[wanted], path)
        elif not _BASIC[wanted](value):
            raise MismatchError(path, f"{wanted} expected")

    def _check_array(self, value: object, wanted: Array, path: str) -> None:
        if not isinstance(value, list):
            raise MismatchError(path, "array expected")
        for index, element in enumerate(value):
            self.check(element, wanted.element, f"{path}[{index}]")

    def _check_struct(self, value: object, wanted: Struct, path: str) -> None:
        if not isinstance(value, dict):
            raise MismatchError(path, "object expected")
        prefix = f"{path}." if path else ""
        for name in value:
            if name not in wanted.fields:
                raise MismatchError(f"{prefix}{name}", "no such field")
        for name, type_ in wanted.fields.items():
            if name not in value and not isinstance(type_, Optional):
                raise MismatchError(f"{prefix}{name}", "missing")
            self.check(value.get(name), type_, f"{prefix}{name}")


_BASIC: dict[str, Callable[[object], bool]] = {
    "bool": lambda value: isinstance(value, bool),
    "int": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "float": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "string": lambda value: isinstance(value, str),
    "object": lambda _: True,
}


def parse_interface(text: str) -> Interface:
    """Read an interface description.

    Raises:
        ValueError: it is not one; the message names what was found where something else belongs.
    """
    return _Parser(text).interface()


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = _tokens(text)
        self._next = 0

    def interface(self) -> Interface:
        self._expect("interface")
        name = self._take()
        types: dict[str, Struct] = {}
        methods: dict[str, MethodType] = {}
        errors: dict[str, Struct] = {}
        while self._next < len(self._tokens):
            keyword, member = self._take(), self._take()
            if keyword == "method":
                methods[member] = self._method()
            elif keyword in ("type", "error"):
                (types if keyword == "type" else errors)[member] = self._struct()
            else:
                raise ValueError(f"type, method or error expected, found {keyword!r}")
        return Interface(name, self._text, types, methods, errors)

    def _method(self) -> MethodType:
        parameters = self._struct()
        self._expect("->")
        return MethodType(parameters, self._struct())

    def _struct(self) -> Struct:
        self._expect("(")
        fields: dict[str, Type] = {}
        while self._peek() != ")":
            if fields:
                self._expect(",")
            name = self._take()
            self._expect(":")
            fields[name] = self._type()
        self._expect(")")
        return Struct(fields)

    def _type(self) -> Type:
        if self._peek() == "(":
            return self._struct()
        word = self._take()
        if word == "?":
            return Optional(self._type())
        return Array(self._type()) if word == "[]" else word

    def _peek(self) -> str:
        if self._next == len(self._tokens):
            raise ValueError("the description ends too early")
        return self._tokens[self._next]

    def _take(self) -> str:
        token = self._peek()
        self._next += 1
        return token

    def _expect(self, wanted: str) -> None:
        found = self._take()
        if found != wanted:
            raise ValueError(f"{wanted!r} expected, found {found!r}")


def _tokens(text: str) -> list[str]:
    tokens: list[str] = []
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise ValueError(f"{text[position : position + 20]!r} is no part of a description")
        if match["token"]:
            tokens.append(match["token"])
        position = match.end()
    return tokens

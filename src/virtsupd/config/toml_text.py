"""Values and keys as TOML text: for messages, and for showing a definition."""

import re
from collections.abc import Iterable, Mapping

_BARE = re.compile(r"[A-Za-z0-9_-]+\Z")
_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}


def string_text(value: str) -> str:
    """Return `value` as a basic string."""
    return '"' + "".join(_escaped(character) for character in value) + '"'


def _escaped(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    return character if character >= " " and character != "\x7f" else f"\\u{ord(character):04X}"


def key_text(key: str) -> str:
    """Return `key` bare where TOML allows it, else quoted."""
    return key if _BARE.match(key) else string_text(key)


def dotted(keys: Iterable[str | int]) -> str:
    """Return a path of keys; positions in arrays, counted from 0, in brackets counted from 1."""
    text = ""
    for key in keys:
        if isinstance(key, int):
            text += f"[{key + 1}]"
        else:
            text += ("." if text else "") + key_text(key)
    return text


def value_text(value: object) -> str:
    """Return a value as TOML has it; tables inline. What TOML lacks is shown as Python has it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return string_text(value)
    if isinstance(value, Mapping):
        inside = ", ".join(f"{key_text(key)} = {value_text(item)}" for key, item in value.items())
        return f"{{ {inside} }}" if inside else "{}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(value_text(item) for item in value) + "]"
    return str(value)

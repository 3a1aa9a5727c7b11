"""What is wrong with a configuration, as lines for people: file, key, value found, what is allowed."""

import re
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Final, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from virtsupd.config.toml_text import dotted, string_text, value_text
from virtsupd.core.frozen import frozen

Keys = tuple[str | int, ...]
"""A path in a table; numbers are positions in arrays, from 0."""

Fault = tuple[Keys, str]
"""Where in a table something is wrong, and what."""

SECRET: Final = re.compile(r"SECRET|PASSW|TOKEN|KEY", re.IGNORECASE)
"""Names of environment variables whose values are shown nowhere."""

_SHOWN = 60
_KNOWN_SHOWN = 12
_ALLOWED_BY_KEY: Final = {
    "command": 'a list of strings, such as ["/usr/bin/program", "argument"]; '
    "a command line in one string is not split",
    "domain": "the name of a libvirt domain, or a table with name",
    "respawn": "true, false or a table",
    "log": "false or a table",
    "ready": 'a word such as "notify", or a table with kind',
    "health": "a table with kind",
    "stop": 'a table, such as { signal = "INT", delay = "20s" }; of a guest of libvirt, such as '
    '{ how = "save", delay = "2min" }',
    "reload": 'a signal such as "HUP", or a table with signal or command',
    "sockets": 'a list of addresses ("/run/x.sock", "127.0.0.1:80") or tables with listen',
    "cgroup": "a name of letters, digits, _, - and . (not first), at most 100 characters",
    "name": "1 to 255 printable characters without a colon",
    "actions": "tables by name",
    "timer": 'a calendar expression such as "Mon..Fri 02:30", a list of them, or a table with '
    "calendar or cron",
}
_ALLOWED_BY_TYPE: Final = {
    "string_type": "a string",
    "bool_type": "true or false",
    "int_type": "a whole number",
    "float_type": "a number",
    "tuple_type": "a list",
    "dict_type": "a table",
    "model_type": "a table",
    "model_attributes_type": "a table",
}
_HINTS: Final = {
    "binds_to": "say requires: only what [service.NAME] defines falls with something else",
    "guests": "write guest = true for a service that is a virtual machine",
    "restart": "respawn says how a service is started again",
    "depends": "requires, binds_to, wants and after are the edges",
    "type": "ready, one_shot and transient say what kind of service it is",
}


@frozen
class HostFault:
    """What programs of a built-in kind refuse on this host as it is now, as a line with file and key."""

    text: str
    services: tuple[str, ...] = ()
    """Names of those that would not start over it."""


@frozen
class Layer:
    """A table as one file has it, and where in that file it stands."""

    file: str
    data: Mapping[str, Any]
    prefix: Keys = ()
    """Keys from the file's root to `data`."""
    entry: str = ""
    """What an element of an array is known by, where its position says little."""

    @property
    def table(self) -> str:
        """The table as a file heads it: [service.web]; "" for the file itself."""
        if self.entry:
            return f"[[{dotted(self.prefix[:-1])}]] {string_text(self.entry)}"
        return f"[{dotted(self.prefix)}]" if self.prefix else ""


def problem(file: str, keys: Sequence[str | int], text: str) -> str:
    """Return one line about a key of a file (about the file, if there are no keys)."""
    where = dotted(keys)
    return f"{file}: {where}: {text}" if where else f"{file}: {text}"


def blame(layers: Sequence[Layer], keys: Keys) -> Layer:
    """Return the layer that decides the value at `keys`: the last that has the longest part of it."""
    return max(reversed(layers), key=lambda layer: _depth(layer.data, keys))


def problem_at(layers: Sequence[Layer], keys: Keys, text: str) -> str:
    """Return one line about a key of a table that `layers` make up, naming the deciding file."""
    layer = blame(layers, keys)
    if not layer.entry:
        return problem(layer.file, (*layer.prefix, *keys), text)
    entry = f"{layer.file}: {dotted(layer.prefix[:-1])} {string_text(layer.entry)}"
    return problem(entry, keys, text)


def validation_problems(
    error: ValidationError, model: type[BaseModel], data: object, layers: Sequence[Layer]
) -> Iterator[str]:
    """Yield a line for each thing that `model` refused in `data`, the merger of `layers`."""
    for details in error.errors(include_url=False):
        keys = _keys_in_file(details, data)
        yield problem_at(layers, keys, _explained(details, model, keys, data))


def unknown_key(key: str, known: Sequence[str]) -> str:
    """Return what to say of a key that is not among `known`."""
    if key in _HINTS:
        return f"unknown key; {_HINTS[key]}"
    nearest = get_close_matches(key, known, n=1)
    if nearest:
        return f"unknown key; did you mean {nearest[0]}?"
    shown = (
        ", ".join(known) if len(known) <= _KNOWN_SHOWN else ", ".join(known[:_KNOWN_SHOWN]) + " …"
    )
    return f"unknown key; known here: {shown}"


def found_text(keys: Sequence[str | int], value: object) -> str:
    """Return a value for a message: cut if long, hidden if its name says that it is a secret."""
    if "environment" in keys and keys and SECRET.search(str(keys[-1])):
        return "(hidden)"
    text = value_text(value)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


def _depth(data: object, keys: Keys) -> int:
    depth = 0
    for key in keys:
        if not _has(data, key):
            break
        data = data[key]  # type: ignore[index]  # _has has looked
        depth += 1
    return depth


def _has(data: object, key: str | int) -> bool:
    if isinstance(key, int):
        return isinstance(data, list) and key < len(data)
    return isinstance(data, Mapping) and key in data


def _keys_in_file(details: ErrorDetails, data: object) -> Keys:
    """Return where the file has it: without the tags and levels that only the models have."""
    keys: list[str | int] = []
    location = details["loc"]
    for index, key in enumerate(location):
        if _has(data, key):
            keys.append(key)
            data = data[key]  # type: ignore[index]  # _has has looked
        elif details["type"] == "missing" and index == len(location) - 1:
            break
    if details["type"] == "union_tag_invalid" and _has(data, "kind"):
        keys.append("kind")
    return tuple(keys)


def _value_at(data: object, keys: Keys) -> object:
    for key in keys:
        data = data[key]  # type: ignore[index]  # keys come from _keys_in_file
    return data


def _explained(details: ErrorDetails, model: type[BaseModel], keys: Keys, data: object) -> str:
    kind, location = details["type"], details["loc"]
    if kind == "extra_forbidden":
        return unknown_key(str(keys[-1]), known_keys(model, location[:-1]))
    if kind == "missing":
        return f"the key {location[-1]} is missing"
    if kind == "union_tag_not_found":
        return "the key kind is missing"
    if location and location[-1] == "[key]":
        return f"the key itself must be {details['ctx']['error']}"
    return f"found {found_text(keys, _value_at(data, keys))}, must be {_allowed(details, keys)}"


def _allowed(details: ErrorDetails, keys: Keys) -> str:
    kind, context = details["type"], details.get("ctx", {})
    if kind == "value_error":
        return str(context["error"])
    is_switch = kind == "bool_type"  # as `health` of a kind may be
    if (kind in _ALLOWED_BY_TYPE and not is_switch) or kind == "string_pattern_mismatch":
        last = next((key for key in reversed(keys) if isinstance(key, str)), "")
        is_item = bool(keys) and isinstance(keys[-1], int)
        if last in _ALLOWED_BY_KEY and not (is_item and last == "command"):
            return _ALLOWED_BY_KEY[last]
    return _ALLOWED_BY_TYPE.get(kind) or _by_context(kind, context, details)


def _by_context(kind: str, context: Mapping[str, Any], details: ErrorDetails) -> str:
    match kind:
        case "literal_error":
            return f"one of {str(context['expected']).replace(chr(39), chr(34))}"
        case "union_tag_invalid":
            return _one_of_kinds(str(context["tag"]), str(context["expected_tags"]))
        case "greater_than_equal":
            return f"at least {context['ge']}"
        case "less_than_equal" | "less_than":
            return f"at most {context.get('le', context.get('lt'))}"
        case _:
            return f"something else: {details['msg']}"


def _one_of_kinds(tag: str, expected: str) -> str:
    kinds = [kind.strip(" '") for kind in expected.split(",")]
    nearest = get_close_matches(tag, kinds, n=1)
    hint = f"; did you mean {nearest[0]}? There are" if nearest else ""
    return f"a kind of probe{hint}: {', '.join(kinds)}"


def known_keys(model: type[BaseModel], location: Sequence[str | int]) -> list[str]:
    """Return the keys allowed in the table at `location` (as pydantic gives it) below `model`."""
    models, around = [model], list[str]()
    for key in location:
        tagged = [m for m in models if key in _kinds_of(m)]
        if tagged:
            models = tagged
            continue
        fields = [
            m.model_fields[key] for m in models if isinstance(key, str) and key in m.model_fields
        ]
        if fields:
            around = [n for m in models for n in m.model_fields] if key == "probe" else []
            models = [m for field in fields for m in _models_in(field.annotation)]
    return [
        n
        for n in dict.fromkeys([*(n for m in models for n in m.model_fields), *around])
        if n != "probe"
    ]


def _kinds_of(model: type[BaseModel]) -> tuple[object, ...]:
    field = model.model_fields.get("kind")
    return get_args(field.annotation) if field else ()


def _models_in(annotation: object) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    else:
        for argument in get_args(annotation):
            yield from _models_in(argument)

"""Arrays of tables that turn services on: `[[guest]]`.

The entries of the host file and of its drop-ins are one array. One with the same identity in a later
file is the same entry, which wins key by key; twice in one file is a slip. Each makes services of its
own, in place of the built-in unit that other tables change.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from pydantic import ValidationError

from virtsupd.config.kinds import Built, Element, KindContext, KindParts, UnitKeys
from virtsupd.config.layers import combined
from virtsupd.config.problems import (
    Fault,
    Layer,
    problem,
    problem_at,
    validation_problems,
)
from virtsupd.config.units import unit_names
from virtsupd.core.frozen import frozen
from virtsupd.core.names import Name, parse_name


@frozen
class Entry:
    """One element of the array, before validation."""

    layers: tuple[Layer, ...]

    @property
    def data(self) -> Mapping[str, Any]:
        """The layers, merged."""
        return combined(self.layers)

    def at(self, keys: Sequence[str | int], text: str) -> str:
        """Return one line about a key of it."""
        return problem_at(self.layers, tuple(keys), text)


@frozen
class Array:
    """A whole array, as far as it is sound."""

    built: Built
    services: Mapping[Name, tuple[Layer, ...]]
    """The layers of each service that it makes."""
    offered: Mapping[Name, tuple[Layer, ...]]
    """The same of each that it makes if something else asks for it, by each name that it has."""
    refused: Mapping[Name, tuple[Layer, ...]]
    """The same of what was refused, as far as its name can be told: others may refer to it."""
    problems: tuple[str, ...]
    entries: tuple[Entry, ...]
    """Those that `built` was made of, in order."""

    def at(self, fault: Fault) -> str:
        """Return one line about what `built` says of an entry, or of the array if it names no key."""
        keys, text = fault
        if keys:
            return self.entries[int(keys[0])].at(keys[1:], text)
        first = self.entries[0].layers[0]
        return problem(first.file, first.prefix[:1], text)


def read_array(
    table: str, parts: KindParts, layers: Sequence[Layer], context: KindContext
) -> Array:
    """Return what the arrays of that name in all files become."""
    return _Reading(table, parts, frozenset(context.units)).run(layers, context)


class _Reading:
    """One run of `read_array`."""

    def __init__(self, table: str, parts: KindParts, made_from: frozenset[str]) -> None:
        self._table = table
        self._parts = parts
        self._made_from = made_from
        self._problems: list[str] = []
        self._refused: dict[Name, tuple[Layer, ...]] = {}

    def run(self, layers: Sequence[Layer], context: KindContext) -> Array:
        sound: list[Entry] = []
        elements: list[Element] = []
        for entry in self._entries(layers):
            checked = self._checked(entry)
            if checked is not None:
                sound.append(entry)
                elements.append(checked)
        built = self._parts.build(elements, context) if elements else Built({})
        for entry in sound if built.problems else ():
            self._refuse(entry)
        services = self._services(built, sound)
        offered = {
            name: (Layer(layers[0].file, made.keys, layers[0].prefix, entry=layers[0].entry),)
            for made in built.offered
            for layers in [sound[made.element].layers]
            for name in map(Name, made.provides)
        }
        return Array(built, services, offered, self._refused, tuple(self._problems), tuple(sound))

    def _services(self, built: Built, entries: Sequence[Entry]) -> dict[Name, tuple[Layer, ...]]:
        found: dict[Name, tuple[Layer, ...]] = {}
        for made in built.services:
            name, layers = Name(made.name), entries[made.element].layers
            if name in unit_names() - self._made_from:
                text = f"{name!r} is a built-in service; say another name"
                self._problems.append(problem_at(layers, ("name",), text))
            elif name in found:
                first = found[name][0]
                text = f"{name!r} is already the name of {first.table} in {first.file}"
                self._problems.append(problem_at(layers, ("name",), text))
            else:
                found[name] = _spread(made.keys, layers)
        return found

    def _entries(self, layers: Sequence[Layer]) -> Iterator[Entry]:
        found: dict[tuple[str, ...], list[Layer]] = {}
        for layer in layers:
            in_this_file: set[tuple[str, ...]] = set()
            for place, item in _tables(layer.data.get(self._table)):
                key = self._identity(item)
                prefix = (*layer.prefix, self._table, *place)
                here = Layer(layer.file, item, prefix, entry=key[0] if key else "")
                key = key or (layer.file, *map(str, place))
                if key in in_this_file:
                    text = "stands in this file twice; another file may add to it"
                    self._problems.append(problem_at([here], (), text))
                    continue
                in_this_file.add(key)
                found.setdefault(key, []).append(here)
        return (Entry(tuple(parts)) for parts in found.values())

    def _identity(self, item: Mapping[str, Any]) -> tuple[str, ...] | None:
        """Return what makes it the same entry in two files; None if it does not say."""
        fields = self._parts.model.model_fields
        values = [item.get(key, fields[key].default) for key in self._parts.identity]
        if not all(isinstance(value, str | int | None) for value in values):
            return None
        return tuple("" if value is None else str(value) for value in values)

    def _checked(self, entry: Entry) -> Element | None:
        model, data = self._parts.model, entry.data
        try:
            return Element(model.model_validate(data), data)
        except ValidationError as error:
            self._problems += validation_problems(error, model, data, entry.layers)
            self._refuse(entry)
            return None

    def _refuse(self, entry: Entry) -> None:
        """Note what an entry may be called: others refer to it, or change it, and are not at fault."""
        said = self._parts.names or partial(_said_names, self._parts)
        for text in said(entry.data):
            try:
                self._refused[parse_name(text)] = entry.layers
            except ValueError:
                continue  # it was reported already, or is no name that another could refer to


def _tables(value: object) -> Iterator[tuple[tuple[int, ...], Mapping[str, Any]]]:
    """Yield the tables of an array with their places; what else stands in it was refused already."""
    if isinstance(value, Mapping):
        yield (), value
        return
    for index, item in enumerate(value if isinstance(value, list) else []):
        if isinstance(item, Mapping):
            yield (index,), item


def _said_names(parts: KindParts, data: UnitKeys) -> Iterator[str]:
    """Yield what an entry may be called: as `name` says, or as it is known."""
    for key in ("name", *parts.identity):
        value = data.get(key)
        if key in parts.model.model_fields and isinstance(value, str):
            yield value
            return


def _spread(keys: UnitKeys, layers: Sequence[Layer]) -> tuple[Layer, ...]:
    """Return the keys of a service as layers of the files that decide them, for messages and `cat`."""
    said = {key for layer in layers for key in layer.data}
    computed = {key: value for key, value in keys.items() if key not in said}
    made: list[Layer] = []
    for layer in layers:
        own = {key: value for key, value in keys.items() if key in layer.data}
        made.append(replace(layer, data=own if made else computed | own))
    return tuple(made)

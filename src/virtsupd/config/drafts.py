"""From files to drafts: which services there are, and the layers that each is made of.

The layers of one service, later ones winning key by key: the built-in unit, what the table of its
kind changes in it, unit files of that name in the order of `unit_dirs`, `[service.NAME]` of the host
file and of its drop-ins. A `[service.NAME]` named like a built-in target or condition replaces that.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from virtsupd.config.arrays import Array, read_array
from virtsupd.config.files import drop_ins, read_toml, toml_files
from virtsupd.config.kinds import Built, Kind, KindContext, Registry
from virtsupd.config.layers import below, combined
from virtsupd.config.problems import (
    Fault,
    HostFault,
    Keys,
    Layer,
    problem,
    problem_at,
    validation_problems,
)
from virtsupd.config.settings import HostSettings
from virtsupd.config.toml_text import dotted, value_text
from virtsupd.config.units import name_of, read_unit, unit_names, unit_path
from virtsupd.core.frozen import frozen
from virtsupd.core.names import Name, parse_name
from virtsupd.errors import ConfigError


@dataclass(slots=True)
class Findings:
    """What was found wrong so far."""

    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    host_faults: list[Callable[[], Iterable[HostFault]]] = field(default_factory=list)
    """Each asks this host about one kind's table."""
    host_remarks: list[Callable[[Mapping[str, str]], Iterable[str]]] = field(default_factory=list)
    """The same of what refuses nothing; given where each libvirt is that guests name by its URI."""
    is_complete: bool = True
    """Whether every file could be read, so that a name nobody provides is really missing."""

    def lost(self, error: ConfigError) -> None:
        """Note a file whose content is unknown."""
        self.problems.extend(error.problems)
        self.is_complete = False


@frozen
class Draft:
    """One service before validation."""

    name: Name
    """Of its table or unit file."""
    layers: tuple[Layer, ...]
    is_refused: bool = False
    """There is no more of it than a name, which others may refer to."""

    @property
    def data(self) -> Mapping[str, Any]:
        """The layers, merged."""
        return combined(self.layers)

    @property
    def sources(self) -> tuple[str, ...]:
        """Each layer's file, and the table in it."""
        return tuple(f"{layer.file} {layer.table}".rstrip() for layer in self.layers)


def host_layers(path: Path, findings: Findings) -> tuple[Layer, ...]:
    """Return the host file and its drop-ins, without those that cannot be read."""
    try:
        paths = [path, *drop_ins(path)]
    except ConfigError as error:
        findings.lost(error)
        paths = [path]
    return tuple(_readable(paths, findings))


def unit_layers(directories: Iterable[Path], findings: Findings) -> dict[Name, list[Layer]]:
    """Return the unit files of all directories by the name they are about."""
    found: dict[Name, list[Layer]] = {}
    for directory in directories:
        try:
            paths = toml_files(directory)
        except ConfigError as error:
            findings.lost(error)
            continue
        for layer in _readable(paths, findings):
            name = _checked_name(name_of(Path(layer.file)), layer.file, (), findings)
            if name is not None:
                found.setdefault(name, []).append(layer)
    return found


def check_top_level(layers: Sequence[Layer], kinds: Registry, findings: Findings) -> None:
    """Note tables that nobody knows, and values where a table belongs."""
    known = [*_TABLES, *kinds]
    for layer in layers:
        for key, value in layer.data.items():
            if key not in known:
                findings.problems.append(problem(layer.file, (key,), _unknown_table(key, kinds)))
            else:
                findings.problems.extend(_shape_problems(layer.file, key, value, kinds))


_TABLES: Final = {"host": "[host]", "access": "[access]", "service": "[service.NAME]"}
"""The tables that there are without any kind, as a file heads them."""


def _unknown_table(key: str, kinds: Registry) -> str:
    heads = _TABLES | {table: _head(table, kind) for table, kind in kinds.items()}
    nearest = get_close_matches(key, heads, n=1)
    if nearest:
        return f"unknown table; did you mean {heads[nearest[0]]}?"
    return f"unknown table; known here: {', '.join(heads.values())}"


def _head(table: str, kind: Kind) -> str:
    return f"[[{table}]]" if kind.is_array and not kind.may_be_one else f"[{table}]"


def _shape_problems(file: str, key: str, value: object, kinds: Registry) -> Iterator[str]:
    kind = kinds.get(key)
    is_one = isinstance(value, Mapping) and kind is not None and kind.may_be_one
    if kind is None or not kind.is_array or is_one:
        if not isinstance(value, Mapping):
            yield problem(file, (key,), _must_be(value, f"a table: [{key}]"))
    elif not isinstance(value, list):
        yield problem(file, (key,), _must_be(value, f"an array of tables: [[{key}]]"))
    else:
        for index, item in enumerate(value):
            if not isinstance(item, Mapping):
                yield problem(file, (key, index), _must_be(item, f"a table: [[{key}]]"))


def _must_be(value: object, what: str) -> str:
    return f"found {value_text(value)[:60]}, must be {what}"


def service_layers(layers: Sequence[Layer], findings: Findings) -> dict[Name, list[Layer]]:
    """Return the tables `[service.NAME]` by name."""
    found: dict[Name, list[Layer]] = {}
    for layer in below(layers, "service"):
        for key, value in layer.data.items():
            prefix = (*layer.prefix, key)
            name = _checked_name(key, layer.file, prefix, findings)
            if name is None:
                continue
            if isinstance(value, Mapping):
                found.setdefault(name, []).append(Layer(layer.file, value, prefix))
            else:
                text = _must_be(value, f"a table: [{dotted(prefix)}]")
                findings.problems.append(problem(layer.file, prefix, text))
    return found


@dataclass(slots=True)
class TurnedOn:
    """What the tables of built-in kinds turned on."""

    layers: dict[Name, tuple[Layer, ...]] = field(default_factory=dict)
    """By name of the unit: the built-in one, and what the table changes."""
    refused: dict[Name, tuple[Layer, ...]] = field(default_factory=dict)
    """What elements of arrays that were refused would have turned on, as far as that can be told."""
    stages: dict[Name, Layer] = field(default_factory=dict)
    """By name of a built-in target or condition: what a table changes in it, if it is pulled in."""
    offered: dict[Name, tuple[Layer, ...]] = field(default_factory=dict)
    """By each of its names: what is there only if something pulls it in."""
    built: list[Built] = field(default_factory=list)
    guarded: dict[str, str] = field(default_factory=dict)
    """By name of the service: the table whose kind guards it."""


def turned_on(
    layers: Sequence[Layer], kinds: Registry, host: HostSettings, findings: Findings
) -> TurnedOn:
    """Return the built-in services that tables of the host file turn on."""
    result = TurnedOn()
    present = frozenset(key for layer in layers for key in layer.data)
    for table, kind in kinds.items():
        if kind.is_array:
            if table in present:
                units = {name: read_unit(name) for name in kind.units}
                context = KindContext(host, units, present)
                _take_array(result, read_array(table, kind.parts(), layers, context), findings)
            continue
        found = below(layers, table)
        if found:
            units = {name: read_unit(name) for name in kind.units}
            built = _built(kind, found, KindContext(host, units, present), findings)
            result.built.append(built)
            result.guarded.update(dict.fromkeys(kind.parts().guarded, table))
            changed = {
                name: Layer(found[-1].file, built.changes.get(name, {}), (table,))
                for name in (*units, *built.changes)
            }
            for name, data in units.items():
                result.layers[Name(name)] = (Layer(str(unit_path(name)), data), changed.pop(name))
            result.stages.update({Name(name): layer for name, layer in changed.items()})
    return result


def _built(kind: Kind, layers: Sequence[Layer], context: KindContext, findings: Findings) -> Built:
    data = combined(layers)
    try:
        built = kind.build(kind.model.model_validate(data), context)
    except ValidationError as error:
        findings.problems.extend(validation_problems(error, kind.model, data, layers))
        return Built(changes={})
    _take(built, lambda fault: problem_at(layers, *fault), tuple(built.changes), findings)
    return built


def _take_array(result: TurnedOn, array: Array, findings: Findings) -> None:
    built = array.built
    result.built.append(built)
    result.refused.update(array.refused)
    findings.problems.extend(array.problems)
    _take(built, array.at, tuple(array.services), findings)
    result.layers.update(array.services)
    result.offered.update(array.offered)


def _take(
    built: Built, at: Callable[[Fault], str], services: tuple[str, ...], findings: Findings
) -> None:
    """Note what a kind has found; `at` makes a line of it."""
    findings.problems.extend(map(at, built.problems))
    findings.warnings.extend(map(at, built.warnings))
    asked = [(built.host_faults, services)]
    asked += [(faults, (name,)) for name, faults in built.own_host_faults.items()]
    findings.host_faults.append(
        lambda: (HostFault(at(fault), names) for faults, names in asked for fault in faults())
    )
    findings.host_remarks.append(lambda addresses: map(at, built.host_remarks(addresses)))


def make_drafts(
    on: TurnedOn,
    units: Mapping[Name, Sequence[Layer]],
    services: Mapping[Name, Sequence[Layer]],
    kinds: Registry,
    findings: Findings,
) -> dict[Name, Draft]:
    """Return every service that something turns on, without the targets that are merely named."""
    of_kinds = {name for kind in kinds.values() for name in kind.units}
    drafts: dict[Name, Draft] = {}
    for name in dict.fromkeys((*on.layers, *on.refused, *units, *services)):
        own = services.get(name, ())
        base = on.layers.get(name, ())
        if name in on.refused and not base:
            layers = (*on.refused[name], *units.get(name, ()), *own)
            drafts[name] = Draft(name, layers, is_refused=True)
            continue
        if name in of_kinds and name not in on.layers and not own:
            findings.warnings.extend(_idle_unit(name, units[name], kinds))
            continue
        if not base and not own and name in unit_names():
            base = built_in(name, on).layers
        draft = Draft(name, (*base, *units.get(name, ()), *own))
        if name in of_kinds and not base and "command" not in draft.data:
            findings.problems.append(_nothing_behind(draft, kinds))
            # What else is wrong is found as if it were turned on.
            draft = Draft(name, (*built_in(name, on).layers, *draft.layers))
        drafts[name] = draft
    return drafts


def built_in(name: Name, on: TurnedOn) -> Draft:
    """Return a built-in target or condition as it is shipped, and as a table may have changed it."""
    if name in on.offered:
        return Draft(name, on.offered[name])
    changes = (on.stages[name],) if name in on.stages else ()
    return Draft(name, (Layer(str(unit_path(name)), read_unit(name)), *changes))


def _table_of(name: Name, kinds: Registry) -> str:
    return next(table for table, kind in kinds.items() if name in kind.units)


def _nothing_behind(draft: Draft, kinds: Registry) -> str:
    text = (
        f"changes the built-in service {draft.name}, which nothing turns on; "
        f"add the table [{_table_of(draft.name, kinds)}], or a command to make it a service of your own"
    )
    return problem_at(draft.layers, (), text)


def _idle_unit(name: Name, layers: Sequence[Layer], kinds: Registry) -> Iterator[str]:
    table = _table_of(name, kinds)
    for layer in layers:
        yield f"{layer.file}: changes {name}, which nothing turns on; a table [{table}] would"


def _readable(paths: Iterable[Path], findings: Findings) -> Iterator[Layer]:
    for path in paths:
        try:
            yield Layer(str(path), read_toml(path))
        except ConfigError as error:
            findings.lost(error)


def _checked_name(text: str, file: str, keys: Keys, findings: Findings) -> Name | None:
    try:
        return parse_name(text)
    except ValueError as error:
        findings.problems.append(problem(file, keys, str(error)))
        return None

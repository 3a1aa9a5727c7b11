"""The seam between the loader and the kinds of services: a registry the composition root passes in.

`config` knows no kind. A kind names the table that turns its services on, the model of that table,
and a function that says what the table changes in the built-in units and which files it becomes.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from virtsupd.config.problems import Fault
from virtsupd.config.settings import GeneratedDirectory, GeneratedFile, HostSettings

UnitKeys = Mapping[str, object]
"""The keys of a `[service.*]` table, as TOML holds them."""


@dataclass(frozen=True, slots=True)
class KindContext:
    """What a kind may look at beside its own table."""

    host: HostSettings
    units: Mapping[str, UnitKeys]
    """The kind's built-in units by name, before any change."""


@dataclass(frozen=True, slots=True)
class Built:
    """What a table becomes."""

    changes: Mapping[str, UnitKeys]
    """By name of the unit: keys set over the built-in ones."""
    files: tuple[GeneratedFile, ...] = ()
    directories: tuple[GeneratedDirectory, ...] = ()
    problems: tuple[Fault, ...] = ()
    """What is wrong between keys of the table; nothing else is looked at if there is any."""
    warnings: tuple[Fault, ...] = ()
    """What works, but not as the table may make believe."""


@dataclass(frozen=True, slots=True)
class KindParts:
    """What is needed of a kind once its table is there."""

    model: type[BaseModel]
    build: Callable[[Any, KindContext], Built]
    """Called with a checked instance of `model`."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One table and the services it turns on."""

    units: tuple[str, ...]
    """Names of the built-in units that the table's presence turns on."""
    parts: Callable[[], KindParts]
    """Imports the kind's module: a host that does not have the table does not pay for it."""

    @property
    def model(self) -> type[BaseModel]:
        """The model of the table."""
        return self.parts().model

    @property
    def build(self) -> Callable[[Any, KindContext], Built]:
        """What turns a checked instance of `model` into changes of the units."""
        return self.parts().build


Registry = Mapping[str, Kind]
"""Kinds by the name of their table."""

"""`[[ganeti.os]]`: OS providers and their variants, as tables."""

from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Final

from pydantic import Field, PlainValidator

from virtsupd.config.probes import Table
from virtsupd.config.problems import Fault
from virtsupd.config.values import AbsolutePath, Flag, Text, absolute_path
from virtsupd.ganeti.debootstrap import DebootstrapConfiguration
from virtsupd.ganeti.providers import (
    DEBOOTSTRAP,
    EXTENSIONS,
    LIST,
    GanetiOs,
    GanetiOsVariant,
    os_faults,
    variant_faults,
)
from virtsupd.services.machine_table import FALSE_IS_NONE

_FIELDS: Final = frozenset(field.name for field in fields(DebootstrapConfiguration))
_HOOKS: Final = (
    'false, a directory, or a table of scripts by name: "/path/of/one" or "#!/bin/sh\\n..."'
)

Hooks = Mapping[str, str | Path] | Path | None


def _hooks(value: object) -> Hooks:
    if value is False:
        return None
    if isinstance(value, str):
        return Path(absolute_path(value))
    if not isinstance(value, dict) or not all(isinstance(one, str) for one in value.values()):
        raise ValueError(_HOOKS)
    return {
        str(name): Path(script) if script.startswith("/") else script
        for name, script in value.items()
    }


PositiveOrNone = Annotated[Annotated[int, Field(strict=True, ge=1)] | None, FALSE_IS_NONE]
TextOrNone = Annotated[Text | None, FALSE_IS_NONE]


class VariantTable(Table):
    """A variant: its file's content, or the fields of debootstrap-configuration.

    A field that is not said has the default of `DebootstrapConfiguration`, not the one here.
    """

    name: Text
    configuration: Text | None = None
    """What its file says."""
    configuration_file: AbsolutePath | None = None
    """The file whose content it has."""
    hooks: Annotated[Hooks, PlainValidator(_hooks)] = None
    """Scripts that run-parts runs in the new system; false leaves those of the provider's directory."""
    proxy: TextOrNone = None
    """An HTTP proxy."""
    mirror: TextOrNone = None
    """Where packages are fetched."""
    arch: TextOrNone = None
    """dpkg's name of the guest's architecture."""
    suite: TextOrNone = None
    """The release; false leaves it to the provider."""
    extra_pkgs: tuple[Text, ...] = ()
    """Packages beside the minimal system."""
    components: tuple[Text, ...] = ()
    """Components of the archive."""
    generate_cache: Flag = True
    """Whether the installed system is kept for the next guest."""
    clean_cache: PositiveOrNone = None
    """After how many days it is thrown away; false: never."""
    partition_style: TextOrNone = None
    """"msdos" or "none"."""
    partition_alignment: PositiveOrNone = None
    """In sectors of 512 bytes."""

    @property
    def debootstrap_keys(self) -> list[str]:
        """The fields of debootstrap-configuration that it says."""
        return sorted(_FIELDS & self.model_fields_set)

    def variant(self) -> GanetiOsVariant:
        """Return the variant that it becomes, if there is nothing wrong with it."""
        if self.configuration_file is not None:
            return GanetiOsVariant(self.name, Path(self.configuration_file))
        if self.configuration is not None:
            return GanetiOsVariant(self.name, self.configuration)
        said = {key: getattr(self, key) for key in self.debootstrap_keys}
        return GanetiOsVariant(self.name, DebootstrapConfiguration(**said))

    def faults(self, of: str) -> Iterator[Fault]:
        """Yield what is wrong with it, as a variant of that OS."""
        whole = [
            key for key in ("configuration", "configuration_file") if getattr(self, key) is not None
        ]
        if len(whole) > 1:
            yield ("configuration",), "does not go with configuration_file: say one of them"
        elif whole and self.debootstrap_keys:
            key = self.debootstrap_keys[0]
            yield (key,), f"does not go with {whole[0]}, which is the whole file"
        elif not whole and not self.debootstrap_keys and of != DEBOOTSTRAP:
            yield (), "needs configuration or configuration_file: what its file says"
        for key, text in variant_faults(self.variant()):
            yield (key,), text


class OsTable(Table):
    """An OS provider's variants; the provider itself is a package."""

    name: Text
    """Its files are in /etc/ganeti/instance-NAME."""
    extension: Text | None = None
    """How the names of its variant files end; default: ".conf" of debootstrap, ".scm" of guix, else
    nothing."""
    variants: tuple[VariantTable, ...] = ()

    @property
    def ending(self) -> str:
        """How the names of its variant files end."""
        return EXTENSIONS.get(self.name, "") if self.extension is None else self.extension

    def os(self) -> GanetiOs:
        """Return the OS that it becomes, if there is nothing wrong with it."""
        return GanetiOs(self.name, self.ending, tuple(one.variant() for one in self.variants))

    def faults(self) -> Iterator[Fault]:
        """Yield what is wrong with it."""
        for key, text in os_faults(self.name, self.ending):
            yield (key,), text
        seen: set[str] = set()
        for index, variant in enumerate(self.variants):
            for keys, text in variant.faults(self.name):
                yield ("variants", index, *keys), text
            if variant.name in seen:
                yield ("variants", index, "name"), f"{variant.name!r} stands there twice"
            seen.add(variant.name)
            if f"{variant.name}{self.ending}" == LIST:
                yield ("variants", index, "name"), f"its file would be the list of variants, {LIST}"

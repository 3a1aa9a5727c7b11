"""What `[ganeti]` says of files in /etc/ganeti: the one-shot that makes them, and its settings."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from virtsupd.config.kinds import KindContext, UnitKeys
from virtsupd.config.problems import Fault
from virtsupd.config.settings import GeneratedFile
from virtsupd.core.frozen import frozen
from virtsupd.core.names import Name
from virtsupd.ganeti.configuration_settings import ConfigurationSettings
from virtsupd.ganeti.configuration_tree import configuration_settings
from virtsupd.ganeti.configure import obstacles
from virtsupd.ganeti.debootstrap import DebootstrapConfiguration, hook_name_faults
from virtsupd.ganeti.providers import (
    DEBOOTSTRAP,
    EXTENSIONS,
    PROVIDER_DIRECTORIES,
    GanetiOs,
    default_oses,
    provider,
)
from virtsupd.ganeti.storage_paths import storage_path_fault
from virtsupd.services.ganeti_os_table import OsTable
from virtsupd.services.package import module

UNIT: Final = "ganeti-configuration"
_KIND: Final = "ganeti"


def _no_faults() -> Iterable[Fault]:
    return ()


@frozen
class GanetiConfiguration:
    """What a kind needs to have the files made. Faults begin with keys of `[ganeti]`."""

    changes: Mapping[str, UnitKeys]
    files: tuple[GeneratedFile, ...] = ()
    problems: tuple[Fault, ...] = ()
    warnings: tuple[Fault, ...] = ()
    host_faults: Callable[[], Iterable[Fault]] = _no_faults


def ganeti_configuration(
    tables: Sequence[OsTable] | None,
    storage_paths: Sequence[str],
    hooks: str | None,
    context: KindContext,
) -> GanetiConfiguration:
    """Return the one-shot's keys and its settings, or what is wrong.

    Without `tables` there are debootstrap and guix with their default variants, as far as they are
    installed. `hooks` is the directory of hooks that Ganeti runs.
    """
    problems = (*_os_problems(tables or ()), *_path_problems(storage_paths))
    if problems:
        return GanetiConfiguration({}, problems=problems)
    oses = default_oses() if tables is None else tuple(table.os() for table in tables)
    settings = configuration_settings(
        oses,
        record=str(context.host.state_dir / f"{UNIT}.json"),
        storage_paths=tuple(dict.fromkeys(storage_paths)),
        hooks=hooks,
    )
    faults = partial(_host_faults, oses, settings)
    path = context.host.generated_dir / _KIND / f"{UNIT}.conf"
    return GanetiConfiguration(
        {UNIT: _keys(path, settings)},
        files=(GeneratedFile(path, 0o600, settings.text, Name(UNIT), refusals=faults),),
        warnings=tuple(_warnings(tables or ())),
        host_faults=faults,
    )


def _keys(path: Path, settings: ConfigurationSettings) -> dict[str, object]:
    return {
        "command": module("ganeti.configure", str(path)),
        "clean_up": module("ganeti.configure", "--remove", settings.record),
    }


def _os_problems(tables: Sequence[OsTable]) -> Iterator[Fault]:
    seen: set[str] = set()
    for index, table in enumerate(tables):
        for keys, text in table.faults():
            yield ("os", index, *keys), text
        if table.name in seen:
            yield (
                ("os", index, "name"),
                f"{table.name!r} stands there twice; put all in one variants",
            )
        seen.add(table.name)


def _path_problems(paths: Sequence[str]) -> Iterator[Fault]:
    for index, path in enumerate(paths):
        text = storage_path_fault(path)
        if text is not None:
            yield ("file_storage_paths", index), text


def _warnings(tables: Sequence[OsTable]) -> Iterator[Fault]:
    for index, table in enumerate(tables):
        if provider(table.name) is None:
            where = ", ".join(PROVIDER_DIRECTORIES)
            text = f"no provider {table.name!r} is installed (in {where}): Ganeti does not show it"
            yield ("os", index, "name"), text
        read = EXTENSIONS.get(table.name, table.ending)
        if table.ending != read:
            text = f"found {table.ending!r}; the provider reads files that end in {read!r}"
            yield ("os", index, "extension"), text
        for place, variant in enumerate(table.os().variants):
            said = variant.configuration
            if isinstance(said, DebootstrapConfiguration) and said.suite is None:
                text = (
                    f"is left to {DEBOOTSTRAP}, whose default on Debian is jessie: no longer there"
                )
                yield ("os", index, "variants", place, "suite"), text


def _host_faults(oses: Sequence[GanetiOs], settings: ConfigurationSettings) -> Iterator[Fault]:
    for one in oses:
        for variant in one.variants:
            said = variant.configuration
            if isinstance(said, DebootstrapConfiguration) and isinstance(said.hooks, Path):
                for text in _folder_faults(said.hooks):
                    yield ("os",), f"{one.name}+{variant.name}: {text}"
    yield from (((), text) for text in obstacles(settings))


def _folder_faults(hooks: Path) -> Iterator[str]:
    """Yield what of a directory of hooks run-parts would not run."""
    try:
        entries = sorted(hooks.iterdir())
    except OSError as error:
        yield f"{hooks}: {(error.strerror or str(error)).lower()}"
        return
    for entry in entries:
        yield from (f"{hooks}: {text}" for text in hook_name_faults(entry.name))
        if not os.access(entry, os.X_OK):
            yield f"{entry} would be skipped by run-parts: it is not executable"

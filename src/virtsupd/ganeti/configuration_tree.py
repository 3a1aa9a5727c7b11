"""Which files below /etc/ganeti a configuration becomes."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from virtsupd.ganeti.configuration_settings import DIRECTORY, ConfigurationSettings
from virtsupd.ganeti.debootstrap import DebootstrapConfiguration, variant_text
from virtsupd.ganeti.providers import LIST, GanetiOs, GanetiOsVariant

_HOOKS: Final = "virtsupd-hooks"
"""Beside the package's directory of hooks, which is the administrator's."""


def configuration_settings(
    oses: Iterable[GanetiOs],
    *,
    record: str,
    storage_paths: Sequence[str] = (),
    hooks: str | None = None,
    directory: str = DIRECTORY,
) -> ConfigurationSettings:
    """Return what has to be there; `hooks` is the directory of hooks that Ganeti itself runs.

    A list of variants comes after the variants, so that none is offered that has no file.

    Raises:
        GanetiOsError: a value cannot be written.
    """
    tree = _Tree(directory)
    for one in oses:
        if one.variants:
            tree.add_os(one)
    if storage_paths:
        tree.add(f"{directory}/file-storage-paths", _lines(storage_paths))
    return ConfigurationSettings(
        record,
        directories=tuple(tree.directories),
        files=tree.files,
        copies=tree.copies,
        links={} if hooks is None else {tree.placed(f"{directory}/hooks"): hooks},
        executables=tuple(tree.executables),
    )


class _Tree:
    """What has been added so far."""

    def __init__(self, directory: str) -> None:
        self._top = directory
        self.directories: dict[str, None] = {}
        self.files: dict[str, str] = {}
        self.copies: dict[str, str] = {}
        self.executables: list[str] = []

    def add_os(self, one: GanetiOs) -> None:
        base = f"{self._top}/instance-{one.name}"
        for variant in one.variants:
            content = self._content(base, variant)
            self.add(f"{base}/variants/{variant.name}{one.extension}", content)
        names = _lines([variant.name for variant in one.variants])
        # Debian's provider looks in the first place; Guix's, and the manual, in the second.
        for path in (f"{base}/{LIST}", f"{base}/variants/{LIST}"):
            self.add(path, names)

    def _content(self, base: str, variant: GanetiOsVariant) -> str | Path:
        said = variant.configuration
        if not isinstance(said, DebootstrapConfiguration):
            return said
        place = f"{base}/{_HOOKS}/{variant.name}"
        return variant_text(said, self._hooks(place, said.hooks))

    def _hooks(self, place: str, hooks: Mapping[str, str | Path] | Path | None) -> str | None:
        """Add hooks that are given one by one; return the directory of those that are run."""
        if isinstance(hooks, Path):
            return str(hooks)
        if hooks is None:
            return None
        self._add_directory(place)
        for name, script in hooks.items():
            self.add(f"{place}/{name}", script)
            self.executables.append(f"{place}/{name}")
        return place

    def add(self, path: str, content: str | Path) -> None:
        """Add a file: its content, or the file that has it."""
        if isinstance(content, Path):
            self.copies[self.placed(path)] = str(content)
        else:
            self.files[self.placed(path)] = content

    def placed(self, path: str) -> str:
        """Return a path whose directories are added."""
        self._add_directory(path.rpartition("/")[0])
        return path

    def _add_directory(self, path: str) -> None:
        inner = path.removeprefix(self._top)
        parts = inner.split("/")
        for count in range(1, len(parts) + 1):
            self.directories[self._top + "/".join(parts[:count])] = None


def _lines(words: Iterable[str]) -> str:
    return "".join(f"{word}\n" for word in words)

"""What this host has against a configuration: asked beside the event loop, each time with a deadline."""

from collections.abc import Iterable, Mapping
from functools import partial

from virtsupd.config.load import Loaded
from virtsupd.config.problems import HostFault
from virtsupd.config.settings import GeneratedFile
from virtsupd.config.toml_text import dotted
from virtsupd.core.names import Name
from virtsupd.process.aside import aside
from virtsupd.supervisor import host_files

_SECONDS = 5.0


async def faults(loaded: Loaded) -> tuple[HostFault, ...]:
    """Return what makes programs of built-in kinds refuse their tables; no answer hinders nobody."""
    try:
        return await aside(loaded.host_faults, _SECONDS)
    except TimeoutError:
        text = f"this host did not say within {_SECONDS:g} s whether it fits the tables"
        return (HostFault(text),)


async def remarks(loaded: Loaded) -> tuple[str, ...]:
    """Return what of the host is worth knowing and hinders nobody, a line each."""
    try:
        return await aside(loaded.host_remarks, _SECONDS)
    except TimeoutError:
        return (f"this host did not say within {_SECONDS:g} s what else there is to know",)


async def hindrances(loaded: Loaded) -> tuple[str, ...]:
    """Return why the directories and generated files could not be made, a line each."""
    try:
        found = await aside(partial(host_files.hindrances, loaded), _SECONDS)
    except TimeoutError:
        found = (f"no answer about its directories within {_SECONDS:g} s",)
    return tuple(f"{loaded.path}: {text}" for text in found)


async def unfit(loaded: Loaded) -> Mapping[Name, str]:
    """Return the services that would end if they read their files again now, and why."""
    files = tuple(file for file in loaded.generated if file.reader and file.reread)
    try:
        found = await aside(partial(_refusals, files), _SECONDS)
    except TimeoutError:
        late = f"no answer about its files within {_SECONDS:g} s"
        found = {file.reader: late for file in files if file.reader}
    canonical = loaded.graph.canonical
    return {canonical[name]: text for name, text in found.items() if name in canonical}


def _refusals(files: Iterable[GeneratedFile]) -> dict[Name, str]:
    found: dict[Name, str] = {}
    for file in files:
        faults = tuple(f"{dotted(keys)}: {text}" for keys, text in file.refusals())
        if faults and file.reader is not None:
            found[file.reader] = "; ".join(faults)
    return found

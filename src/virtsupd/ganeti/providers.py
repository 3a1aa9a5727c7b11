"""Ganeti's OS providers and their variants, as the specification names them."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from virtsupd.core.frozen import frozen
from virtsupd.ganeti.debootstrap import (
    DebootstrapConfiguration,
    GanetiOsError,
    configuration_faults,
)

PROVIDER_DIRECTORIES: Final = (
    "/srv/ganeti/os",
    "/usr/local/lib/ganeti/os",
    "/usr/lib/ganeti/os",
    "/usr/share/ganeti/os",
)
"""Where Ganeti looks for providers."""
DEBOOTSTRAP, GUIX = "debootstrap", "guix"
EXTENSIONS: Final = {DEBOOTSTRAP: ".conf", GUIX: ".scm"}
"""By provider: how the variant files that it reads end."""
_EXAMPLE: Final = "share/doc/ganeti-instance-guix/examples/dynamic.scm"
_PREFIXES: Final = ("/usr/local", "/usr", "/run/current-system/profile")
_OS_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_VARIANT_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
_EXTENSION: Final = re.compile(r"(\.[A-Za-z0-9_-]{1,16})*")
LIST: Final = "variants.list"


@frozen
class GanetiOsVariant:
    """One variant of an OS: `gnt-instance add -o OS+VARIANT`."""

    name: str
    configuration: str | Path | DebootstrapConfiguration
    """What its file says: a text, the content of another file, or fields."""


@frozen
class GanetiOs:
    """An OS provider's variants; the provider itself is a package."""

    name: str
    """Its files are in /etc/ganeti/instance-NAME."""
    extension: str = ""
    """How the names of variant files end."""
    variants: tuple[GanetiOsVariant, ...] = ()


def debootstrap_variant(
    name: str, configuration: DebootstrapConfiguration | None = None
) -> GanetiOsVariant:
    """Return a variant of debootstrap; None is what `DebootstrapConfiguration()` says.

    Raises:
        GanetiOsError: the provider could not use it.
    """
    return _checked(GanetiOsVariant(name, configuration or DebootstrapConfiguration()))


def debootstrap_os(variants: Iterable[GanetiOsVariant]) -> GanetiOs:
    """Return the OS that variants of debootstrap are of."""
    return GanetiOs(DEBOOTSTRAP, EXTENSIONS[DEBOOTSTRAP], tuple(variants))


def guix_variant(name: str, configuration: str | Path) -> GanetiOsVariant:
    """Return a variant of guix: an operating-system in Scheme, or the file of one.

    Raises:
        GanetiOsError: no variant can have this name.
    """
    return _checked(GanetiOsVariant(name, configuration))


def guix_os(variants: Iterable[GanetiOsVariant]) -> GanetiOs:
    """Return the OS that variants of guix are of."""
    return GanetiOs(GUIX, EXTENSIONS[GUIX], tuple(variants))


def os_faults(name: str, extension: str) -> Iterator[tuple[str, str]]:
    """Yield what of an OS Ganeti could not use, by field."""
    if not _OS_NAME.fullmatch(name):
        yield "name", f"found {name!r}, must be letters, digits, _ and -, as Ganeti has OS names"
    if not _EXTENSION.fullmatch(extension):
        yield "extension", f'found {extension!r}, must be such as ".conf", or empty'


def variant_faults(variant: GanetiOsVariant) -> Iterator[tuple[str, str]]:
    """Yield what of a variant Ganeti or its provider could not use, by field."""
    if not _VARIANT_NAME.fullmatch(variant.name):
        yield "name", f"found {variant.name!r}, must be letters, digits, _, - and ., not first"
    if isinstance(variant.configuration, DebootstrapConfiguration):
        yield from configuration_faults(variant.configuration)


def provider(name: str) -> Path | None:
    """Return where a provider is installed; None, where it is not."""
    found = (Path(directory) / name for directory in PROVIDER_DIRECTORIES)
    return next((path for path in found if (path / "ganeti_api_version").is_file()), None)


def default_oses() -> tuple[GanetiOs, ...]:
    """Return debootstrap and guix with their default variants, as far as they are installed here."""
    oses = (debootstrap_os(DEFAULT_DEBOOTSTRAP_VARIANTS), guix_os(DEFAULT_GUIX_VARIANTS))
    return tuple(
        one for one in oses if provider(one.name) is not None and all(map(_is_there, one.variants))
    )


def _is_there(variant: GanetiOsVariant) -> bool:
    """Whether the file that a variant copies is there: documentation may not be installed."""
    return not isinstance(variant.configuration, Path) or variant.configuration.exists()


def _checked(variant: GanetiOsVariant) -> GanetiOsVariant:
    for key, text in variant_faults(variant):
        raise GanetiOsError(f"variant {variant.name!r}: {key}: {text}")
    return variant


def _example() -> Path:
    """Return the system that comes with the provider guix; where it would be, if it is not there."""
    paths = [Path(prefix) / _EXAMPLE for prefix in _PREFIXES]
    return next((path for path in paths if path.exists()), paths[1])


DEFAULT_DEBOOTSTRAP_VARIANTS: Final = (debootstrap_variant("default"),)
"""A Debian that boots under KVM."""
DEFAULT_GUIX_VARIANTS: Final = (guix_variant("default", _example()),)
"""A Guix System with an SSH server that lets the host's keys in, and a serial console."""

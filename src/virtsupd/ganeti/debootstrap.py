"""A variant of the OS provider debootstrap: its fields, and the shell assignments it becomes.

The provider sources the file with bash, as root, and expands some of the variables without quotes.
So every value is quoted, and one that could not be what it is called is refused.
"""

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import field
from pathlib import Path
from typing import Final

from virtsupd.core.frozen import frozen
from virtsupd.errors import VirtsupdError
from virtsupd.ganeti.debootstrap_hooks import DEFAULT_DEBOOTSTRAP_HOOKS

DEFAULT_DEBOOTSTRAP_EXTRA_PKGS: Final = (
    "acpi-support-base",
    "udev",
    "linux-image-amd64",
    "openssh-server",
    "locales-all",
    "grub-pc",
)
"""What a guest of amd64 has beside the minimal system. Another architecture gets its own kernel instead,
and no grub-pc where there is none."""

PARTITION_STYLES: Final = ("msdos", "none")
_KERNELS: Final = {"i386": "686", "armhf": "armmp", "ppc64el": "powerpc64le"}
"""By architecture: how Debian's kernel package ends, where not with the architecture's name."""
_ARCHITECTURES: Final = {
    "x86_64": "amd64",
    "aarch64": "arm64",
    "armv7l": "armhf",
    "i686": "i386",
    "ppc64le": "ppc64el",
}
"""By machine, as the kernel calls it: Debian's name, where it is another."""
_OF_PC: Final = frozenset({"amd64", "i386"})
_HOOK_NAME: Final = re.compile(r"[A-Za-z0-9_-]+")
_ALLOWED: Final = {
    "mirror": (re.compile(r"[^\s*?\[\]\x00-\x1f\x7f]+"), "a URL without spaces, *, ? and brackets"),
    "arch": (re.compile(r"[a-z0-9][a-z0-9-]*"), "dpkg's name of an architecture, such as armhf"),
    "suite": (re.compile(r"[A-Za-z0-9][A-Za-z0-9._+~-]*"), "a suite, such as bookworm"),
    "extra_pkgs": (re.compile(r"[a-z0-9][a-z0-9+.-]*"), "a package, such as openssh-server"),
    "components": (re.compile(r"[A-Za-z0-9][A-Za-z0-9./_-]*"), "a component, such as main"),
}
_FOLDER: Final = re.compile(r"/[^\s*?\[\]\x00-\x1f\x7f]*")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")


class GanetiOsError(VirtsupdError):
    """An OS provider or a variant cannot be as it was said; the message names which and what."""

    code = "bad-ganeti-os"


@frozen
class DebootstrapConfiguration:
    """The fields of debootstrap-configuration. What is None is not written: the provider's default holds."""

    hooks: Mapping[str, str | Path] | Path | None = field(
        default_factory=lambda: DEFAULT_DEBOOTSTRAP_HOOKS
    )
    """What is run when the system has been installed: by name a script, or a file with one; or a
    directory of scripts. None: those of /etc/ganeti/instance-debootstrap/hooks."""
    proxy: str | None = None
    """An HTTP proxy."""
    mirror: str | None = None
    """Where Debian's packages are fetched."""
    arch: str | None = None
    """dpkg's name of the guest's architecture; None: the host's."""
    suite: str | None = "stable"
    """The release. None leaves it to the provider, whose own default is long dead (jessie)."""
    extra_pkgs: tuple[str, ...] = DEFAULT_DEBOOTSTRAP_EXTRA_PKGS
    """Packages beside the minimal system; the default ones follow the architecture."""
    components: tuple[str, ...] = ()
    """Components of the archive; none leaves it to the provider, which takes main."""
    generate_cache: bool = True
    """Whether the installed system is kept for the next guest."""
    clean_cache: int | None = 14
    """After how many days what is kept is thrown away; None: never."""
    partition_style: str | None = "msdos"
    """"msdos" or "none"."""
    partition_alignment: int | None = 2048
    """Of the partition's begin, in sectors of 512 bytes."""


def variant_text(configuration: DebootstrapConfiguration, customize_dir: str | None) -> str:
    """Return the file of a variant; `customize_dir` is where its hooks are.

    Raises:
        GanetiOsError: a value cannot be written in one line.
    """
    one = configuration
    assignments = {
        "PROXY": one.proxy,
        "MIRROR": one.mirror,
        "ARCH": one.arch,
        "SUITE": one.suite,
        "EXTRA_PKGS": ",".join(packages(one.extra_pkgs, one.arch)),
        "COMPONENTS": ",".join(one.components) or None,
        "CUSTOMIZE_DIR": customize_dir,
        "GENERATE_CACHE": "yes" if one.generate_cache else "no",
        # Left out, the provider's own 14 days would hold.
        "CLEAN_CACHE": str(one.clean_cache or ""),
        "PARTITION_STYLE": one.partition_style,
        "PARTITION_ALIGNMENT": one.partition_alignment,
    }
    return "".join(
        f"{name}={quoted(str(value))}\n" for name, value in assignments.items() if value is not None
    )


def quoted(value: str) -> str:
    """Return a string as a shell takes it for one word, whatever is in it.

    Raises:
        GanetiOsError: it has a control character, such as a newline.
    """
    if _CONTROL.search(value):
        raise GanetiOsError(f"cannot write {value!r} in one line: it has control characters")
    inner = value.replace("'", "'\\''")
    return f"'{inner}'"


def packages(extra: tuple[str, ...], arch: str | None) -> tuple[str, ...]:
    """Return the packages for an architecture; None is the host's. Only the default ones follow it."""
    arch = arch or architecture_of(os.uname().machine)
    if extra != DEFAULT_DEBOOTSTRAP_EXTRA_PKGS or arch == "amd64":
        return extra
    kernel = f"linux-image-{_KERNELS.get(arch, arch)}"
    named = [kernel if name == "linux-image-amd64" else name for name in extra]
    return tuple(name for name in named if name != "grub-pc" or arch in _OF_PC)


def architecture_of(machine: str) -> str:
    """Return Debian's name of an architecture that the kernel calls `machine`."""
    return _ARCHITECTURES.get(machine, machine)


def configuration_faults(configuration: DebootstrapConfiguration) -> Iterator[tuple[str, str]]:
    """Yield each field that the provider could not use, and why."""
    for name, (allowed, what) in _ALLOWED.items():
        value = getattr(configuration, name)
        for one in (value,) if isinstance(value, str) else value or ():
            if not allowed.fullmatch(one):
                yield name, f"found {one!r}, must be {what}"
    if configuration.proxy is not None and _CONTROL.search(configuration.proxy):
        yield "proxy", "must be without control characters, such as newlines"
    if configuration.partition_style not in (None, *PARTITION_STYLES):
        yield "partition_style", f"must be {' or '.join(PARTITION_STYLES)}: create refuses others"
    for name in ("clean_cache", "partition_alignment"):
        value = getattr(configuration, name)
        if value is not None and value < 1:
            yield name, "must be at least 1"
    yield from (("hooks", text) for text in _hook_faults(configuration.hooks))


def _hook_faults(hooks: Mapping[str, str | Path] | Path | None) -> Iterator[str]:
    if isinstance(hooks, Path):
        if not _FOLDER.fullmatch(str(hooks)):
            yield f"found {str(hooks)!r}, must be an absolute path without spaces, *, ? and brackets"
        return
    for name, script in (hooks or {}).items():
        yield from hook_name_faults(name)
        if isinstance(script, str) and not script.startswith("#!"):
            yield f"{name}: must be a script that begins with #!, or the absolute path of one"


def hook_name_faults(name: str) -> Iterator[str]:
    """Yield why run-parts would skip a hook, in silence."""
    if not _HOOK_NAME.fullmatch(name):
        yield f"{name!r} would be skipped by run-parts: a name has letters, digits, _ and - only"

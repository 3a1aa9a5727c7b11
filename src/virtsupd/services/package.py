"""Where programs are: a field of type package is a prefix in whose directories they are sought."""

import os
import sys
from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import Final

from virtsupd.config.model import KindTable
from virtsupd.config.values import AbsolutePath, Flag

SYSTEM_PATH: Final = (
    "/usr/local/sbin",
    "/usr/local/bin",
    "/usr/sbin",
    "/usr/bin",
    "/sbin",
    "/bin",
    "/run/current-system/profile/sbin",
    "/run/current-system/profile/bin",
)
"""Where Debian, Alpine, Fedora and Guix keep programs."""

_PROGRAM_DIRS: Final = ("sbin", "bin", "libexec")


class PackageTable(KindTable):
    """The table of a daemon that libvirt brings."""

    libvirt: AbsolutePath | None = None
    """Prefix of the libvirt whose daemon is run, sought in its sbin, bin and libexec; default: PATH."""
    activation: Flag = False
    """Whether virtsupd itself listens on the daemon's sockets and hands them over: who connects while
    the daemon is restarted waits for it."""


def search_path(prefixes: Iterable[str | None]) -> str:
    """Return a PATH that has the programs of the prefixes first; None stands for no prefix."""
    given = [
        f"{_clean(prefix)}/{part}" for prefix in prefixes if prefix for part in ("sbin", "bin")
    ]
    return ":".join(dict.fromkeys((*given, *SYSTEM_PATH)))


def program(name: str, prefix: str | None) -> str:
    """Return how to call a program: by name, or by its path in the sbin, bin or libexec of a prefix.

    A prefix that has no such program gives the path where it should be, so that the start fails
    with that path instead of taking another build of the program from PATH.
    """
    if prefix is None:
        return name
    paths = [f"{_clean(prefix)}/{part}/{name}" for part in _PROGRAM_DIRS]
    return next((path for path in paths if os.access(path, os.X_OK)), paths[0])


def module(name: str, *arguments: str) -> list[str]:
    """Return the command that runs one of virtsupd's own modules, by its name below `virtsupd`."""
    return [sys.executable, "-I", "-m", f"virtsupd.{name}", *arguments]


def _clean(prefix: str) -> str:
    return str(PurePosixPath(prefix)).rstrip("/")

"""Directories in which Ganeti may keep disks of instances as files, and those in which it refuses to."""

import os
from pathlib import PurePosixPath
from typing import Final

_TOP: Final = ("/boot", "/dev", "/etc", "/home", "/proc", "/root", "/sys")
_PREFIXES: Final = ("/", "/usr", "/usr/local")
_PARTS: Final = ("bin", "lib", "lib32", "lib64", "sbin")
FORBIDDEN: Final = (
    *_TOP,
    *(f"{prefix.rstrip('/')}/{part}" for prefix in _PREFIXES for part in _PARTS),
)
"""Those that Ganeti refuses, with all below them."""


def storage_path_fault(path: str) -> str | None:
    """Return why Ganeti would not take a directory for disks; None if it would."""
    if not path.startswith("/"):
        return f"found {path!r}, must be an absolute path"
    if not path.isprintable() or path != path.strip():
        return f"found {path!r}, must be printable, without blanks at its end"
    plain = PurePosixPath(f"/{os.path.normpath(path).lstrip('/')}")
    for forbidden in FORBIDDEN:
        if plain.is_relative_to(forbidden):
            return f"{path} is in {forbidden}, where Ganeti keeps no disks; name another directory"
    return None

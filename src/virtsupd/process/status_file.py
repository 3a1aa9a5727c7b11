"""How a process ended, in a file: for a virtsupd that was away when it did.

The file is one line, written by the process's keeper (`status_keeper`) in one write: "exited 003",
"killed 015", "dumped 011" (a signal, with a core dump). Anything more or less is no status.
"""

import contextlib
import os
import re
from collections.abc import Collection, Mapping
from pathlib import Path

from virtsupd.core.exits import ExitStatus

_LINE = re.compile(rb"(exited|killed|dumped) (\d{3})\n")
_LINE_BYTES = 11


def open_status(path: Path) -> int:
    """Make the file of one start, in place of that of an earlier one, and open it for writing.

    It is a file of its own: a keeper of the earlier start writes to the one that is gone. It has its
    full size at once, so that a full disk cannot keep a status out, and mode 0600. The caller closes
    the descriptor, which no program inherits.

    Raises:
        OSError: there is no file now, neither an earlier one (as far as it could be removed).
    """
    path.unlink(missing_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(path, flags, 0o600)
    try:
        os.pwrite(descriptor, b" " * _LINE_BYTES, 0)
    except OSError:
        os.close(descriptor)
        path.unlink()
        raise
    return descriptor


def take_statuses(directory: Path, heirs: Mapping[str, str], kept: Collection[str]) -> None:
    """Keep the files of these names alone, those of `heirs` under the names that they have now."""
    with contextlib.suppress(OSError):
        for path in list(directory.iterdir()):
            heir = directory / heirs.get(path.name, path.name)
            with contextlib.suppress(OSError):
                if heir.name not in kept or (heir != path and heir.exists()):
                    path.unlink()
                elif heir != path:
                    path.rename(heir)


def read_status(path: Path) -> ExitStatus | None:
    """Return how the process ended; None as long as that was not written down.

    Nothing was written for one that still runs, nor when its keeper was killed; nor is there
    anything if the file is missing or cannot be read.
    """
    try:
        with path.open("rb") as file:
            found = _LINE.fullmatch(file.read(_LINE_BYTES + 1))
    except OSError:
        return None
    if found is None:
        return None
    way, number = found[1], int(found[2])
    if way == b"exited":
        return ExitStatus(code=number)
    return ExitStatus(signal=number, dumped_core=way == b"dumped")

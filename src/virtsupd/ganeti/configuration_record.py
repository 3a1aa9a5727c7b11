"""Which files are ours: a record that is on the disk before any of them is made, changed or removed."""

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from virtsupd.core.frozen import frozen
from virtsupd.errors import VirtsupdError
from virtsupd.process.files import make_directory, open_own, write_atomically

_MODE: Final = 0o600
_VERSION: Final = 1


class RecordError(VirtsupdError):
    """The record cannot be understood, so that nothing can be known to be ours; nothing was done."""

    code = "bad-record"


@frozen
class Owned:
    """What we made at a path, or were about to."""

    made: tuple[str, ...]
    """Fingerprints: one of these is ours, anything else somebody else's."""
    saved: str | None = None
    """Fingerprint of the file that was there before, and is kept beside it."""


class RecordFile:
    """The record of one tree of files, whose lock is held."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> dict[str, Owned]:
        """Return what is ours by path; nothing, if there is no record.

        Raises:
            RecordError: it is damaged, or of another version.
            OSError: it cannot be read.
        """
        try:
            return _understood(json.loads(self._path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return {}
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise RecordError(
                f"cannot tell which files are ours: {self._path} is damaged ({error!r}); "
                "without it, all that are there count as somebody else's"
            ) from error

    def save(self, owned: Mapping[str, Owned]) -> None:
        """Replace the record, for good; one of nothing is removed.

        Raises:
            OSError: it is as it was.
        """
        if not owned:
            self._path.unlink(missing_ok=True)
            return
        paths = {path: [list(one.made), one.saved] for path, one in owned.items()}
        said = json.dumps({"version": _VERSION, "paths": paths}, indent=1)
        write_atomically(self._path, said.encode(), mode=_MODE, is_lasting=True)


@contextmanager
def locked_record(path: Path) -> Iterator[RecordFile]:
    """Give the record once nobody else has it; its directory is made if it is missing.

    Raises:
        UnsafeDirectoryError: somebody else could put a record there.
        OSError: the directory cannot be made or locked.
    """
    make_directory(path.parent, mode=0o700)
    directory = open_own(path.parent)
    try:
        fcntl.flock(directory, fcntl.LOCK_EX)
        yield RecordFile(path)
    finally:
        os.close(directory)


def _understood(said: Any) -> dict[str, Owned]:  # noqa: ANN401 - whatever JSON holds
    if said["version"] != _VERSION:
        raise ValueError(f"version {said['version']}")
    return {
        str(path): Owned(tuple(map(str, made)), saved)
        for path, (made, saved) in said["paths"].items()
    }

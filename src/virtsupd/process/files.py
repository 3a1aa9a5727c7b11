"""Files written by root: whole or not at all, with the right mode from the first instant."""

import contextlib
import io
import os
import secrets
from pathlib import Path


def write_atomically(path: Path, content: bytes, *, mode: int, is_lasting: bool = False) -> None:
    """Replace `path` by a file with this content and mode, owned by us.

    A link in its place is replaced, not followed. Readers see the old file or the new one; with
    `is_lasting` that holds for a reader after a loss of power too (and the call takes longer).

    Raises:
        OSError: nothing changed; no temporary file is left behind.
    """
    # Strings, not Paths: every start of a service writes a file.
    temporary = f"{path.parent}/.{path.name}.{secrets.token_hex(4)}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(temporary, flags, 0o600)
    try:
        with io.FileIO(descriptor, "wb") as file:
            os.fchmod(descriptor, mode)
            _write_all(file, content)
            if is_lasting:
                os.fsync(descriptor)
        os.replace(temporary, path)  # noqa: PTH105 - see above
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)  # noqa: PTH108 - see above
        raise


def _write_all(file: io.FileIO, content: bytes) -> None:
    """Write everything: on a disk that is nearly full, one write takes what fits and says no more."""
    rest = memoryview(content)
    while rest:
        rest = rest[file.write(rest) :]


def make_directory(path: Path, *, mode: int) -> None:
    """Make a directory, with its parents (0755), if it is not there; an existing one stays as it is.

    Raises:
        OSError: it cannot be made, or something else stands in its place.
    """
    if path.is_dir():
        return
    if not path.parent.is_dir():
        make_directory(path.parent, mode=0o755)
    path.mkdir(mode=mode)
    path.chmod(mode)

"""A program of ours in the place of a package's file, and the package's file back in it.

The package's file is kept beside it as PATH.distrib. Where dpkg installed it, dpkg is told first, so
that an upgrade writes to PATH.distrib. The file itself is then put there by a link, not by dpkg-divert,
and ours replaces it: so there is a program at PATH at each instant, and whoever is killed between two
steps has it done by running the same again. A link in the place of PATH is moved as a link: what it
leads to stays as it is.
"""

import os
import shutil
from pathlib import Path
from typing import Final

from virtsupd.errors import VirtsupdError
from virtsupd.ganeti.rendering import MARK
from virtsupd.process.files import write_atomically
from virtsupd.process.question import QuestionError, answer_of, asked

_MODE: Final = 0o755
_SECONDS: Final = 60.0
"""For dpkg, which may wait for its turn at its data base."""
_KNOWN_BY: Final = b"ganeti-noded"
"""What every daemon-util of Ganeti's speaks of."""
_READ_BYTES: Final = 100_000


class ReplacingError(VirtsupdError):
    """Nothing was changed, since what is there is not what may be replaced; the message says how to go on."""

    code = "not-replaceable"


class Packages:
    """dpkg's data base; where there is no dpkg, nothing belongs to a package."""

    def __init__(self, admin_directory: str = "/var/lib/dpkg") -> None:
        self._options = ("--admindir", admin_directory)

    def have(self, path: Path) -> bool:
        """Return whether a package installed the file at `path`."""
        if shutil.which("dpkg-divert") is None:
            return False
        command = ("dpkg-query", *self._options, "--search", str(path))
        owners = (answer_of(command, timeout_seconds=_SECONDS) or "").splitlines()
        return any("diversion" not in line.partition(":")[0] for line in owners)

    def divert(self, path: Path, aside: Path) -> None:
        """Have the packages write to `aside` from now on; nothing is moved. It may be so already.

        Raises:
            ReplacingError: it is diverted elsewhere, or dpkg refuses.
        """
        self._change("--add", path, aside)

    def end_diversion(self, path: Path, aside: Path) -> None:
        """Have the packages write to `path` again; nothing is moved. Another diversion is left alone.

        Raises:
            ReplacingError: dpkg refuses.
        """
        if shutil.which("dpkg-divert") is None:
            return
        command = ("dpkg-divert", *self._options, "--truename", str(path))
        if (answer_of(command, timeout_seconds=_SECONDS) or "").strip() == str(aside):
            self._change("--remove", path, aside)

    def _change(self, change: str, path: Path, aside: Path) -> None:
        options = ("--local", "--no-rename", "--divert", str(aside), change, str(path))
        try:
            asked(("dpkg-divert", *self._options, *options), timeout_seconds=_SECONDS)
        except QuestionError as error:
            raise ReplacingError(str(error)) from error


def install(path: Path, text: str, packages: Packages | None = None) -> None:
    """Put a program in the place of Ganeti's daemon-util, executable and owned by us.

    An earlier one of ours is replaced. What failed half-way is completed by another call.

    Raises:
        ReplacingError: what is there is neither ours nor Ganeti's, or it cannot be diverted.
        OSError: it cannot be read or written.
    """
    packages = packages or Packages()
    aside = _aside(path)
    is_original = _is_original(path, aside)
    if packages.have(path):
        packages.divert(path, aside)
    if is_original and not os.path.lexists(aside):
        os.link(path, aside, follow_symlinks=False)
    write_atomically(path, text.encode(), mode=_MODE, is_lasting=True)


def remove(path: Path, packages: Packages | None = None) -> None:
    """Put the package's file back in its place, as it was; nothing happens if it is there.

    What failed half-way is completed by another call. If the package has gone meanwhile, nothing is
    left in its place.

    Raises:
        ReplacingError: what is there is not ours, and the package's file is still kept aside.
        OSError: it cannot be moved.
    """
    packages = packages or Packages()
    aside = _aside(path)
    if _is_original(path, aside, is_removed=True):
        if _are_same(path, aside):
            aside.unlink()
    elif os.path.lexists(aside):
        aside.replace(path)
    else:
        path.unlink(missing_ok=True)
    packages.end_diversion(path, aside)


def is_installed(path: Path, text: str) -> bool:
    """Return whether just this program stands there: of this version, socket and options."""
    return _is_ours(path) and path.read_bytes() == text.encode() and os.access(path, os.X_OK)


def _aside(path: Path) -> Path:
    return path.with_name(f"{path.name}.distrib")


def _is_ours(path: Path) -> bool:
    """Tell whether a virtsupd wrote it, of whatever version."""
    if path.is_symlink() or not path.is_file():
        return False
    return _begin_of(path).partition(b"\n")[2].startswith(MARK.encode())


def _is_original(path: Path, aside: Path, *, is_removed: bool = False) -> bool:
    """Tell whether the package's file is in its place; if not, ours is, or none between two steps.

    Raises:
        ReplacingError: it is something else.
    """
    if _is_ours(path):
        return False
    if not os.path.lexists(path):
        if os.path.lexists(aside) or is_removed:
            return False
        raise ReplacingError(f"there is no {path} to replace: is Ganeti installed?")
    if os.path.lexists(aside) and not _are_same(path, aside):
        raise ReplacingError(
            f"{path} is not virtsupd's, and {aside} is there, too: keep the one that is Ganeti's as {path},"
            f" remove the other, and try again"
        )
    if not is_removed and not (path.is_file() and _KNOWN_BY in _begin_of(path)):
        raise ReplacingError(f"{path} is neither virtsupd's nor Ganeti's daemon-util")
    return True


def _are_same(path: Path, aside: Path) -> bool:
    return os.path.lexists(aside) and os.path.samestat(path.lstat(), aside.lstat())


def _begin_of(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_READ_BYTES)

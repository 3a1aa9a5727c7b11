"""A tree of files that is made as it is wanted, and taken away again, among the files of others.

What is ours is in the record before it is made. So a run that is killed, or loses power, at any point is
made good by the next one, whatever that wants.
"""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, Literal

from virtsupd.core.frozen import frozen
from virtsupd.errors import VirtsupdError
from virtsupd.ganeti.conffiles import is_as_packaged
from virtsupd.ganeti.configuration_record import Owned, RecordFile
from virtsupd.ganeti.things import (
    DIRECTORY,
    Thing,
    fingerprint_at,
    has_rights,
    put,
    remove,
    rename,
    sweep,
)
from virtsupd.process.files import demand_own

_SAVED: Final = ".virtsupd-saved"
_LIST: Final = "/variants.list"
_NOTHING: Final = Owned(())

How = Literal["keep", "make", "replace", "set aside"]


class InTheWayError(VirtsupdError):
    """Files of somebody else are where ours are to be; everything is as it was."""

    code = "in-the-way"


class _ForeignError(Exception):
    """One file of somebody else."""


@frozen
class _Step:
    """What is to be done at a path."""

    path: Path
    thing: Thing
    how: How
    found: str | None
    """Fingerprint of what is there before."""


@frozen
class _Taken:
    """What became of a path that was to be taken away."""

    says: str
    is_left: bool = False
    """Whether it is still there, since somebody has changed it."""


class OwnedTree:
    """The files of one record, whose lock is held."""

    def __init__(self, record: RecordFile, dpkg_status: Path) -> None:
        self._record = record
        self._dpkg_status = dpkg_status
        self._owned = record.load()

    def make(self, wanted: Mapping[str, Thing]) -> Iterator[str]:
        """Have there what is wanted, in this order, and take away the rest; yield what is done, in words.

        A package's configuration file that nobody has changed is kept aside. A file of ours that
        somebody has changed is not taken away.

        Raises:
            InTheWayError: anything else is where ours is to be.
            UnsafeDirectoryError: somebody else could put files into one of the directories.
            OSError: not all could be done; another call goes on.
        """
        self._sweep()
        steps = self.plan(wanted)
        stale = self._owned.keys() - wanted.keys()
        self._own(steps)
        for step in steps:
            _carry_out(step)
            yield f"{'made' if step.how == 'make' else 'changed'} {step.path}"
        for path in _from_the_inside(stale):
            yield from (taken.says for taken in self._take_away(path))
        for path in self._owned.keys() & wanted.keys():
            self._owned[path] = Owned((wanted[path].fingerprint,), self._owned[path].saved)
        self._record.save(self._owned)

    def take_all_away(self) -> Iterator[str]:
        """Take away all that is ours, and put back what was kept aside; yield what had to be left.

        Raises:
            UnsafeDirectoryError: somebody else could put files into one of the directories.
            OSError: not all could be done; another call goes on.
        """
        self._sweep()
        for path in _from_the_inside(self._owned):
            yield from (taken.says for taken in self._take_away(path) if taken.is_left)
        self._record.save(self._owned)

    def plan(self, wanted: Mapping[str, Thing]) -> list[_Step]:
        """Return what would have to be done; nothing is.

        Raises:
            InTheWayError: files of somebody else are in the way; it names them all.
            UnsafeDirectoryError: somebody else could put files into one of the directories.
            OSError: something could not be looked at.
        """
        steps, foreign = [], []
        for path, thing in wanted.items():
            try:
                steps.append(self._step(Path(path), thing))
            except _ForeignError as error:
                foreign.append(str(error))
        if foreign:
            raise InTheWayError("; ".join(foreign))
        return [step for step in steps if step.how != "keep"]

    def _step(self, path: Path, thing: Thing) -> _Step:
        found = fingerprint_at(path)
        return _Step(path, thing, self._how(path, thing, found), found)

    def _how(self, path: Path, thing: Thing, found: str | None) -> How:
        owned = self._owned.get(str(path), _NOTHING)
        if found is None:
            return "make"
        if DIRECTORY in (found, thing.fingerprint):
            return _as_directory(path, found, thing)
        if found == thing.fingerprint and has_rights(path, thing):
            return "keep"
        if found in owned.made:
            return "replace"
        if found == owned.saved or self._is_packaged(path, found, owned):
            return "set aside"
        raise _ForeignError(_in_the_way(path, owned, thing, found))

    def _is_packaged(self, path: Path, found: str, owned: Owned) -> bool:
        """Whether a file is as its package brought it, and can be kept aside."""
        is_free = owned.saved is not None or not os.path.lexists(_saved(path))
        is_file = found.startswith("sha256:")
        return is_file and is_free and is_as_packaged(path, self._dpkg_status)

    def _own(self, steps: list[_Step]) -> None:
        """Record what is about to be made."""
        for step in steps:
            before = self._owned.get(str(step.path), _NOTHING)
            made = tuple(dict.fromkeys((*before.made, step.thing.fingerprint)))
            saved = step.found if step.how == "set aside" else before.saved
            self._owned[str(step.path)] = Owned(made, saved)
        if steps:
            self._record.save(self._owned)

    def _sweep(self) -> None:
        for path in self._owned:
            sweep(Path(path))

    def _take_away(self, name: str) -> Iterator[_Taken]:
        owned, path = self._owned[name], Path(name)
        found, saved = fingerprint_at(path), _saved(path)
        has_saved = owned.saved is not None and os.path.lexists(saved)
        is_ours = found is None or found in owned.made
        if found is not None and found == owned.saved:
            # We were killed before it was replaced, or after it was back.
            saved.unlink(missing_ok=True)
        elif has_saved and is_ours:
            rename(saved, path)
            yield _Taken(f"put back {path}")
        elif not is_ours:
            hint = f", and what was there before as {saved}" if has_saved else ""
            yield _Taken(f"left {path}, which somebody has changed{hint}", is_left=True)
        elif found is not None and remove(path):
            yield _Taken(f"removed {path}")
        del self._owned[name]


def _carry_out(step: _Step) -> None:
    if step.how == "set aside":
        saved = _saved(step.path)
        saved.unlink(missing_ok=True)
        saved.hardlink_to(step.path)
    put(step.path, step.thing, is_new=step.how == "make")


def _as_directory(path: Path, found: str, thing: Thing) -> How:
    if found != thing.fingerprint:
        what = "a directory" if found == DIRECTORY else "no directory"
        raise _ForeignError(f"{path} is {what}: move it away")
    demand_own(path)
    return "keep"


def _in_the_way(path: Path, owned: Owned, thing: Thing, found: str) -> str:
    if found == thing.fingerprint:
        return f"{path} belongs to somebody else, or has another mode than {thing.mode:04o}"
    if owned.made:
        return f"{path} has been changed since virtsupd wrote it: move it away"
    return f"{path} is there, and neither virtsupd's nor as a package brought it: move it away"


def _saved(path: Path) -> Path:
    return path.with_name(f"{path.name}{_SAVED}")


def _from_the_inside(paths: "Mapping[str, Owned] | set[str]") -> list[str]:
    """Return paths in the order of their removal: none is listed as a variant without its file."""
    return sorted(paths, key=lambda path: (path.endswith(_LIST), path), reverse=True)

"""Control groups (version 2): one directory per service, so that nothing of it is ever lost sight of.

All of them lie in one directory whose name no other virtsupd uses, below the cgroup that virtsupd
was started in. No controller is switched on: the groups serve to find and to end processes.
"""

import errno
import hashlib
import os
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from itertools import count, islice
from pathlib import Path
from typing import Self

from virtsupd.core.names import Name, file_name
from virtsupd.errors import VirtsupdError

_MAX_NAME_CHARACTERS = 200
_SUFFIX = ".service"
"""Keeps names of services apart from the kernel's own files ("cgroup.procs")."""


class OwnCgroupError(VirtsupdError):
    """A cgroup was to be killed that virtsupd itself is in. Nothing was signalled."""

    code = "own-cgroup"


class Cgroup:
    """One service's control group, whether or not its directory exists."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def make(self) -> None:
        """Make the directory if it is missing, and thaw it: a freeze outlives those it froze.

        Raises:
            OSError: the kernel or the permissions refuse.
        """
        try:
            self.path.mkdir(parents=True)
        except FileExistsError:
            self.thaw()

    def thaw(self) -> None:
        """Let those in it that somebody froze (cgroup.freeze) run on; groups below stay as they are.

        Raises:
            OSError: the kernel or the permissions refuse.
        """
        if _read(f"{self.path}/cgroup.freeze").strip() == "1":
            with suppress(FileNotFoundError):
                _write(self.path / "cgroup.freeze", "0")

    def open(self) -> int:
        """Return a descriptor of the directory, for a process to be born in; the caller closes it.

        Raises:
            OSError: it does not exist.
        """
        return os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def pids(self) -> tuple[int, ...]:
        """Return all processes in it and in groups its processes made below; () if it is missing.

        Sorted. A process of another pid namespace is listed as 0 and cannot be signalled one by one.
        """
        found: set[int] = set()
        for directory in self._directories():
            found.update(int(pid) for pid in _read(f"{directory}/cgroup.procs").split())
        return tuple(sorted(found))

    def kill(self) -> None:
        """Send KILL to everything in it and below, at one instant, frozen or not.

        Raises:
            OwnCgroupError: virtsupd is in there.
            OSError: the kernel refuses.
        """
        if self.contains(os.getpid()):
            raise OwnCgroupError(f"cannot kill cgroup {self.path}: virtsupd itself is in it")
        with suppress(FileNotFoundError):
            _write(self.path / "cgroup.kill", "1")

    def remove(self) -> bool:
        """Remove the directory and empty ones below; return whether it is gone.

        With a process in it, it stays.
        """
        if _removed(self.path):
            return True
        for directory in sorted(self._directories(), reverse=True):
            _removed(directory)
        return not self.path.exists()

    def contains(self, pid: int) -> bool:
        """Tell whether a process is in it or in a group below it."""
        place = place_of(pid)
        return place is not None and place.is_relative_to(self.path)

    def _directories(self) -> Iterator[Path]:
        for directory, _, _ in os.walk(self.path):
            yield Path(directory)


class CgroupTree:
    """The directory with all control groups of this virtsupd."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._highest: dict[str, int] | None = None
        """Of each name, the highest number a group was seen with; nobody else makes any here."""

    @classmethod
    def find(
        cls, prefix: str | None, run_dir: Path, pid: int | None = None
    ) -> tuple[Self | None, str]:
        """Return the tree below the cgroup of `pid` (our own), made if missing, or None and why not.

        `prefix` is its name; None makes one of the run directory and the pid namespace, so that two
        daemons meet only where their records would meet too, and a successor finds the same.
        """
        base = place_of(os.getpid() if pid is None else pid)
        if base is None:
            return None, "no cgroup v2 is mounted here"
        try:
            name = _default_prefix(run_dir) if prefix is None else prefix.strip("/")
            path = base / name
            if not name or ".." in path.parts:
                return None, f"{prefix!r} does not name a cgroup below {base}"
            path.mkdir(parents=True, exist_ok=True)
            _write(path / "cgroup.freeze", "0")
        except OSError as error:
            return None, f"cannot write to cgroup {base}: {error.strerror}"
        if not (path / "cgroup.kill").exists():
            return None, "this kernel cannot kill a cgroup (Linux 5.14 can)"
        return cls(path), ""

    def service(self, name: Name) -> Cgroup:
        """Return a service's control group; it need not exist."""
        component = file_name(name)
        if len(component) > _MAX_NAME_CHARACTERS:
            digest = hashlib.sha256(component.encode()).hexdigest()[:16]
            component = f"{component[: _MAX_NAME_CHARACTERS - 17]}%{digest}"
        return Cgroup(self.path / f"{component}{_SUFFIX}")

    def groups(self, name: Name) -> tuple[Cgroup, ...]:
        """Return the groups of a service that exist: its own, and those `anew` made beside it."""
        highest = self._numbers().get(self.service(name).path.name, 0)
        candidates = islice(self._candidates(name), highest + 1)
        return tuple(group for group in candidates if group.path.is_dir())

    def anew(self, name: Name) -> Cgroup:
        """Make a group for a start in which no process ever was.

        A group that was once killed as a whole (cgroup.kill) also kills whoever is born in it later
        (seen on Linux 6.18: CLONE_INTO_CGROUP compares the kill count with the parent's group), and
        nobody can tell whether it was. So an old one is removed first. For up to a tick after its
        last process it cannot be; then another one is made beside it, for the caller to remove.

        Raises:
            OSError: the kernel or the permissions refuse.
        """
        highest, first = self._numbers(), self.service(name).path.name
        for number, group in enumerate(self._candidates(name)):
            group.remove()
            with suppress(FileExistsError):
                group.path.mkdir(parents=True)
                highest[first] = max(number, highest.get(first, 0))
                return group
        raise AssertionError(name)

    def _candidates(self, name: Name) -> Iterator[Cgroup]:
        first = self.service(name)
        yield first
        for number in count(1):
            yield Cgroup(first.path.with_name(f"{first.path.name}~{number}"))

    def _numbers(self) -> dict[str, int]:
        """Return the highest number of each name: the groups are listed once, every start asks."""
        if self._highest is None:
            self._highest = {}
            for group in self.services():
                first, _, number = group.path.name.rpartition("~")
                if first.endswith(_SUFFIX) and number.isdecimal():
                    self._highest[first] = max(int(number), self._highest.get(first, 0))
        return self._highest

    def services(self) -> tuple[Cgroup, ...]:
        """Return every control group in the tree, of whatever service, sorted by path."""
        try:
            found = [entry for entry in self.path.iterdir() if entry.is_dir()]
        except FileNotFoundError:
            return ()
        return tuple(Cgroup(path) for path in sorted(found))

    def remove(self) -> bool:
        """Remove every empty group and then the tree; return whether it is gone. Kills nothing."""
        return Cgroup(self.path).remove()


def place_of(pid: int) -> Path | None:
    """Return the directory of the cgroup (version 2) a process is in; None if it cannot be told."""
    mount = _mount()
    return None if mount is None else place_in(_read(f"/proc/{pid}/cgroup"), *mount)


def place_in(memberships: str, root: Path, mount_point: Path) -> Path | None:
    """Return the directory for the text of /proc/PID/cgroup, if it lies in this mount."""
    for line in memberships.splitlines():
        if line.startswith("0::"):
            place = Path(line.removeprefix("0::").removesuffix(" (deleted)"))
            if not place.is_relative_to(root) or ".." in place.parts:
                return None
            return mount_point / place.relative_to(root)
    return None


@cache
def _mount() -> tuple[Path, Path] | None:
    return mount_in(_read("/proc/self/mountinfo"))


def mount_in(mountinfo: str) -> tuple[Path, Path] | None:
    """Return which cgroup is the root of the cgroup2 mount, and where that is mounted."""
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        if after.startswith("cgroup2 "):
            root, mount_point = before.split()[3:5]
            return Path(_unescape(root)), Path(_unescape(mount_point))
    return None


def _unescape(text: str) -> str:
    """Undo the kernel's octal escapes of blanks and backslashes in mountinfo."""
    for octal in ("040", "011", "012", "134"):
        text = text.replace(f"\\{octal}", chr(int(octal, 8)))
    return text


def _default_prefix(run_dir: Path) -> str:
    status = run_dir.stat()
    namespace = Path("/proc/self/ns/pid").readlink()
    identity = f"{run_dir.resolve()}:{status.st_dev}:{status.st_ino}:{namespace}"
    return f"virtsupd-{hashlib.sha256(identity.encode()).hexdigest()[:12]}"


def _removed(directory: Path) -> bool:
    """Remove an empty directory; return whether it is gone."""
    try:
        directory.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def _read(path: str) -> str:
    """Return a kernel file's text, "" when what it describes is gone.

    Unbuffered, because a stop asks this of every service at once.
    """
    parts = []
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            while part := os.read(file, 65536):
                parts.append(part)
        finally:
            os.close(file)
    except OSError as error:
        if error.errno not in {errno.ENOENT, errno.ENODEV, errno.ESRCH, errno.ENOTDIR}:
            raise
        return ""
    return os.fsdecode(b"".join(parts))


def _write(path: Path, text: str) -> None:
    # Not a buffered file: the kernel's answer must come from the write, not from a close.
    file = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(file, text.encode())
    finally:
        os.close(file)

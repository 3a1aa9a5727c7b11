"""Places from which a program made in memory can be executed."""

import errno
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

PROGRAM: Final = 3
"""The descriptor at which a process finds the open file of the program that it executes."""
_MFD_CLOEXEC, _MFD_EXEC = 0x1, 0x10
_WRITABLE: Final = ("/tmp", "/var/tmp", "/dev/shm")  # noqa: S108 - a private directory is made there


@dataclass(frozen=True, slots=True)
class Place:
    """Where a program is: at a path, and as an open file if that path is of an open file."""

    path: str
    descriptor: int | None = None


@contextmanager
def placed(programs: Mapping[str, bytes]) -> Iterator[Mapping[str, Place]]:
    """Yield where the programs are: in memory if such a file can be executed, else in a directory.

    Nothing is left of them at the end.

    Raises:
        OSError: there is no place for them.
    """
    descriptors: dict[str, int] = {}
    try:
        # All are written before the first process is made: what it inherits open for writing, the
        # kernel would not execute.
        for name, content in programs.items():
            descriptors[name] = _in_memory(name)
            os.write(descriptors[name], content)
        is_usable = all(Path(f"/proc/self/fd/{one}").exists() for one in descriptors.values())
    except OSError:  # vm.memfd_noexec forbids it
        is_usable = False
    try:
        if is_usable:
            path = f"/proc/self/fd/{PROGRAM}"
            yield {name: Place(path, descriptor) for name, descriptor in descriptors.items()}
        else:
            with _in_directory(programs) as places:
                yield places
    finally:
        for descriptor in descriptors.values():
            os.close(descriptor)


def _in_memory(name: str) -> int:
    try:
        return os.memfd_create(name, _MFD_CLOEXEC | _MFD_EXEC)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        return os.memfd_create(name, _MFD_CLOEXEC)  # before Linux 6.3, which has no such flag


@contextmanager
def _in_directory(programs: Mapping[str, bytes]) -> Iterator[Mapping[str, Place]]:
    """Yield the programs as files that nobody else can touch; remove them at the end."""
    directory = _private_directory()
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        for name, content in programs.items():
            descriptor = os.open(name, flags, 0o700, dir_fd=handle)
            try:
                os.write(descriptor, content)
            finally:
                os.close(descriptor)
        yield {name: Place(f"{directory}/{name}") for name in programs}
    finally:
        for name in os.listdir(handle):  # noqa: PTH208 - of a descriptor
            os.unlink(name, dir_fd=handle)
        os.close(handle)
        Path(directory).rmdir()


def _private_directory() -> str:
    """Make a directory from which files can be executed.

    Raises:
        PermissionError: there is no place for one.
    """
    for place in _WRITABLE:
        try:
            if not os.statvfs(place).f_flag & os.ST_NOEXEC:
                return tempfile.mkdtemp(prefix="virtsupd-proof-", dir=place)
        except OSError:  # not there, read-only, full: perhaps the next
            continue
    raise PermissionError(
        errno.EACCES,
        f"no place for a program: /proc is not mounted, and nothing can be executed from "
        f"{', '.join(_WRITABLE)}",
    )

"""What can be at a path: a file, a link or a directory, told apart by its fingerprint, and put there at once."""

import errno
import hashlib
import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import Final

from virtsupd.core.frozen import frozen
from virtsupd.process.files import opened_own

DIRECTORY: Final = "directory"
"""The fingerprint of every directory."""
_DIRECTORY_MODE: Final = 0o755


@frozen
class Thing:
    """What is to be at a path."""

    fingerprint: str
    content: bytes = b""
    mode: int = 0
    """Of a file."""
    target: str | None = None
    """Of a link."""


def file_thing(content: bytes, *, mode: int) -> Thing:
    """Return a file."""
    return Thing(f"sha256:{hashlib.sha256(content).hexdigest()}", content, mode)


def link_thing(target: str) -> Thing:
    """Return a symbolic link."""
    return Thing(f"link:{target}", target=target)


def directory_thing() -> Thing:
    """Return a directory of mode 0755."""
    return Thing(DIRECTORY)


def fingerprint_at(path: Path) -> str | None:
    """Return what is at a path, links not followed; None is nothing.

    Raises:
        OSError: it cannot be read.
    """
    try:
        kind = path.lstat().st_mode
        if stat.S_ISDIR(kind):
            return DIRECTORY
        if stat.S_ISLNK(kind):
            return f"link:{path.readlink()}"
        return f"sha256:{digest_at(path, 'sha256')}" if stat.S_ISREG(kind) else "special"
    except (FileNotFoundError, NotADirectoryError):
        return None


def digest_at(path: Path, algorithm: str) -> str:
    """Return the digest of a file in hexadecimal digits; a link is refused.

    Raises:
        OSError: it cannot be read.
    """
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    with open(os.open(path, flags), "rb") as file:  # noqa: PTH123 - a descriptor
        return hashlib.file_digest(file, algorithm).hexdigest()


def has_rights(path: Path, thing: Thing) -> bool:
    """Whether what is at a path belongs to us or root, and who may write to it is as it is to be."""
    found = path.lstat()
    is_own = found.st_uid in (0, os.geteuid())
    is_file = stat.S_ISREG(found.st_mode)
    return is_own and (not is_file or stat.S_IMODE(found.st_mode) == thing.mode)


def put(path: Path, thing: Thing, *, is_new: bool) -> None:
    """Put a thing at a path, whole and on the disk; a file or link there is replaced unless `is_new`.

    Raises:
        FileExistsError: something is there although it `is_new`.
        UnsafeDirectoryError: somebody else could put files into its directory.
        OSError: it is as it was; what a killed call leaves, `sweep` removes.
    """
    with opened_own(path.parent) as directory:
        if thing.fingerprint == DIRECTORY:
            os.mkdir(path.name, _DIRECTORY_MODE, dir_fd=directory)
            with opened_own(path) as made:
                os.fchmod(made, _DIRECTORY_MODE)  # whatever the umask is
        else:
            _put_file(path.name, thing, directory, is_new=is_new)
        os.fsync(directory)


def _put_file(name: str, thing: Thing, directory: int, *, is_new: bool) -> None:
    temporary = _temporary(name)
    try:
        _make(temporary, thing, directory)
        if is_new:  # fails where a rename would replace what has appeared there meanwhile
            os.link(
                temporary, name, src_dir_fd=directory, dst_dir_fd=directory, follow_symlinks=False
            )
        else:
            os.replace(temporary, name, src_dir_fd=directory, dst_dir_fd=directory)
    finally:
        _sweep(name, directory)


def _make(temporary: str, thing: Thing, directory: int) -> None:
    if thing.target is not None:
        os.symlink(thing.target, temporary, dir_fd=directory)
        return
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(temporary, flags, 0o600, dir_fd=directory)
    with open(descriptor, "wb") as file:  # noqa: PTH123 - a descriptor
        file.write(thing.content)
        file.flush()
        os.fchmod(descriptor, thing.mode)
        os.fsync(descriptor)


def remove(path: Path) -> bool:
    """Remove a file, a link or an empty directory, for good; return whether it is gone.

    Raises:
        UnsafeDirectoryError: somebody else could put files into its directory.
        OSError: it cannot be removed; of a directory that is not empty, nothing is said.
    """
    with opened_own(path.parent) as directory:
        try:
            if fingerprint_at(path) == DIRECTORY:
                os.rmdir(path.name, dir_fd=directory)
            else:
                os.unlink(path.name, dir_fd=directory)
        except OSError as error:
            if error.errno in (errno.ENOTEMPTY, errno.EBUSY):
                return False
            raise
        os.fsync(directory)
        return True


def rename(old: Path, new: Path) -> None:
    """Give a file another name in its directory, for good, in place of what has that name.

    Raises:
        UnsafeDirectoryError: somebody else could put files into the directory.
        OSError: it has its old name.
    """
    with opened_own(new.parent) as directory:
        os.replace(old.name, new.name, src_dir_fd=directory, dst_dir_fd=directory)
        os.fsync(directory)


def sweep(path: Path) -> None:
    """Remove what a `put` at this path left that was killed.

    Raises:
        UnsafeDirectoryError: somebody else could put files into its directory.
        OSError: it cannot be removed.
    """
    with suppress(FileNotFoundError), opened_own(path.parent) as directory:
        _sweep(path.name, directory)


def _sweep(name: str, directory: int) -> None:
    with suppress(FileNotFoundError):
        os.unlink(_temporary(name), dir_fd=directory)


def _temporary(name: str) -> str:
    """Return a name that neither run-parts nor a provider looks at, the same after a crash."""
    return f".{name}.virtsupd-new"

"""Files written by root: whole or not at all, with the right mode from the first instant."""

import contextlib
import errno
import io
import os
import shlex
import stat
from collections.abc import Iterator
from pathlib import Path

from virtsupd.errors import VirtsupdError


def write_atomically(path: Path, content: bytes, *, mode: int, is_lasting: bool = False) -> None:
    """Replace `path` by a file with this content and mode, owned by us.

    A link in its place is replaced, not followed. Readers see the old file or the new one; with
    `is_lasting` those after a loss of power see the new one (and the call takes longer).

    Raises:
        OSError: nothing changed (or the new file is there, and the disk refuses to say that it will
            stay); no temporary file is left behind.
    """
    # Strings, not Paths: every start of a service writes a file.
    temporary = f"{path.parent}/.{path.name}.{os.urandom(4).hex()}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(temporary, flags, 0o600)
    try:
        with io.FileIO(descriptor, "wb") as file:
            os.fchmod(descriptor, mode)
            _write_all(file, content)
            if is_lasting:
                os.fsync(descriptor)
        os.replace(temporary, path)  # noqa: PTH105 - see above
        if is_lasting:
            _sync_directory(path.parent)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)  # noqa: PTH108 - see above
        raise


BLOCK_BYTES = 4096
"""What one write changes as a whole, whenever the writer is killed: one page of the file."""


def write_block(path: str, content: bytes) -> None:
    """Make or overwrite a file of one block with `content` and spaces, mode 0600.

    For records that change often and that a reboot voids: a tenth of the time of
    `write_atomically`, and once the file is there, a full disk cannot keep it from changing. The
    directory has to be ours alone.

    Raises:
        OSError: a new file could not be made, and none is left; an old one has its old content.
        ValueError: the content is longer than a block.
    """
    if len(content) > BLOCK_BYTES:
        raise ValueError(f"{len(content)} bytes do not fit into a block of {BLOCK_BYTES}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(path, flags, 0o600)
    try:
        _put_block(descriptor, content, path)
        if os.fstat(descriptor).st_size > BLOCK_BYTES:
            os.ftruncate(descriptor, BLOCK_BYTES)
    except OSError:
        with contextlib.suppress(OSError):
            if os.fstat(descriptor).st_size < BLOCK_BYTES:
                os.unlink(path)  # noqa: PTH108 - a string, as above
        raise
    finally:
        os.close(descriptor)


def _put_block(descriptor: int, content: bytes, path: str) -> None:
    if os.pwrite(descriptor, content.ljust(BLOCK_BYTES), 0) != BLOCK_BYTES:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)  # a new file on a full disk


def _sync_directory(path: Path) -> None:
    """Force the names in a directory to the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_all(file: io.FileIO, content: bytes) -> None:
    """Write everything: on a disk that is nearly full, one write takes what fits and says no more."""
    rest = memoryview(content)
    while rest:
        rest = rest[file.write(rest) :]


class UnsafeDirectoryError(VirtsupdError):
    """Somebody else than root and ourselves could put files into a directory that root writes to."""

    code = "unsafe-directory"


def make_directory(path: Path, *, mode: int) -> bool:
    """Make a directory, with its parents (0755); return whether it was missing.

    An existing one stays as it is.

    Raises:
        OSError: it cannot be made, or something else stands in its place.
    """
    if path.is_dir():
        return False
    if not path.parent.is_dir():
        make_directory(path.parent, mode=0o755)
    try:
        path.mkdir(mode=mode)
    except FileExistsError:
        if path.is_dir():  # another process of ours has made it since we looked
            return False
        raise
    path.chmod(mode)
    return True


def try_file(directory: Path, content: bytes = b"", *, owner: int = -1, group: int = -1) -> None:
    """Check that we could make a file in a directory, and give it away; nothing is to be seen of it.

    A directory that is missing is tried as its parents, in which it would be made. -1 is as
    chown(2) takes it. On a file system without nameless files (O_TMPFILE) one with a name of chance
    is there for a moment.

    Raises:
        OSError: we could not; `filename` is the directory in which it was tried.
    """
    place = directory
    while not os.path.lexists(place):
        place = place.parent
    try:
        with io.FileIO(_open_nameless(place), "wb") as file:
            os.fchown(file.fileno(), owner, group)
            _write_all(file, content)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(place)) from error


def try_append(path: Path) -> None:
    """Check that we could open a file to append to it, or make it; nothing is to be seen of it.

    Links are followed. A device or a FIFO is not opened, since that alone may have effects.

    Raises:
        OSError: we could not.
    """
    try:
        kind = path.stat().st_mode
    except FileNotFoundError:
        parent = Path(os.path.realpath(path)).parent
        if not parent.is_dir():
            raise
        try_file(parent)
        return
    if stat.S_ISSOCK(kind):
        raise OSError(errno.ENXIO, "it is a socket", str(path))
    if stat.S_ISREG(kind) or stat.S_ISDIR(kind):
        os.close(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_NONBLOCK | os.O_CLOEXEC))


def _open_nameless(place: Path) -> int:
    """Return a descriptor of a new file in a directory, which no name leads to."""
    try:
        return os.open(place, os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT):
            raise
    name = place / f".virtsupd.{os.urandom(4).hex()}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(name, flags, 0o600)
    name.unlink()
    return descriptor


def demand_own(path: Path) -> None:
    """Refuse a directory in which another user could put a link where root is about to write.

    A sticky bit does not help: it protects files that are there, not names that are not.

    Raises:
        UnsafeDirectoryError: it is a link, belongs to somebody else, or others can write to it; the
            message says what to do.
        OSError: it is not there.
    """
    _demand_own(path, path.lstat())


def open_own(path: Path) -> int:
    """Open a directory for work in it by its descriptor, whatever becomes of its name meanwhile.

    Raises:
        UnsafeDirectoryError: as `demand_own`.
        OSError: it is not there, or is no directory.
    """
    demand_own(path)
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        _demand_own(path, os.fstat(descriptor))
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


@contextlib.contextmanager
def opened_own(path: Path) -> Iterator[int]:
    """Give such a directory's descriptor to the body, and close it then. Raises as `open_own`."""
    descriptor = open_own(path)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def no_directory(path: Path, key: str) -> str:
    """Return what to do about a path that is no directory; `key` is the one that can be changed."""
    if os.path.lexists(path):
        return f"{path} is not a directory; change {key}"
    return f"there is no directory {path}; mkdir -p {shlex.quote(str(path))}, or change {key}"


def _demand_own(path: Path, found: os.stat_result) -> None:
    name = shlex.quote(str(path))
    if stat.S_ISLNK(found.st_mode):
        fault = f"it is a symbolic link; name {path.resolve()} instead"
    elif found.st_uid not in (0, os.geteuid()):
        fault = (
            f"it belongs to uid {found.st_uid}; name another one, or: chown {os.geteuid()} {name}"
        )
    elif _is_open_to_others(found):
        bits = stat.S_IMODE(found.st_mode)
        fault = f"others can write to it (mode {bits:04o}); name another one, or: chmod go-w {name}"
    else:
        return
    raise UnsafeDirectoryError(f"cannot use the directory {path}: {fault}")


def _is_open_to_others(found: os.stat_result) -> bool:
    is_own_group = found.st_gid in (0, os.getegid())
    return bool(found.st_mode & stat.S_IWOTH or (found.st_mode & stat.S_IWGRP and not is_own_group))

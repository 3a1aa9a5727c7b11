"""The socket in the file system: made without a moment in which the wrong peer could connect."""

import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from virtsupd.config.settings import AccessSettings
from virtsupd.control.access import Peer
from virtsupd.errors import AlreadyRunningError, ConfigError
from virtsupd.process.files import try_file
from virtsupd.process.passed_sockets import bound_file
from virtsupd.process.unix_peer import credentials_of

_LONGEST_PATH_BYTES = 107
_BACKLOG = 512
_DIRECTORY_MODE = 0o755
_UNCHANGED = -1
"""What chown(2) takes for "as it is"."""
_UNKNOWN = 0
"""A pid that nobody has."""


class Listener:
    """A listening, non-blocking Unix stream socket at a path."""

    def __init__(self, path: Path, access: AccessSettings, *, inherited: int | None = None) -> None:
        """Listen at `path`, with the mode and owner of `access` before anybody can connect.

        Missing directories are made, open to look into. A socket that nobody listens on is
        replaced. On failure nothing is left behind, and nothing that was there is touched.

        `inherited` is the descriptor that `fileno` told before an exec: it is listened to on, with
        the clients in its queue, if clients find it at the path. It is ours from now on.

        Raises:
            AlreadyRunningError: somebody listens there.
            ConfigError: the path cannot be used; the message says why.
        """
        self.path = path
        self._born = (_UNCHANGED, _UNCHANGED)
        _refuse_long_path(path)
        try:
            path.parent.mkdir(mode=_DIRECTORY_MODE, parents=True, exist_ok=True)
            kept = self._checked(inherited)
            if kept is None and _is_stale(path, access):
                path.unlink()
            self.socket = self._bind(access) if kept is None else kept
        except OSError as error:
            raise _problem(path, error.strerror or str(error)) from error
        self._identity = _identity(path)
        if kept is not None:
            self._born = _born_in(path.parent)
            self.change_access(access)

    def fileno(self) -> int:
        """Return the descriptor, for a program that this one becomes."""
        return self.socket.fileno()

    def change_access(self, access: AccessSettings) -> bool:
        """Give the socket another mode and owner; False if it is no longer at its path.

        On the way from one to the other it admits nobody whom both keep out. Whoever has taken the
        path meanwhile is left alone.

        Raises:
            ConfigError: the kernel refuses; on the way the socket may have been left with fewer
                permissions, never with more.
        """
        try:
            with _opened(self.path) as (found, name):
                if (found.st_dev, found.st_ino) != self._identity:
                    return False
                wanted = self._wanted_owner(access)
                os.chmod(name, found.st_mode & access.mode)  # noqa: PTH101 - no path of a file
                if (found.st_uid, found.st_gid) != wanted:
                    os.chown(name, *wanted)
                os.chmod(name, access.mode)  # noqa: PTH101 - as above
        except FileNotFoundError:
            return False
        except OSError as error:
            text = f"cannot change mode and owner of {self.path}: {error.strerror}"
            raise ConfigError((text,)) from error
        return True

    def admits(self, peer: Peer) -> bool:
        """Return whether the socket's mode lets the peer connect. True if it is not at its path."""
        if _identity(self.path) != self._identity:
            return True
        found = self.path.lstat()
        if peer.uid in (0, found.st_uid):
            return peer.uid == 0 or bool(found.st_mode & stat.S_IWUSR)
        if found.st_gid in (peer.gid, *peer.groups):
            return bool(found.st_mode & stat.S_IWGRP)
        return bool(found.st_mode & stat.S_IWOTH)

    def close(self) -> None:
        """Stop listening and remove the path, unless somebody else has taken it meanwhile."""
        self.socket.close()
        if _identity(self.path) == self._identity:
            self.path.unlink(missing_ok=True)

    def _checked(self, inherited: int | None) -> socket.socket | None:
        """Return the socket if it is the one at our path; otherwise it is closed."""
        if inherited is None:
            return None
        found = socket.socket(fileno=inherited)
        found.setblocking(False)
        if found.getsockname() == str(self.path):
            file = _identity(self.path)
            if file is not None and bound_file(found) in (file, None):
                return found
        found.close()
        return None

    def _wanted_owner(self, access: AccessSettings) -> tuple[int, int]:
        born_owner, born_group = self._born
        return (
            born_owner if access.owner is None else access.owner,
            born_group if access.group is None else access.group,
        )

    def _bind(self, access: AccessSettings) -> socket.socket:
        owner, group = _given(access)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            before = os.umask(0o777 & ~access.mode)
            try:
                listener.bind(str(self.path))
            finally:
                os.umask(before)
            self._open_up(listener, owner, group)
        except BaseException:
            listener.close()
            raise
        return listener

    def _open_up(self, listener: socket.socket, owner: int, group: int) -> None:
        # Between bind and listen every connection is refused, so nobody enters before the chown.
        try:
            found = self.path.lstat()
            self._born = (found.st_uid, found.st_gid)
            if (owner, group) != (_UNCHANGED, _UNCHANGED):
                os.chown(self.path, owner, group)
            listener.listen(_BACKLOG)
        except OSError:
            self.path.unlink()
            raise


def check_place(path: Path, access: AccessSettings, *, running: int | None = None) -> None:
    """Check that a `Listener` could be made at `path` now, and change nothing.

    `running` is the pid of a virtsupd that may listen there already: what it listens on, it leaves
    to the program that asks, or gives back before another one starts.

    Raises:
        AlreadyRunningError: another program listens there.
        ConfigError: the path cannot be used, or the socket not be given to whom `access` says.
    """
    _refuse_long_path(path)
    owner, group = _given(access)
    try:
        _is_stale(path, access, running=running)
        try_file(path.parent, owner=owner, group=group)
    except FileNotFoundError:
        return  # as long as its directory, which is made with others, is not there
    except OSError as error:
        raise _problem(path, error.strerror or str(error)) from error


def _refuse_long_path(path: Path) -> None:
    length = len(os.fsencode(path))
    if length > _LONGEST_PATH_BYTES:
        text = f"the path has {length} bytes, a socket's has at most {_LONGEST_PATH_BYTES}"
        raise _problem(path, text)


def _is_stale(path: Path, access: AccessSettings, *, running: int | None = None) -> bool:
    """Return whether a socket of ours is there that nobody listens on; False if it is `running`'s.

    Raises:
        AlreadyRunningError, ConfigError: as `Listener`.
    """
    try:
        found = path.lstat()
    except FileNotFoundError:
        return False
    if not stat.S_ISSOCK(found.st_mode):
        raise _problem(path, "there is something that is not a socket")
    who = _who_listens(path)
    if who is not None:
        if running is not None and who in (running, _UNKNOWN):
            return False
        raise AlreadyRunningError(f"another program already listens on {path}")
    if found.st_uid not in (os.geteuid(), access.owner):
        raise _problem(path, f"the socket there belongs to uid {found.st_uid}")
    return True


def _who_listens(path: Path) -> int | None:
    """Return the pid of the program that listens; None if there is none."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            return None
        except BlockingIOError:
            return _UNKNOWN  # its queue is full
        return credentials_of(probe)[0]


def _given(access: AccessSettings) -> tuple[int, int]:
    """Return owner and group as chown(2) takes them."""
    return (
        _UNCHANGED if access.owner is None else access.owner,
        _UNCHANGED if access.group is None else access.group,
    )


def _problem(path: Path, reason: str) -> ConfigError:
    return ConfigError((f"cannot listen on {path}: {reason}",))


@contextmanager
def _opened(path: Path) -> Iterator[tuple[os.stat_result, str]]:
    """Hold on to what is at a path, no link followed: yield what it is, and a name that stays its.

    A descriptor made with O_PATH takes neither fchmod nor fchown, but its name in /proc does.
    """
    descriptor = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        yield os.fstat(descriptor), f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


def _born_in(directory: Path) -> tuple[int, int]:
    """Return whose a file is that we make there."""
    found = directory.stat()
    return os.geteuid(), found.st_gid if found.st_mode & stat.S_ISGID else os.getegid()


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.lstat()
    except OSError:
        return None
    return (found.st_dev, found.st_ino)

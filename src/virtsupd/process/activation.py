"""Socket activation, the giving side (sd_listen_fds(3)): sockets that exist before their service.

A client may connect while the service is still starting, or between two of its lives: it waits in
the queue of a socket that virtsupd holds. Nobody who is not allowed can ever connect: a Unix socket
is bound private, given its owner and mode, and only then listens.
"""

import contextlib
import errno
import grp
import os
import pwd
import socket
import stat
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from virtsupd.core.spec import SocketSpec
from virtsupd.errors import SpawnError
from virtsupd.process.holders import holder_of
from virtsupd.process.listen_address import (
    TYPES,
    bound,
    file_identity,
    listeners,
    listens_as,
    parse_port,
    refused,
)
from virtsupd.process.notify import check_length
from virtsupd.process.passed_sockets import duplicate, socket_descriptors

_NO_ID = 2**32 - 1
"""What chown(2) takes for "leave it"."""


class ListeningSockets:
    """The activation sockets of one service, in the order of their definitions.

    They stay open over restarts of the service, so that no client is refused meanwhile.
    """

    def __init__(self) -> None:
        """Hold nothing yet."""
        self._held: dict[SocketSpec, socket.socket] = {}
        self._files: dict[SocketSpec, tuple[int, int]] = {}

    def open_all(self, specs: Iterable[SocketSpec]) -> tuple[int, ...]:
        """Return a listening descriptor for each spec, in this order; what is open already is kept.

        Sockets of earlier specs that are not among these are closed and removed first. On failure
        those that were opened here are closed again.

        Raises:
            SpawnError: stage "socket", as for `open_socket`.
        """
        specs = tuple(specs)
        self._drop([spec for spec in self._held if spec not in specs])
        before = set(self._held)
        try:
            return tuple(self.open_socket(spec) for spec in specs)
        except SpawnError:
            self._drop([spec for spec in self._held if spec not in before])
            raise

    def open_socket(self, spec: SocketSpec) -> int:
        """Return a descriptor that listens as `spec` says; the same one at each call.

        Where the service has removed the file of a Unix socket, which no client could find any more,
        a new one is made. The descriptor belongs to this object, is close-on-exec and in blocking mode. Missing parent directories
        are made with mode 0755.

        Raises:
            SpawnError: stage "socket". Permanent if the definition cannot work on this host (a path
                too long, no such user, not an address, a path that is no socket); not permanent if
                somebody else holds the address, which the message names when /proc tells.
        """
        if spec in self._held and self._was_removed(spec):
            self._drop_quietly(spec)
        if spec not in self._held:
            made = _listen(spec)
            self._held[spec] = made
            self._remember_file(spec)
        return self._held[spec].fileno()

    def take_back(
        self, specs: Iterable[SocketSpec], pid: int, pidfd: int
    ) -> tuple[SocketSpec, ...]:
        """Get listeners back from a process to which a virtsupd that is gone had passed them.

        With each come the clients that wait in its queue, and its file is ours to remove again. A
        socket counts if it listens as its spec says, under whatever number the process has it, and
        clients still find it at its path. What is held already stays.

        Returns those that were not found, also because the process is gone or must not be asked, or
        because port 0 names none: another process of the service may have them, and otherwise the
        next `open_all` opens them anew. `pid` and `pidfd` mean one process and stay the caller's.
        """
        specs = tuple(specs)
        numbers = socket_descriptors(pid)
        for spec in [spec for spec in specs if spec not in self._held]:
            for number in sorted(numbers[inode] for inode in listeners(spec) & numbers.keys()):
                with contextlib.suppress(OSError):
                    if self._hold(spec, duplicate(pidfd, number)):
                        break
        return tuple(spec for spec in specs if spec not in self._held)

    @property
    def specs(self) -> tuple[SocketSpec, ...]:
        """What is held, as it was defined when it was opened."""
        return tuple(self._held)

    def handed(self) -> Mapping[str, int]:
        """Return our descriptors under names that `inherit` knows them by after an exec."""
        return {_key(spec): held.fileno() for spec, held in self._held.items()}

    def inherit(
        self, specs: Iterable[SocketSpec], handed: Mapping[str, int]
    ) -> tuple[SocketSpec, ...]:
        """Take up what `handed` told before an exec; return the specs that none of it fits.

        The descriptors are ours from now on; those that no spec fits are closed.
        """
        specs = tuple(specs)
        spec_by_key = {_key(spec): spec for spec in specs}
        for key, descriptor in handed.items():
            try:
                inherited = socket.socket(fileno=descriptor)
            except OSError:  # no socket after all
                with contextlib.suppress(OSError):
                    os.close(descriptor)
                continue
            spec = spec_by_key.get(key)
            if spec is None:
                inherited.close()
            else:
                self._hold(spec, inherited)
        return tuple(spec for spec in specs if spec not in self._held)

    def _hold(self, spec: SocketSpec, found: socket.socket) -> bool:
        """Hold a socket if it is what `spec` asks for; close it otherwise."""
        is_it = listens_as(spec, found)
        if is_it:
            self._held[spec] = found
            self._remember_file(spec)
        else:
            found.close()
        return is_it

    @property
    def descriptors(self) -> tuple[int, ...]:
        """The open descriptors, in the order in which they were opened."""
        return tuple(held.fileno() for held in self._held.values())

    def close(self) -> None:
        """Stop listening and remove the socket files that are still ours. May be called twice."""
        self._drop(list(self._held))

    def leave(self) -> None:
        """Close our descriptors and leave the files: the service, or our successor, goes on listening."""
        for spec in list(self._held):
            self._drop_quietly(spec)

    def _remember_file(self, spec: SocketSpec) -> None:
        identity = file_identity(spec)
        if identity is not None:
            self._files[spec] = identity

    def _was_removed(self, spec: SocketSpec) -> bool:
        return spec in self._files and file_identity(spec) != self._files[spec]

    def _drop(self, specs: Iterable[SocketSpec]) -> None:
        for spec in specs:
            identity = self._files.get(spec)
            self._drop_quietly(spec)
            if identity is not None and identity == file_identity(spec):
                with contextlib.suppress(OSError):
                    Path(spec.listen).unlink()

    def _drop_quietly(self, spec: SocketSpec) -> None:
        self._files.pop(spec, None)
        held = self._held.pop(spec, None)
        if held is not None:
            held.close()


def activation_environment(specs: Iterable[SocketSpec]) -> dict[str, str]:
    """Return LISTEN_FDS and LISTEN_FDNAMES for sockets passed in this order; {} for none.

    LISTEN_PID is missing: only the child knows it.
    """
    names = [spec.name for spec in specs]
    if not names:
        return {}
    return {"LISTEN_FDS": str(len(names)), "LISTEN_FDNAMES": ":".join(names)}


def remove_stale(specs: Iterable[SocketSpec]) -> None:
    """Remove the files that a dead virtsupd's sockets left, where the service will not start again.

    Only sockets on which nobody listens; all else stays.
    """
    for path in (Path(spec.listen) for spec in specs if spec.listen.startswith("/")):
        with contextlib.suppress(OSError):
            if stat.S_ISSOCK(path.lstat().st_mode) and _is_stale(path):
                path.unlink()


def _key(spec: SocketSpec) -> str:
    """Return what tells a socket from its service's others: names need not differ, addresses do."""
    return f"{spec.type} {spec.listen}"


def _listen(spec: SocketSpec) -> socket.socket:
    with _refusals(spec):
        if spec.listen.startswith("/"):
            made = _bind_path(spec, Path(spec.listen))
        elif spec.listen.startswith("@"):
            made = _bind(spec, socket.AF_UNIX, "\0" + spec.listen[1:])
        else:
            made = _bind_port(spec)
        try:
            if spec.type != "datagram":
                made.listen(spec.backlog)
        except OSError:
            made.close()
            raise
    return made


@contextlib.contextmanager
def _refusals(spec: SocketSpec) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise refused(spec, _in_use(spec), is_permanent=False) from error
        # An address that this host does not have yet may come with its interface.
        is_permanent = error.errno not in (
            errno.EADDRNOTAVAIL,
            errno.ENOSPC,
            errno.EMFILE,
            errno.ENFILE,
        )
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise refused(spec, reason.lower(), is_permanent=is_permanent) from error


def _bind(
    spec: SocketSpec, family: socket.AddressFamily, address: str | tuple[str, int]
) -> socket.socket:
    made = socket.socket(family, TYPES[spec.type])
    try:
        # Not for UDP, where it would let two services share a port.
        if family != socket.AF_UNIX and spec.type == "stream":
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(":" in spec.listen))
        made.bind(address)
    except OSError:
        made.close()
        raise
    return made


# TCP and UDP


def _bind_port(spec: SocketSpec) -> socket.socket:
    if spec.type == "seqpacket":
        raise refused(
            spec,
            "seqpacket is for Unix sockets: allowed are stream and datagram",
            is_permanent=True,
        )
    host, port = parse_port(spec)
    if host is None:
        return _bind_everywhere(spec, port)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return _bind(spec, family, (host, port))


def _bind_everywhere(spec: SocketSpec, port: int) -> socket.socket:
    try:
        return _bind(spec, socket.AF_INET6, ("::", port))
    except OSError as error:
        if error.errno not in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL):
            raise
    return _bind(spec, socket.AF_INET, ("0.0.0.0", port))  # noqa: S104 -- a bare port means just that


def _in_use(spec: SocketSpec) -> str:
    holder = holder_of(bound(spec))
    is_unix = spec.listen.startswith(("/", "@"))
    subject = "it" if is_unix else f"port {parse_port(spec)[1]}"
    return f"{subject} is already in use" + (f" by {holder}" if holder else "")


# Unix sockets in the file system


def _bind_path(spec: SocketSpec, path: Path) -> socket.socket:
    check_length(path)
    owner = _owner(spec)
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    _refuse_planted_links(spec, path)
    _clear(spec, path)
    # The final name from the start, not a rename: services compare getsockname(2) with their settings.
    before = os.umask(0o177)
    try:
        made = _bind(spec, socket.AF_UNIX, str(path))
    finally:
        os.umask(before)
    try:
        _give(path, owner, spec.mode)
    except OSError:
        made.close()
        path.unlink(missing_ok=True)
        raise
    return made


def _refuse_planted_links(spec: SocketSpec, path: Path) -> None:
    for parent in path.parents:
        if parent.is_symlink() and parent.parent.stat().st_mode & stat.S_IWOTH:
            reason = f"{parent} is a symbolic link in a directory that anybody can write to"
            raise refused(spec, reason, is_permanent=True)


def _clear(spec: SocketSpec, path: Path) -> None:
    """Remove a stale socket from `path`; refuse one that somebody listens on, and all else."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise refused(spec, "a file that is no socket is there already", is_permanent=True)
    if not _is_stale(path):
        raise refused(spec, _in_use(spec), is_permanent=False)
    path.unlink(missing_ok=True)


def _is_stale(path: Path) -> bool:
    # /proc/net/unix does not show the listeners of other network namespaces: only knocking tells for sure.
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as client:
        return client.connect_ex(str(path)) in (errno.ECONNREFUSED, errno.ENOENT)


def _owner(spec: SocketSpec) -> tuple[int, int]:
    try:
        uid = _uid(spec.owner) if spec.owner is not None else -1
    except KeyError as error:
        raise refused(spec, f"there is no user {spec.owner}", is_permanent=True) from error
    try:
        gid = _gid(spec.group) if spec.group is not None else -1
    except KeyError as error:
        raise refused(spec, f"there is no group {spec.group}", is_permanent=True) from error
    return uid, gid


def _uid(text: str) -> int:
    return _number(text) if text.isdecimal() else pwd.getpwnam(text).pw_uid


def _gid(text: str) -> int:
    return _number(text) if text.isdecimal() else grp.getgrnam(text).gr_gid


def _number(text: str) -> int:
    if len(text) > 10 or int(text) >= _NO_ID:
        raise KeyError(text)
    return int(text)


def _give(path: Path, owner: tuple[int, int], mode: int) -> None:
    """Set owner and mode of the socket just bound, and of nothing else that was put in its place."""
    descriptor = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISSOCK(found.st_mode) or found.st_uid != os.geteuid() or found.st_nlink != 1:
            raise OSError(errno.ESTALE, "the socket was replaced while it was made")
        os.chown(f"/proc/self/fd/{descriptor}", *owner)
        os.chmod(f"/proc/self/fd/{descriptor}", mode)  # noqa: PTH101 -- like its neighbour
    finally:
        os.close(descriptor)

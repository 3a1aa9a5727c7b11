"""When a service may be relied on: each kind of probe, waited for or asked once.

Two questions, one answer per kind. `wait_ready` returns when a starting service is ready; where the
kernel can tell of a change (files, mounts, interfaces, the service's own messages) nobody polls,
and where only trying helps (connections, commands) the pauses grow. `check` is one look, for
health.

Deadlines belong to the caller, who cancels; so does noticing that the service died. Only a single
attempt has a limit of its own, so that a peer which accepts and says nothing (a forwarded port
whose guest is not up) is tried again instead of holding the wait.
"""

import contextlib
import os
import re

import anyio
import anyio.lowlevel

from virtsupd.core.spec import (
    AgentProbe,
    BannerProbe,
    ExecProbe,
    ExitProbe,
    FdProbe,
    HostCheck,
    HostProbe,
    HttpProbe,
    ListenProbe,
    LogLineProbe,
    MachineProbe,
    MountProbe,
    NotifyProbe,
    PathProbe,
    PidFileProbe,
    Probe,
    SocketProbe,
    TcpProbe,
)
from virtsupd.errors import NotReadyError
from virtsupd.process import hostfacts
from virtsupd.process.attempts import attempt, retry
from virtsupd.process.filechanges import FileChanges, is_silent
from virtsupd.process.holders import holder_of, is_held, unix_listeners
from virtsupd.process.loglines import LogLines
from virtsupd.process.network import compile_pattern
from virtsupd.process.pidfile import is_alive, owned_pid, read_pid
from virtsupd.process.probe_context import Outcome, ProbeContext, only_news
from virtsupd.process.wakeups import Changes, MountChanges, NetworkChanges

__all__ = ["Outcome", "ProbeContext", "check", "wait_missing", "wait_ready"]

_PIECE_BYTES = 4096


async def wait_ready(probe: Probe | None, context: ProbeContext) -> int | None:
    """Return once the service is ready; the pid of its leader if the probe named another.

    Never returns for `ExitProbe` and `NotifyProbe`: whoever reaps the process, or hears the service,
    tells. Cancelling leaves nothing behind.

    Raises:
        NotReadyError: it can never hold: the service closed its readiness pipe, a program is
            missing, an expression is none. Everything that may still come is waited for.
    """
    match probe:
        case PidFileProbe(path):
            return await _wait_pid_file(path, context)
        case FdProbe() | LogLineProbe():
            await _wait_told(probe, context)
        case TcpProbe() | BannerProbe() | HttpProbe() | ExecProbe() | AgentProbe() | ListenProbe():
            await retry(probe, context)
        case SocketProbe() | MountProbe() | PathProbe() | HostProbe():
            await _wait_seen(probe, context)
        case ExitProbe() | NotifyProbe():
            await anyio.sleep_forever()
        case MachineProbe():
            await _wait_climbed(context)
        case None:
            pass
    return None


async def wait_missing(probe: PathProbe | MountProbe, context: ProbeContext) -> str:
    """Return once what was there is not there any more, and in words what is missing.

    Never returns for a path below /proc or /sys, of whose changes the kernel does not tell.
    """
    if isinstance(probe, PathProbe) and is_silent(probe.path):
        await anyio.sleep_forever()
    async with _changes(probe) as changes:
        return await changes.until(lambda: _missing(probe, context))


async def check(probe: Probe, context: ProbeContext) -> None:
    """Ask once whether the service is well; return if so.

    `NotifyProbe` asks whether the watchdog was fed in time (a service that has none is well).

    Raises:
        NotReadyError: it is not, and what was seen instead. Always for `FdProbe`, `LogLineProbe`,
            `ExitProbe` and `MachineProbe`, which tell of a start and cannot be asked again.
    """
    match probe:
        case TcpProbe() | BannerProbe() | HttpProbe() | ExecProbe() | AgentProbe() | ListenProbe():
            await attempt(probe, context)
        case SocketProbe() | MountProbe() | PathProbe() | HostProbe():
            _demand(_missing(probe, context))
        case PidFileProbe(path):
            if owned_pid(path, context.owns) is None:
                raise NotReadyError(f"{path} names no living process of {context.name}")
        case NotifyProbe():
            watchdog = context.watchdog
            if watchdog is not None and watchdog.is_overdue(context.clock.now().monotonic):
                raise NotReadyError(f"{context.name} did not say WATCHDOG=1 in time")
        case FdProbe() | LogLineProbe() | ExitProbe() | MachineProbe():
            raise NotReadyError("this kind of probe tells of a start and cannot be repeated")


async def _wait_climbed(context: ProbeContext) -> None:
    if context.climb is None:
        raise NotReadyError("it is no machine, and has no rungs to climb")
    await context.climb()


# What the service says


async def _wait_told(probe: FdProbe | LogLineProbe, context: ProbeContext) -> None:
    match probe:
        case FdProbe():
            await _wait_newline(context)
        case LogLineProbe(pattern):
            await _wait_line(pattern, context)


async def _wait_newline(context: ProbeContext) -> None:
    if context.ready_fd is None:
        raise NotReadyError("there is no readiness descriptor")
    context.note("it has not written a newline to its readiness descriptor")
    # A file description of our own: making the shared one non-blocking would change the service's.
    own = os.open(f"/proc/self/fd/{context.ready_fd}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        while b"\n" not in await _read_piece(own):
            pass
    finally:
        os.close(own)
    # Read again by a successor, should this virtsupd end before it has written down what it read.
    with contextlib.suppress(OSError):
        os.write(context.ready_fd, b"\n")


async def _read_piece(descriptor: int) -> bytes:
    await anyio.wait_readable(descriptor)
    try:
        piece = os.read(descriptor, _PIECE_BYTES)
    except BlockingIOError:
        return b""
    if not piece:
        raise NotReadyError("it closed its readiness descriptor without writing a newline")
    return piece


async def _wait_line(pattern: str, context: ProbeContext) -> None:
    if context.log_path is None:
        raise NotReadyError("its output is not captured, so no line of it can be waited for")
    expected = compile_pattern(pattern)
    context.note(f"no line of its output matches {pattern!r}")
    async with FileChanges(context.log_path) as changes:
        with contextlib.closing(LogLines(context.log_path, context.log_offset)) as lines:
            while not await _finds(expected, lines, changes):
                await changes.wait()


async def _finds(expected: re.Pattern[str], lines: LogLines, changes: FileChanges) -> bool:
    changes.rearm()
    while (batch := lines.read_some()) is not None:
        if any(expected.search(line) for line in batch):
            return True
        await anyio.lowlevel.checkpoint()  # a long backlog must not hold up everybody else
    return False


async def _wait_pid_file(path: str, context: ProbeContext) -> int:
    context.note(f"{path} names no living process of the service")
    async with FileChanges(path) as changes:
        return await changes.until(
            lambda: owned_pid(path, context.owns),
            # It may yet become ours: without cgroups it shows by session or parent, which change.
            is_unsettled=lambda: (pid := read_pid(path)) is not None and is_alive(pid),
        )


# What can be seen


async def _wait_seen(
    probe: SocketProbe | MountProbe | PathProbe | HostProbe, context: ProbeContext
) -> None:
    note = only_news(context.note)

    def look() -> bool | None:
        reason = _missing(probe, context)
        if reason is not None:
            note(reason)
        return True if reason is None else None

    async with _changes(probe) as changes:
        await changes.until(look, is_unsettled=lambda: _is_bound_only(probe))


def _missing(
    probe: SocketProbe | MountProbe | PathProbe | HostProbe, context: ProbeContext
) -> str | None:
    match probe:
        case SocketProbe(path):
            return _missing_socket(path, context)
        case MountProbe(path, file_system):
            return hostfacts.missing_mount(path, file_system)
        case PathProbe(path):
            return None if _exists(path) else f"{path} does not exist"
        case HostProbe(fact, assume):
            return None if assume else hostfacts.missing(fact)


def _missing_socket(path: str, context: ProbeContext) -> str | None:
    if not _exists(path):
        return f"{path} does not exist"
    listeners = unix_listeners(path)
    if not listeners:
        return f"nobody listens on {path}"
    if not is_held(listeners, owns=context.owns, leader=context.leader()):
        return f"{holder_of(listeners) or 'somebody else'} listens on {path}"
    return None


def _changes(probe: SocketProbe | MountProbe | PathProbe | HostProbe) -> Changes:
    match probe:
        case MountProbe():
            return MountChanges()
        case HostProbe(HostCheck.LOOPBACK | HostCheck.NETWORKING):
            return NetworkChanges()
        case HostProbe():
            return FileChanges(hostfacts.UDEV_SOCKET)
        case SocketProbe(path) | PathProbe(path):
            return FileChanges(path)


def _is_bound_only(probe: SocketProbe | MountProbe | PathProbe | HostProbe) -> bool:
    """Whether the socket's file is there, so that only listen(2) is missing, of which nobody tells."""
    match probe:
        case SocketProbe(path):
            return _exists(path)
        case HostProbe(HostCheck.UDEV):
            return _exists(hostfacts.UDEV_SOCKET)
        case _:
            return False


def _exists(path: str) -> bool:
    return os.path.exists(path)  # noqa: PTH110 -- unlike Path.exists, it has an answer for every text


def _demand(reason: str | None) -> None:
    if reason is not None:
        raise NotReadyError(reason)

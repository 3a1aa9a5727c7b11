"""Ending processes: who is signalled under each stop mode, and how to know that nothing is left.

A number is signalled only while it cannot have become somebody else's: the leader as long as it is
our unreaped child or held by a pidfd, its group as long as the leader is there. Once the leader is
reaped, the rest is looked up and each one signalled through a pidfd that was checked after opening.
"""

import os
import select
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Self

import anyio

from virtsupd.core.frozen import frozen
from virtsupd.core.spec import StopMode
from virtsupd.process.cgroup import Cgroup
from virtsupd.process.clock import Clock
from virtsupd.process.lives import (
    Life,
    group_lives,
    has_ended,
    is_alive,
    is_member,
    life_of,
    stat_fields,
)

_FIRST_LOOK_AGAIN_SECONDS = 0.02
_LAST_LOOK_AGAIN_SECONDS = 1.0


@frozen
class Remains:
    """What is left of a service, as its supervisor knows it at one moment."""

    leader: int | None
    """Its pid; None once it was reaped."""
    group: int
    """The process group the leader made: its pid at the time of the spawn."""
    cgroup: Cgroup | None
    mode: StopMode
    leader_fd: int | None = None
    """A pidfd of the leader, needed when it is not our child: then its number can change hands."""
    kin: tuple[Life, ...] = ()
    """Processes outside of the group that are to end with it, under `group` and `cgroup`."""


def terminate(remains: Remains, signal_name: str) -> tuple[str, ...]:
    """Send the stop signal ("SIGTERM") as the mode says; return who may not be signalled by us.

    The leader's group gets it; under `process` the leader alone. When the leader is gone and the
    mode is `cgroup`, whatever it left in the cgroup gets it: nobody else could pass it on. One that
    is denied (virtsupd without CAP_KILL) keeps the signal from no other; each is told in words.

    Who is frozen cannot take a signal but KILL. Under `cgroup`, where all that is frozen is to end,
    the cgroup is thawed, so that the signal is heard first of all. Under the other modes it is not:
    guests may be in it, frozen on purpose; a frozen leader is ended by the KILL that comes later.

    Raises:
        ValueError: there is no signal of that name.
        OSError: the cgroup is frozen and cannot be thawed; the signals have been sent.
    """
    sender = _Sender(remains, signal_number(signal_name))
    if remains.mode is StopMode.PROCESS:
        sender.to_leader()
        return sender.denied
    reached = sender.to_group()
    sender.to_kin()
    if remains.mode is StopMode.CGROUP and remains.cgroup is not None:
        if not reached:
            sender.to_members(remains.cgroup)
        remains.cgroup.thaw()
    return sender.denied


def kill(remains: Remains) -> tuple[str, ...]:
    """Send KILL to all that the mode covers: the cgroup with all below it, the group, or the leader.

    Who may not be signalled is returned, as by `terminate`; a cgroup is killed as a whole by writing
    to a file, which asks for no such right.

    Raises:
        OwnCgroupError: virtsupd is in that cgroup; nothing was signalled.
        OSError: the cgroup cannot be written to; nothing was signalled.
    """
    sender = _Sender(remains, signal.SIGKILL)
    if remains.mode is StopMode.PROCESS:
        sender.to_leader()
        return sender.denied
    if remains.mode is StopMode.CGROUP and remains.cgroup is not None:
        remains.cgroup.kill()
    sender.to_group()
    sender.to_kin()
    return sender.denied


def is_gone(remains: Remains) -> bool:
    """Tell whether nothing is left that the mode covers.

    A leader that ended is there until it was reaped (one held by a pidfd: until it ended), so that
    nothing is gone before its exit status is known.
    """
    return _is_leader_gone(remains, is_zombie_gone=False) and _are_others_gone(remains)


def _are_others_gone(remains: Remains) -> bool:
    if remains.mode is StopMode.PROCESS:
        return True
    if remains.mode is StopMode.CGROUP and remains.cgroup is not None:
        # Not `populated`: since Linux 6.18 that stays set for up to a tick after the last reap.
        return not remains.cgroup.pids()
    return not _others(remains)


def signal_number(name: str) -> int:
    """Return 15 for "SIGTERM".

    Raises:
        ValueError: there is no signal of that name.
    """
    try:
        return signal.Signals[name].value
    except KeyError as error:
        raise ValueError(f"{name!r} is not a signal, as SIGTERM is one") from error


def signal_leader(remains: Remains, signal_name: str) -> tuple[str, ...]:
    """Send a signal to the leader alone, for instance to have it read its configuration again.

    A denial is returned, as by `terminate`.

    Raises:
        ValueError: there is no signal of that name.
    """
    sender = _Sender(remains, signal_number(signal_name))
    sender.to_leader()
    return sender.denied


class GoneWatch:
    """Waits for the end of what is left of a service, woken by the kernel."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def wait_gone(self, remains: Remains) -> None:
        """Return once all that the mode covers has ended. Nothing is signalled; may be cancelled.

        The leader is awaited through a pidfd, a cgroup through its `cgroup.events`. Of a bare group
        the members are awaited through pidfds, and looked for again every so often (up to a second
        apart), because one of them may have left the group instead of ending.
        """
        with _Wakeups() as wakeups:
            wakeups.add_leader(remains)
            by_events = remains.mode is StopMode.CGROUP and remains.cgroup is not None
            if by_events and remains.cgroup is not None:
                wakeups.add_cgroup(remains.cgroup)
            pause = _FIRST_LOOK_AGAIN_SECONDS
            while not (_is_leader_gone(remains, is_zombie_gone=True) and _are_others_gone(remains)):
                if by_events or remains.mode is StopMode.PROCESS:
                    await wakeups.wait()
                    continue
                with wakeups.added(_others(remains)):
                    await self._wait_at_most(wakeups, pause)
                pause = min(pause * 2, _LAST_LOOK_AGAIN_SECONDS)

    async def _wait_at_most(self, wakeups: "_Wakeups", seconds: float) -> None:
        async with anyio.create_task_group() as tasks:

            async def look_again() -> None:
                await self._clock.sleep(seconds)
                tasks.cancel_scope.cancel()

            tasks.start_soon(look_again)
            await wakeups.wait()
            tasks.cancel_scope.cancel()


class _Wakeups:
    """An epoll that the event loop can wait for: pidfds, and cgroup.events by its own event mask.

    The loop itself could not watch cgroup.events: that file is always readable, and news of it are
    an exceptional condition.
    """

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._stack = ExitStack()
        self._stack.callback(self._epoll.close)
        self._events_file: int | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def add_leader(self, remains: Remains) -> None:
        if remains.leader_fd is not None:
            self._epoll.register(remains.leader_fd, select.EPOLLIN | select.EPOLLONESHOT)
        elif remains.leader is not None:
            self._add_process(remains.leader, self._stack)

    def add_cgroup(self, cgroup: Cgroup) -> None:
        with suppress(FileNotFoundError):
            self._events_file = os.open(f"{cgroup.path}/cgroup.events", os.O_RDONLY | os.O_CLOEXEC)
            self._stack.callback(os.close, self._events_file)
            self._epoll.register(self._events_file, select.EPOLLPRI)

    @contextmanager
    def added(self, pids: tuple[int, ...]) -> Iterator[None]:
        """Watch these processes for a while."""
        with ExitStack() as stack:
            for pid in pids:
                self._add_process(pid, stack)
            yield

    async def wait(self) -> None:
        """Return at the next wakeup."""
        await anyio.wait_readable(self._epoll.fileno())
        for file, _ in self._epoll.poll(0):
            if file == self._events_file:
                self._take_news(file)

    def _add_process(self, pid: int, stack: ExitStack) -> None:
        """Wake once when the process ends, if it has not already."""
        with suppress(ProcessLookupError):
            pidfd = os.pidfd_open(pid)
            stack.callback(os.close, pidfd)
            self._epoll.register(pidfd, select.EPOLLIN | select.EPOLLONESHOT)

    def _take_news(self, file: int) -> None:
        """Read cgroup.events, which arms its next wakeup; forget it when the directory is gone."""
        try:
            os.pread(file, 256, 0)
        except OSError:
            self._epoll.unregister(file)


class _Sender:
    """Sends one signal to what is left of a service, and remembers who was out of reach."""

    def __init__(self, remains: Remains, number: int) -> None:
        self._remains = remains
        self._number = number
        self._denied: list[str] = []

    @property
    def denied(self) -> tuple[str, ...]:
        return tuple(self._denied)

    def to_leader(self) -> None:
        leader, descriptor = self._remains.leader, self._remains.leader_fd
        if descriptor is not None:
            with self._noting(f"process {leader}"):
                signal.pidfd_send_signal(descriptor, self._number)
        elif leader is not None:
            with self._noting(f"process {leader}"):
                os.kill(leader, self._number)

    def to_group(self) -> bool:
        """Signal the leader's group, and the first process's; return whether there was anybody."""
        remains = self._remains
        led = _led_group(remains)
        if led is None:
            self.to_leader()
        else:
            with self._noting(f"process group {led}"):
                os.killpg(led, self._number)
            if led == remains.group:
                return True
        members = _group_members(remains.group)
        for pid in members:
            if pid != remains.leader:
                self._to_checked(pid, lambda pid: is_member(pid, remains.group))
        return bool(members) or remains.leader is not None

    def to_kin(self) -> None:
        for life in self._remains.kin:
            self._to_checked(life.pid, lambda pid: life_of(pid) in self._remains.kin)

    def to_members(self, cgroup: Cgroup) -> None:
        for pid in cgroup.pids():
            if pid not in (0, os.getpid()):
                self._to_checked(pid, cgroup.contains)

    def _to_checked(self, pid: int, is_still: Callable[[int], bool]) -> None:
        """Signal a process that may not be our child, if it still is what it was looked up as."""
        with self._noting(f"process {pid}"):
            pidfd = os.pidfd_open(pid)
            try:
                # Open first, look then: the signal reaches the process that was looked at, or nobody.
                if is_still(pid):
                    signal.pidfd_send_signal(pidfd, self._number)
            finally:
                os.close(pidfd)

    @contextmanager
    def _noting(self, who: str) -> Iterator[None]:
        try:
            yield
        except ProcessLookupError:
            return
        except OSError as error:
            self._denied.append(f"{who} cannot be signalled: {error.strerror}")


def _led_group(remains: Remains) -> int | None:
    """Return the group that the leader leads, if it is our unreaped child, who holds that number.

    A daemon that forked away from the first process of its service often leads one of its own.
    """
    if remains.leader is None or remains.leader_fd is not None:
        return None
    try:
        return remains.leader if os.getpgid(remains.leader) == remains.leader else None
    except ProcessLookupError:
        return None


def _is_leader_gone(remains: Remains, *, is_zombie_gone: bool) -> bool:
    if remains.leader_fd is not None:
        poll = select.poll()
        poll.register(remains.leader_fd, select.POLLIN)
        return bool(poll.poll(0))
    if remains.leader is None:
        return True
    if is_zombie_gone:
        return has_ended(remains.leader)
    return stat_fields(remains.leader) is None


def _others(remains: Remains) -> tuple[int, ...]:
    kin = (life.pid for life in remains.kin if is_alive(life))
    return (*_group_members(remains.group), *kin)


def _group_members(group: int) -> tuple[int, ...]:
    """Return the living processes of the group that the leader's own session began with, sorted."""
    return tuple(life.pid for life in group_lives(group))

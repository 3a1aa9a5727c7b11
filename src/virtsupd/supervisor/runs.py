"""One start of a service: the process, and all that was made for it."""

import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import anyio

from virtsupd.core.names import Name
from virtsupd.core.spec import Probe, ProcessSpec, Stop, StopMode
from virtsupd.process.cgroup import Cgroup
from virtsupd.process.exit_watch import ExitWatch
from virtsupd.process.lives import (
    Life,
    descends_from,
    group_lives,
    led_group,
    life_of,
    parent_of,
    user_of,
)
from virtsupd.process.marks import mark_of, oldest_with
from virtsupd.process.notify import NotifySocket, Watchdog
from virtsupd.process.stop import Remains
from virtsupd.supervisor.attended import Attended


@dataclass(slots=True)
class Run:
    """What lives from the spawn of one generation until nothing of it is left."""

    name: Name
    generation: int
    process: ProcessSpec
    cgroup: Cgroup | None
    ready_probe: Probe | None = None
    leader: int | None = None
    """None before the spawn and after the reap."""
    group: int = 0
    """Process group of the first process."""
    is_settled: bool = True
    """Whether `leader` is known to be the one: not before a pid file has named it."""
    began: int = 0
    """Just before its first process was made, in clock ticks from the boot."""
    mark: str = ""
    """What the environment of its processes says of whose they are."""
    is_others: Callable[[int], bool] = lambda pid: False
    """Whether a process is known to be something else: a leader of another service, a command."""
    has_own_cgroup: bool = False
    """Whether all that is in its cgroup belongs to it."""
    was_inhabited: bool = False
    """Others lived in its cgroup when it began, and may have been left by a kill of the whole."""
    is_adopted: bool = False
    """Made by an earlier virtsupd, perhaps in a cgroup that is not below ours."""
    held: int | None = None
    """A pidfd of an adopted leader, until it is watched."""
    elsewhere: ExitWatch | None = None
    """Watches a leader that is another process's child."""
    uid: int = 0
    gid: int = 0
    output: int = -1
    """What it is started with as standard output and error; it belongs to `Outputs`."""
    notify: NotifySocket | None = None
    watchdog: Watchdog | None = None
    ready_fd: int | None = None
    ready_path: Path | None = None
    status_fd: int | None = None
    """Of the file for its exit status, until its process was made."""
    has_keeper: bool = False
    """Its parent is a keeper of its exit status, which leaves it to us to reap."""
    log_offset: int = 0
    """How long its log was before its own output."""
    kin: tuple[Life, ...] = ()
    """What is taken for the service at its end, if no pid file has named its leader."""
    watches: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    """Readiness and health probes."""
    was_killed: bool = False
    """Its cgroup may have been killed as a whole."""
    ending: Callable[[], None] | None = None
    """Looks whether it is gone; set by the first Terminate or Kill."""
    attended: Attended | None = None
    """Of a machine: what is done for it beside its process."""
    is_unheard: bool = False
    """Its leader has ended, and what a machine said last is still being read."""
    is_waiting: bool = False
    """A task waits for its leftovers."""

    @property
    def is_spent(self) -> bool:
        """Whether its cgroup must not be used again: what is born in one that was killed may be killed, too."""
        return self.was_killed or self.is_adopted or self.was_inhabited

    def owns(self, pid: int) -> bool:
        """Whether a process belongs to this run.

        Without a cgroup those do that descend from its leader, and those of the run's user (root's
        may have become another's) that began since and are not known to be something else, if they
        are in the group of its first process or, once that has ended (a program that goes into the
        background), have its mark or are orphans that virtsupd has inherited and nobody's else by
        their mark. What has gone to PID 1 is told by its mark alone.
        """
        if pid == self.leader:
            return True
        if self.cgroup is not None:
            return self.cgroup.contains(pid)
        return not self.is_others(pid) and self._is_kin(pid)

    def _is_kin(self, pid: int) -> bool:
        if self.leader is not None and descends_from(pid, self.leader):
            return True
        user = user_of(pid)
        if self.uid not in (0, user) or not self._is_younger(pid):
            return False
        if self.group and led_group(pid) == self.group:
            return True
        return self.leader is None and self._is_heir(pid, is_users=user == self.uid)

    def _is_younger(self, pid: int) -> bool:
        life = life_of(pid)
        return life is not None and life.started >= self.began

    def _is_heir(self, pid: int, *, is_users: bool) -> bool:
        """Whether a process was left by the first one; `is_users`: nobody else can have copied the mark."""
        mark = mark_of(pid)
        is_marked = self.mark != "" and mark == self.mark
        if mark and not is_marked:
            return False
        if is_marked and is_users:
            return True
        parent = parent_of(pid)
        return parent == os.getpid() or (is_marked and self.is_adopted and parent == 1)

    def remains(self, stop: Stop) -> Remains:
        """Return what is left; while its leader is not known, its first process's group and its kin.

        Where all in its cgroup is its own, that is what it is until then: a reload may have changed
        the mode.
        """
        mode = stop.mode
        if not self.is_settled and self.has_own_cgroup:
            mode = StopMode.CGROUP
        elif not self.is_settled and self.cgroup is not None and mode is StopMode.PROCESS:
            mode = StopMode.GROUP
        return Remains(
            leader=self.leader,
            group=self.group,
            cgroup=self.cgroup,
            mode=mode,
            leader_fd=self.elsewhere.pidfd if self.elsewhere is not None else None,
            kin=self.kin,
        )

    def seek_kin(self) -> None:
        """While its leader is not known, take the oldest process with its mark outside its group for it.

        What that has made is younger: guests and jobs are spared. Once one was taken, no other is.
        """
        if self.is_settled or self.has_own_cgroup or self.kin or not self.mark:
            return
        if self.cgroup is None:
            return  # what may be its own is a suspect then, and nothing is started beside it
        pids = self.cgroup.pids()
        but = {self.leader, *(life.pid for life in group_lives(self.group))}
        found = oldest_with(self.mark, pids, since=self.began, but=but)
        self.kin = (found,) if found is not None else ()

    def end_watches(self) -> None:
        """Cancel its probes."""
        self.watches.cancel()
        self.watches = anyio.CancelScope()

    def end_elsewhere(self) -> None:
        """Watch its leader no more."""
        if self.held is not None:
            os.close(self.held)
            self.held = None
        if self.elsewhere is not None:
            self.elsewhere.close()
            self.elsewhere = None

    def leave_alone(self) -> None:
        """Attend to it no more, if it is a machine."""
        if self.attended is not None:
            self.attended.end()

    def wait_again(self, _defect: str) -> None:
        """Let a next look wait for its leftovers: the task that did has failed."""
        self.is_waiting = False

    def close_status(self) -> None:
        """Leave the file for its exit status to the keeper."""
        if self.status_fd is not None:
            os.close(self.status_fd)
            self.status_fd = None

    def close(self) -> None:
        """Give back what was made for it, except what a next run takes over (log, sockets, cgroup)."""
        self.watches.cancel()
        self.leave_alone()
        self.end_elsewhere()
        self.close_status()
        if self.notify is not None:
            self.notify.close()
        if self.ready_fd is not None:
            os.close(self.ready_fd)
            self.ready_fd = None
        if self.ready_path is not None:
            with contextlib.suppress(FileNotFoundError):
                self.ready_path.unlink()

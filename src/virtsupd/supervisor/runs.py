"""One start of a service: the process, and all that was made for it."""

import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import anyio

from virtsupd.core.names import Name
from virtsupd.core.spec import ProcessSpec
from virtsupd.process.cgroup import Cgroup
from virtsupd.process.notify import NotifySocket, Watchdog


@dataclass(slots=True)
class Run:
    """What lives from the spawn of one generation until nothing of it is left."""

    name: Name
    generation: int
    process: ProcessSpec
    cgroup: Cgroup | None
    leader: int | None = None
    """None before the spawn and after the reap."""
    group: int = 0
    """Process group of the first process."""
    uid: int = 0
    notify: NotifySocket | None = None
    watchdog: Watchdog | None = None
    ready_fd: int | None = None
    ready_path: Path | None = None
    log_offset: int = 0
    watches: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    """Readiness and health probes."""
    not_ready_because: str = ""
    """What the readiness probe saw last."""
    ending: Callable[[], None] | None = None
    """Looks whether it is gone; set by the first Terminate or Kill."""
    is_waiting: bool = False
    """A task waits for its leftovers."""

    def owns(self, pid: int) -> bool:
        """Whether a process belongs to this run."""
        if pid == self.leader:
            return True
        if self.cgroup is not None:
            return self.cgroup.contains(pid)
        try:
            return os.getpgid(pid) == self.group
        except ProcessLookupError:
            return False

    def end_watches(self) -> None:
        """Cancel its probes."""
        self.watches.cancel()
        self.watches = anyio.CancelScope()

    def close(self) -> None:
        """Give back what was made for it, except what a next run takes over (log, sockets, cgroup)."""
        self.watches.cancel()
        if self.notify is not None:
            self.notify.close()
        if self.ready_fd is not None:
            os.close(self.ready_fd)
            self.ready_fd = None
        if self.ready_path is not None:
            with contextlib.suppress(FileNotFoundError):
                self.ready_path.unlink()

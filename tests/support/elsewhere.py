"""Processes that are another process's children."""

import os
import select
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.processes import script

from virtsupd.core.exits import ExitStatus, from_wait_status


class Elsewhere:
    """A process and its parent, which is not us and does what it is told."""

    def __init__(self, parent: subprocess.Popen[str], pid: int) -> None:
        self._parent = parent
        self.pid = pid

    def go(self) -> None:
        """Send the process a line."""
        self._answer("go")

    def reap(self) -> ExitStatus:
        """Let the parent wait for it; return what it was told."""
        return from_wait_status(self._answer("reap"))

    def ignore(self) -> None:
        """From now on it is reaped by the kernel alone."""
        self._answer("ignore")

    def leave(self) -> None:
        """Orphan it; its standard input ends."""
        self._say("leave")
        self._parent.wait()

    def end_unreaped(self) -> None:
        """Send it a line and return when it has ended."""
        pidfd = os.pidfd_open(self.pid)
        try:
            self.go()
            assert select.select([pidfd], [], [], 10)[0]
        finally:
            os.close(pidfd)

    def _say(self, order: str) -> None:
        assert self._parent.stdin
        self._parent.stdin.write(f"{order}\n")
        self._parent.stdin.flush()

    def _answer(self, order: str) -> int:
        self._say(order)
        assert self._parent.stdout
        return int(self._parent.stdout.readline())


@contextmanager
def elsewhere(code: str, directory: Path | None = None) -> Iterator[Elsewhere]:
    """Yield a process that runs the shell code `code` once it was sent a line or its parent has left."""
    command = script("parent_on_command.py", "/bin/sh", "-c", f"read line; {code}")
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=directory
    ) as parent:
        assert parent.stdout
        yield Elsewhere(parent, int(parent.stdout.readline()))

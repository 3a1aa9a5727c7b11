"""Ending processes for certain, the log keeper among them."""

import fcntl
import os
import select
import signal
import struct

from tests.support.checks import eventually
from tests.support.daemon import Host


def keeper_of(made: Host) -> int:
    """Return the pid of the log keeper: who holds its lock; 0 for nobody."""
    try:
        lock = os.open(made.run_dir / "keeper.lock", os.O_RDWR)
    except FileNotFoundError:
        return 0
    try:
        asked = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        kind, _, _, _, pid = struct.unpack("hhqqi4x", fcntl.fcntl(lock, fcntl.F_GETLK, asked))
        return pid if kind != fcntl.F_UNLCK else 0
    finally:
        os.close(lock)


def kill_and_wait(pid: int, number: int = signal.SIGKILL) -> None:
    """Signal a process and return when it has ended."""
    pidfd = os.pidfd_open(pid)
    try:
        signal.pidfd_send_signal(pidfd, number)
        assert select.select([pidfd], [], [], 10)[0], f"process {pid} did not end"
    finally:
        os.close(pidfd)


def replace_keeper(made: Host) -> None:
    """Kill the keeper, and return when there is another one."""
    keeper = keeper_of(made)
    kill_and_wait(keeper)
    eventually(lambda: keeper_of(made) not in {0, keeper}, "another keeper")

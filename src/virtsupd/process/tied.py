"""A command that ends with virtsupd: `python -I -S tied.py PID COMMAND…`, PID being virtsupd's.

It runs the command in its own process group and ends as that ends. If virtsupd ends first, however, the whole
group is killed: what the command had still to do would meet what the next virtsupd has started meanwhile.
A program of its own, for the kernel tells a process of its parent's death alone (prctl(2), PR_SET_PDEATHSIG).
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1
_NOT_RUN = 127


def main() -> int:
    """Return the command's exit code; of one that a signal has ended, end by it."""
    parent, *command = sys.argv[1:]
    signal.signal(signal.SIGHUP, _end_all)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGHUP, 0, 0, 0)
    if os.getppid() != int(parent):
        return _NOT_RUN  # it ended before we could be told
    defaults = [signal.SIGHUP, signal.SIGPIPE, signal.SIGXFSZ]
    try:
        pid = os.posix_spawnp(command[0], command, os.environ, setsigdef=defaults)
    except OSError as error:
        sys.stderr.write(f"cannot run {command[0]}: {(error.strerror or str(error)).lower()}\n")
        return _NOT_RUN
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if status < 0:
        os.kill(os.getpid(), -status)
    return status


def _end_all(*_: object) -> None:
    os.kill(0, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main())

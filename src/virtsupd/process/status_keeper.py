"""The keeper of a process: its parent, which does nothing but write down how it ended.

virtsupd makes the process as the child of a child, and that child turns into the keeper: a program of
a few lines that had its child before it began. It never reaps. It waits, writes, and ends; thereby
the process becomes virtsupd's own child, whose reaper learns of the end as of any other, or PID 1's.
"""

import contextlib
import errno
import os
import signal
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

PROGRAM = Path(__file__).with_name("_keep_status")
"""Built together with the C extension: half a millisecond of CPU time, 0.1 MB of its own."""

_IN_PYTHON = """import posix
ended = posix.waitid(posix.P_ALL, 0, posix.WEXITED | posix.WNOWAIT)
way = {posix.CLD_EXITED: "exited", posix.CLD_DUMPED: "dumped"}.get(ended.si_code, "killed")
posix.pwrite(1, b"%s %03d\\n" % (way.encode(), ended.si_status), 0)
posix._exit(0)
"""
"""The same where there was no compiler: seven milliseconds of CPU time, 2.6 MB of its own."""

_MADE = struct.Struct("ii")


def keeper_command(about: str, *, program: Path = PROGRAM) -> tuple[str, ...]:
    """Return the command line of a keeper; `about` is shown by ps(1) and means nothing to it."""
    if os.access(program, os.X_OK):
        return (str(program), about)
    return (sys.executable, "-I", "-S", "-c", _IN_PYTHON, about)


def start_under_keeper(
    start: Callable[[], int], command: tuple[str, ...], status_fd: int
) -> tuple[int, int, int]:
    """Call `start` in a child that then becomes the keeper of the process whose pid it returns.

    Returns the pid of the process, the keeper's, and the errno if the keeper's program could not be
    run (else 0; the process is ours then). Blocks until that program runs. `start` runs in a copy of
    this process with all signals blocked, and must do nothing but make the process (with a signal
    mask of its own).

    Raises:
        OSError: there is no keeper, or `start` failed with this errno; no process is left.
    """
    reading, writing = os.pipe2(os.O_CLOEXEC)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        keeper = os.fork()
        if keeper == 0:
            _become_keeper(start, command, status_fd, writing)
    except OSError:
        os.close(reading)
        raise
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        os.close(writing)
    with os.fdopen(reading, "rb") as stream:
        said = stream.read()
    pid, error = _MADE.unpack(said[-_MADE.size :]) if said else (0, errno.EAGAIN)
    if error:
        os.waitpid(keeper, 0)
    if not pid:
        raise OSError(error, os.strerror(error))
    return pid, keeper, error


def _become_keeper(
    start: Callable[[], int], command: tuple[str, ...], status_fd: int, telling: int
) -> NoReturn:
    """Make the process, then run the keeper's program with the file as its only descriptor."""
    pid = 0
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # one that was ignored reaps by itself
        os.setsid()
        pid = start()
        os.write(telling, _MADE.pack(pid, 0))
        os.chdir("/")
        os.dup2(status_fd, 1)
        for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 - plain names
            with contextlib.suppress(OSError):  # the one that listed the directory
                os.set_inheritable(int(name), int(name) == 1)
        os.execve(command[0], command, {})  # noqa: S606 - nothing in it for a shell
    except OSError as failed:
        os.write(telling, _MADE.pack(pid, failed.errno or errno.EAGAIN))
    finally:
        os._exit(0)

"""Pid files: what they say, and whether it is still true."""

import os
from collections.abc import Callable

from virtsupd.process.lives import has_ended

_PID_FILE_BYTES = 64


def owned_pid(path: str, owns: Callable[[int], bool]) -> int | None:
    """Return the pid in a file if a living process has it and `owns` accepts it; else None.

    What an earlier life left behind names nobody, or somebody else.
    """
    pid = read_pid(path)
    return pid if pid is not None and is_alive(pid) and owns(pid) else None


def read_pid(path: str) -> int | None:
    """Return the number that the file begins with; None if there is none (yet), or no file."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        words = os.read(descriptor, _PID_FILE_BYTES).split()
    except OSError:
        return None
    finally:
        os.close(descriptor)
    return int(words[0]) if words and words[0].isdigit() and int(words[0]) > 0 else None


def is_alive(pid: int) -> bool:
    """Whether a process of this pid exists and has not ended (a zombie has)."""
    return not has_ended(pid)

"""One short question to a program, asked where nothing is supervised yet."""

import os
import subprocess
from collections.abc import Sequence


def answer_of(command: Sequence[str], *, timeout_seconds: float) -> str | None:
    """Return what a command prints, in the C locale; None if it did not end well in its time.

    It waits. Not for the daemon, whose children its reaper waits for: for `virtsupd --check`.
    A program that takes longer gets KILL.
    """
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout_seconds,
            check=True,
            env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8"},
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.decode(errors="replace")

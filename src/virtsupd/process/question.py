"""One short question to a program, asked where nothing is supervised."""

import os
import subprocess
from collections.abc import Sequence

from virtsupd.errors import VirtsupdError


class QuestionError(VirtsupdError):
    """A program has not answered."""

    code = "no-answer"

    def __init__(self, message: str, complaint: str = "", *, is_late: bool = False) -> None:
        super().__init__(message)
        self.complaint = complaint
        """What it wrote to its standard error."""
        self.is_late = is_late
        """Whether it was ended because its time was over."""


def answer_of(command: Sequence[str], *, timeout_seconds: float) -> str | None:
    """Return what a command prints, as `asked`; None if it did not end well in its time."""
    try:
        return asked(command, timeout_seconds=timeout_seconds)
    except QuestionError:
        return None


def asked(command: Sequence[str], *, timeout_seconds: float) -> str:
    """Return what a command prints on its standard output, in the C locale.

    It waits. Not for the daemon, whose children its reaper waits for: for `virtsupd --check`, and
    for programs that the daemon runs as actions. A program that takes longer gets KILL.

    Raises:
        QuestionError: it could not be started, or did not end well, or not in its time.
    """
    program = command[0]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout_seconds,
            check=False,
            env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8"},
        )
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise QuestionError(f"{program} cannot be run: {reason}") from error
    except subprocess.TimeoutExpired as error:
        raise QuestionError(
            f"{program} had no answer within {timeout_seconds:g} s", is_late=True
        ) from error
    if done.returncode != 0:
        complaint = done.stderr.decode(errors="replace").strip()
        raise QuestionError(f"{program} failed: {complaint or done.returncode}", complaint)
    return done.stdout.decode(errors="replace")

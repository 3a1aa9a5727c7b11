"""Becoming another program, in the same process."""

import os
import signal
from collections.abc import Sequence
from typing import NoReturn


def become(program: str, words: Sequence[str]) -> NoReturn:
    """Become a program, sought in PATH unless it is a path; what was not written yet is lost.

    Raises:
        OSError: it cannot be run.
    """
    # Python ignores these two for itself; a program must not begin that way.
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    os.execvp(program, list(words))  # noqa: S606 - no shell is wanted

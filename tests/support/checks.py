"""Waiting for facts: the one place where a test pauses, and always under a deadline."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

_PAUSE_SECONDS = 0.02


def eventually(fact: Callable[[], T], what: str, *, seconds: float = 10.0) -> T:
    """Return the first true value of `fact`.

    Raises:
        AssertionError: it was still false after `seconds`; the message says `what` was missing.
    """
    deadline = time.monotonic() + seconds
    while not (value := fact()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:g} s: {what}")
        time.sleep(_PAUSE_SECONDS)
    return value


def text_of(path: Path) -> str:
    """Return what the file holds, "" if there is none."""
    try:
        return path.read_text(errors="replace")
    except FileNotFoundError:
        return ""

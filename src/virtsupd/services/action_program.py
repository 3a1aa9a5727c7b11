"""What the programs behind actions have in common: how they read words, fail, and print.

virtsupd runs such a program for whoever asks, and shows its standard output if it ends well, else the
last line of all that it wrote. So nothing but the failure goes to standard error, in one line.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from itertools import zip_longest
from typing import Final, NoReturn

from virtsupd.core.printing import printable
from virtsupd.errors import VirtsupdError

USAGE: Final = 2
"""virtsupctl's exit status for wrong words."""


class UsageError(VirtsupdError):
    """The words after the service's name are not those of the action."""

    code = "usage"


class ActionParser(argparse.ArgumentParser):
    """The words that whoever asks adds to an action; `prog` is how he asks."""

    def __init__(self, prog: str, description: str) -> None:
        super().__init__(prog=prog, description=description, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        """Raise what argparse would print and end with.

        Raises:
            UsageError: always.
        """
        raise UsageError(f"{message}; see {self.prog} --help")


def told(what: str, work: Callable[[], str], *, wrong_usage: int = os.EX_USAGE) -> int:
    """Print what `work` returns, or why it cannot be had, in one line; return the exit code.

    `what` completes "cannot". EX_USAGE tells virtsupd that the words were wrong; of an interactive
    action, whose exit status is virtsupctl's own, that is `USAGE`.
    """
    try:
        text = work()
    except UsageError as error:
        return _failed(what, str(error), wrong_usage)
    except VirtsupdError as error:
        return _failed(what, str(error))
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        return _failed(what, f"{error.filename or 'system'}: {reason}")
    sys.stdout.write(f"{text}\n" if text else "")
    return 0


def _failed(what: str, why: str, exit_code: int = 1) -> int:
    sys.stderr.write(f"cannot {what}: {printable(' '.join(why.split()))}\n")
    return exit_code


def json_text(facts: Mapping[str, object]) -> str:
    """Return what `--json` prints."""
    return json_value_text(facts)


def json_value_text(value: object) -> str:
    """Return any value as JSON."""
    raw = json.dumps(value, ensure_ascii=False, indent=2)
    # What could move the cursor of a terminal is as good as an escape, which JSON has for everything.
    text = "".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in raw)
    # What was no UTF-8 in a file's name cannot be written; as an escape it is still JSON.
    return text.encode(errors="backslashreplace").decode()


def table_text(rows: Sequence[Sequence[str]]) -> str:
    """Return rows in columns; what could move the cursor is written as an escape."""
    shown = [[printable(cell) for cell in row] for row in rows]
    columns = zip_longest(*shown, fillvalue="")
    widths = [max(len(cell) for cell in column) for column in columns]
    return "\n".join(_line(row, widths) for row in shown)


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=False)).rstrip()

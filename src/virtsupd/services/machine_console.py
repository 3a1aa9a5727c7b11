"""`virtsupctl console NAME`: the serial console of a machine, on the terminal of whoever asks."""

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from virtsupd.errors import VirtsupdError
from virtsupd.machine.console import Console, Manner
from virtsupd.services.action_program import USAGE, ActionParser, UsageError, told

_BACK_BYTES = 2000
_SHIFT = 64
"""Between a letter and the one that is typed with Ctrl."""
_MOST_QUIET_SECONDS = 86_400


class _ConsoleError(VirtsupdError):
    """A console cannot be had; the message says what to do."""

    code = "console"


def main(words: Sequence[str]) -> int:
    """Join the console whose socket the second word names; return the exit code."""
    name, path, log, *asked = words
    return told(
        f"have the console of {name}", lambda: _use(name, path, log, asked), wrong_usage=USAGE
    )


def _use(name: str, path: str, log: str, asked: Sequence[str]) -> str:
    parser = ActionParser(
        f"virtsupctl console {name}",
        "Use the serial console. What it said before is kept in its log, whoever is connected.",
    )
    parser.add_argument("--escape", default="^]", metavar="^X", help="the letter that leaves (^])")
    parser.add_argument(
        "--wait",
        type=float,
        default=1.0,
        metavar="S",
        help="with input from a pipe: end S seconds after the machine last said something (1)",
    )
    parser.add_argument("--once", action="store_true", help="end with the machine")
    options = parser.parse_args(asked)
    if not 0 < options.wait <= _MOST_QUIET_SECONDS:
        raise UsageError("--wait takes seconds, more than 0")
    escape = _letter(options.escape)
    is_terminal = sys.stdin.isatty()
    leaving = options.escape.replace("^", "Ctrl-")
    welcome = f"console of {name}; {leaving} leaves it"
    manner = Manner(escape, options.wait, welcome, is_once=options.once)
    console = Console(
        path,
        manner,
        greet=partial(_show_past, Path(log)) if is_terminal else _do_nothing,
        tell=_tell if is_terminal else _do_nothing,
    )
    try:
        console.run()
    except (FileNotFoundError, ConnectionRefusedError) as error:
        raise _ConsoleError(f"it is not running; virtsupctl start {name}") from error
    except BrokenPipeError:
        pass  # who read it has enough
    if is_terminal:
        sys.stderr.write(f"\nleft the console of {name}\n")
    return ""


def _letter(text: str) -> bytes:
    """Return the letter that "^X" stands for.

    Raises:
        UsageError: there is none.
    """
    if len(text) == 2 and text[0] == "^" and "@" <= text[1].upper() <= "_":
        return bytes([ord(text[1].upper()) - _SHIFT])
    raise UsageError(f"--escape takes ^ and a letter, such as ^], not {text!r}")


def _show_past(log: Path) -> None:
    """Show the end of what was said before, whole lines of it; nothing if it cannot be read."""
    try:
        with log.open("rb") as file:
            start = max(file.seek(0, 2) - _BACK_BYTES, 0)
            file.seek(start)
            past = file.read(_BACK_BYTES)
    except OSError:
        return
    if start:
        past = past.partition(b"\n")[2]
    sys.stdout.buffer.write(past)
    sys.stdout.buffer.flush()


def _tell(text: str) -> None:
    """Say it on the terminal, which takes no newline for two things meanwhile."""
    sys.stderr.write(f"\r\n[{text}]\r\n")
    sys.stderr.flush()


def _do_nothing(*_: object) -> None:
    pass


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

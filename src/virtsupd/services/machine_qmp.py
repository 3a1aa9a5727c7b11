"""`virtsupctl qmp NAME COMMAND`: a command of QEMU's monitor, and what it answers as JSON."""

import asyncio
import json
import sys
from collections.abc import Mapping, Sequence
from typing import Final, NoReturn

from virtsupd.machine.monitor_turn import monitor_turn
from virtsupd.services.action_program import USAGE, ActionParser, UsageError, json_value_text, told

_ABOUT: Final = (
    "Run a command of QEMU's monitor (QMP). query-commands lists them all. Some end or change the machine: quit ends QEMU at once, "
    "system_powerdown presses the power button, system_reset resets it (then virtsupd starts it again), stop halts "
    "its processors until cont."
)
_SECONDS = 30.0


def main(words: Sequence[str]) -> int:
    """Run the command on the monitor whose socket the second word names; return the exit code."""
    name, path, *asked = words
    return told(f"ask the monitor of {name}", lambda: _ask(name, path, asked), wrong_usage=USAGE)


def _ask(name: str, path: str, asked: Sequence[str]) -> str:
    parser = ActionParser(f"virtsupctl qmp {name}", _ABOUT)
    parser.add_argument("command", help="its name, or a whole request: '{\"execute\": …}'")
    parser.add_argument(
        "arguments",
        nargs="*",
        metavar="KEY=VALUE",
        help="values are JSON, and texts where they are none",
    )
    parser.add_argument(
        "--timeout", type=float, default=_SECONDS, metavar="S", help="wait S seconds for it (30)"
    )
    options = parser.parse_args(asked)
    command, arguments = request(options.command, options.arguments)
    if not 0 < options.timeout < float("inf"):
        raise UsageError("--timeout takes seconds, more than 0")

    async def ask() -> object:
        async with monitor_turn(name, path) as monitor:
            return await monitor.execute(command, arguments, timeout_seconds=options.timeout)

    return json_value_text(asyncio.run(ask()))


def request(command: str, pairs: Sequence[str]) -> tuple[str, Mapping[str, object] | None]:
    """Return a command and its arguments, from words or from a whole request.

    Raises:
        UsageError: it is none.
    """
    try:
        " ".join((command, *pairs)).encode()
    except UnicodeEncodeError as error:
        raise UsageError("the request is no UTF-8, which JSON has to be") from error
    if not command.startswith("{"):
        return command, dict(map(_pair, pairs)) or None
    try:
        whole = _value(command)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"the request is no JSON: {error}") from error
    if not isinstance(whole, dict):
        raise UsageError("the request is no object")
    arguments = whole.get("arguments")
    if pairs or not isinstance(whole.get("execute"), str) or not isinstance(arguments, dict | None):
        raise UsageError('a request is {"execute": "…", "arguments": {…}}, with nothing behind it')
    return whole["execute"], arguments


def _pair(word: str) -> tuple[str, object]:
    key, is_pair, text = word.partition("=")
    if not (key and is_pair):
        raise UsageError(f"found {word!r}, must be KEY=VALUE")
    try:
        return key, _value(text)
    except (ValueError, RecursionError):
        return key, text


def _value(text: str) -> object:
    return json.loads(text, parse_constant=_refuse)


def _refuse(word: str) -> NoReturn:
    raise ValueError(f"{word} is no number of JSON's")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

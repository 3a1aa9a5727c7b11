"""`virtsupctl agent NAME WHAT`: ask the agent in a machine's guest (qemu-ga), or have it run a command."""

import argparse
import asyncio
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from virtsupd.machine.agent import AgentError, GuestAgent
from virtsupd.machine.agent_exec import ask_agent, run_in_guest
from virtsupd.services.action_program import (
    USAGE,
    ActionParser,
    UsageError,
    json_value_text,
    table_text,
    told,
)
from virtsupd.services.machine_qmp import request

_GIB = 1 << 30
_MODES: Final = {False: "powerdown", True: "reboot"}


def main(words: Sequence[str]) -> int:
    """Ask the agent whose socket the second word names; return the exit code, that of the command for exec."""
    name, path, *asked = words
    return told(f"ask the agent of {name}", lambda: _ask(name, path, asked), wrong_usage=USAGE)


def _ask(name: str, path: str, asked: Sequence[str]) -> str:
    try:
        if asked and asked[0].startswith("{"):
            command, arguments = request(asked[0], asked[1:])
            return json_value_text(asyncio.run(ask_agent(path, command, arguments)))
        return _answer(path, _parser(name).parse_args(asked))
    except AgentError as error:
        if isinstance(error.__cause__, FileNotFoundError | ConnectionRefusedError):
            raise AgentError(f"it is not running; virtsupctl start {name}") from error
        raise


def _answer(path: str, options: argparse.Namespace) -> str:
    if options.what == "exec":
        return _exec(path, options)
    if options.what == "shutdown":
        asyncio.run(_shut_down(path, _MODES[options.reboot]))
        return ""
    command, show = _QUESTIONS[options.what]
    answer = asyncio.run(ask_agent(path, command))
    return json_value_text(answer) if options.json else show(answer)


def _parser(name: str) -> ActionParser:
    parser = ActionParser(
        f"virtsupctl agent {name}",
        "Ask the agent that runs in the guest (qemu-ga), or have it run a command as root there. "
        'A whole request is taken too: \'{"execute": "guest-info"}\'.',
    )
    kinds = parser.add_subparsers(dest="what", required=True, parser_class=_Part)
    for what, about in _ABOUT.items():
        part = kinds.add_parser(what, help=about, description=about)
        if what in _QUESTIONS:
            part.add_argument("--json", action="store_true", help="as JSON")
    shutdown = kinds.choices["shutdown"]
    shutdown.add_argument("--reboot", action="store_true", help="start it again")
    run = kinds.choices["exec"]
    run.add_argument(
        "--timeout",
        type=float,
        metavar="S",
        help="wait S seconds for it, and leave it running then",
    )
    run.add_argument(
        "--input", action="store_true", help="give it our standard input, read to its end"
    )
    run.add_argument("command", nargs=argparse.REMAINDER, help="-- COMMAND [ARG…]")
    return parser


class _Part(ActionParser):
    def __init__(self, *, prog: str, description: str, **_: object) -> None:
        super().__init__(prog, description)


def _exec(path: str, options: argparse.Namespace) -> str:
    """Write what the command wrote, and end as it ended."""
    command = options.command[1:] if options.command[:1] == ["--"] else options.command
    if not command:
        raise UsageError("exec needs a command: exec -- uname -a")
    if options.timeout is not None and not 0 < options.timeout < float("inf"):
        raise UsageError("--timeout takes seconds, more than 0")
    given = sys.stdin.buffer.read() if options.input else None
    outcome = asyncio.run(run_in_guest(path, command, given=given, timeout_seconds=options.timeout))
    sys.stdout.buffer.write(outcome.output)
    sys.stdout.buffer.flush()
    sys.stderr.buffer.write(outcome.errors)
    sys.stderr.buffer.flush()
    if outcome.is_cut:
        sys.stderr.write("virtsupctl: the agent has kept only the first part of the output\n")
    # An exit status has 8 bits, and what is no success must not become one.
    raise SystemExit(outcome.code if outcome.code % 256 or not outcome.code else 1)


async def _shut_down(path: str, mode: str) -> None:
    agent = await GuestAgent.open(path)
    try:
        await agent.send("guest-shutdown", {"mode": mode})
    finally:
        await agent.close()


# Answers as people read them


def _nothing(_answer: object) -> str:
    return ""


def _hostname(answer: object) -> str:
    return table_text([[str(_table(answer).get("host-name"))]])


def _osinfo(answer: object) -> str:
    found = _table(answer)
    keys = ("pretty-name", "name", "version", "kernel-release", "kernel-version", "machine")
    return table_text([(key, str(found[key])) for key in keys if key in found])


def _network(answer: object) -> str:
    rows = []
    for each in map(_table, _list(answer)):
        addresses = [
            f"{found.get('ip-address')}/{found.get('prefix')}"
            for found in map(_table, _list(each.get("ip-addresses")))
        ]
        hardware = str(each.get("hardware-address") or "")
        rows.append((str(each.get("name")), hardware, " ".join(addresses)))
    return table_text(rows)


def _filesystems(answer: object) -> str:
    rows = []
    for each in map(_table, _list(answer)):
        used, total = each.get("used-bytes"), each.get("total-bytes")
        size = ""
        if isinstance(used, int) and isinstance(total, int):
            size = f"{used / _GIB:.1f} of {total / _GIB:.1f} GiB used"
        rows.append(
            (str(each.get("mountpoint")), str(each.get("type")), str(each.get("name")), size)
        )
    return table_text(rows)


def _table(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}


def _list(value: object) -> Sequence[object]:
    return value if isinstance(value, list) else ()


_QUESTIONS: Final[Mapping[str, tuple[str, Callable[[object], str]]]] = {
    "ping": ("guest-ping", _nothing),
    "hostname": ("guest-get-host-name", _hostname),
    "osinfo": ("guest-get-osinfo", _osinfo),
    "network": ("guest-network-get-interfaces", _network),
    "filesystems": ("guest-get-fsinfo", _filesystems),
}
_ABOUT: Final = {
    "ping": "say nothing, and end well, if it answers",
    "hostname": "the guest's name",
    "osinfo": "which system runs in it",
    "network": "its interfaces and addresses",
    "filesystems": "what is mounted in it, and how full that is",
    "exec": "run a command, with its output and its exit status",
    "shutdown": "power it off; virtsupd leaves it off",
}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

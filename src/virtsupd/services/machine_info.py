"""`virtsupctl info NAME`: what a machine that runs is like."""

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import asdict

from virtsupd.core.machine import Rung
from virtsupd.machine.facts import Block, Forward, MachineFacts, facts_of
from virtsupd.machine.monitor_turn import monitor_turn
from virtsupd.machine.reached import rungs_reached
from virtsupd.services.action_program import USAGE, ActionParser, json_text, table_text, told

_MIB = 1 << 20


def main(words: Sequence[str]) -> int:
    """Tell it of the machine whose directory and monitor are named; return the exit code."""
    name, directory, path, *asked = words
    return told(f"look into {name}", lambda: _look(name, directory, path, asked), wrong_usage=USAGE)


def _look(name: str, directory: str, path: str, asked: Sequence[str]) -> str:
    parser = ActionParser(f"virtsupctl info {name}", "Tell what QEMU says of it.")
    parser.add_argument("--json", action="store_true", help="as JSON")
    options = parser.parse_args(asked)
    facts = asyncio.run(_facts(name, path))
    there = rungs_reached(directory)
    reached = [str(rung) for rung in Rung if rung in there]
    if options.json:
        return json_text({"name": name, **asdict(facts), "reached": reached})
    return table_text(rows(facts, reached))


async def _facts(name: str, path: str) -> MachineFacts:
    async with monitor_turn(name, path) as monitor:
        return await facts_of(monitor)


def rows(facts: MachineFacts, reached: Sequence[str]) -> list[tuple[str, str]]:
    """Return what is shown, each with its heading."""
    return [
        ("state", f"{facts.state}; reached {', '.join(reached) or 'nothing yet'}"),
        ("qemu", f"{facts.version}, {facts.accelerator}"),
        ("processors", str(facts.processors)),
        ("memory", f"{facts.memory_bytes // _MIB} MiB"),
        *(("disk", _block(block)) for block in facts.blocks),
        *(("port", _forward(forward)) for forward in facts.forwards),
        ("display", f"vnc {facts.vnc}" if facts.vnc is not None else "none"),
    ]


def _block(block: Block) -> str:
    kept = "nothing written is kept" if block.is_volatile else ""
    read_only = "read-only" if block.is_read_only else ""
    return ", ".join(
        part for part in (f"{block.device}: {block.file}", block.format, read_only, kept) if part
    )


def _forward(forward: Forward) -> str:
    return f"{forward.host}:{forward.port} leads to {forward.guest_port} ({forward.protocol})"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

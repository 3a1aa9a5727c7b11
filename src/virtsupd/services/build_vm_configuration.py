"""The action configuration of a build machine: what it is like.

A program of its own, which virtsupd runs: `python -m virtsupd.services.build_vm_configuration NAME CPU
COUNT MIB DATE [OPTION…]`.
"""

import sys
from collections.abc import Sequence
from functools import partial

from virtsupd.services.action_program import ActionParser, json_text, table_text, told


def _shown(facts: Sequence[str], words: Sequence[str]) -> str:
    name, cpu, count, mebibytes, date = facts
    parser = ActionParser(
        f"virtsupctl configuration {name}",
        "Show the build machine's processors and memory, and what its clock shows at each start.",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    if parser.parse_args(words).json:
        return json_text(
            {
                "cpu": cpu,
                "cpu_count": int(count),
                "memory_mib": int(mebibytes),
                "date": f"{date}Z",
            }
        )
    return table_text(
        [
            ("processors", f"{count}, {cpu}"),
            ("memory", f"{mebibytes} MiB"),
            ("date", f"{date.replace('T', ' ')} UTC"),
        ]
    )


def main(words: Sequence[str]) -> int:
    """Print it; return the exit code."""
    return told("tell what the machine is like", partial(_shown, words[:5], words[5:]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

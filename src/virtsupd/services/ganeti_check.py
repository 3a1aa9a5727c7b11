"""`virtsupctl check ganeti`: whether all nodes of the cluster have what has to be equal on all of them.

Run on the master. Each node is asked over SSH by Ganeti itself (`gnt-cluster command`), where its own
virtsupd answers with what `virtsupd.ganeti.facts` finds.
"""

import json
import os
import re
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from virtsupd.errors import VirtsupdError
from virtsupd.ganeti.facts import MISSING
from virtsupd.process.question import asked
from virtsupd.services.action_program import USAGE, ActionParser, json_text, told

Facts = Mapping[str, str]

_ABOUT: Final = (
    "Compare what has to be equal on all nodes of the cluster: what their names mean, OS providers and"
    " their variants, where disks may lie, and what virtsupd's own [ganeti] says. Run it on the master."
    " Ends with 1 if something differs."
)
_NODE: Final = re.compile(r"^-+\nnode: (\S+)\n(.*?)^return code = (\d+)$", re.MULTILINE | re.DOTALL)
"""One node in the output of `gnt-cluster command` (Ganeti 3.0)."""
_SECONDS: Final = 120.0


class CheckError(VirtsupdError):
    """The nodes could not be compared; the message says why."""

    code = "check"


def main(words: Sequence[str]) -> int:
    """Compare the nodes; `words` are the control socket and what was asked."""
    control, *asked_words = words
    found: list[str] = []
    code = told("check the nodes", lambda: _check(control, asked_words, found), wrong_usage=USAGE)
    return code or int(bool(found))


def _check(control: str, words: Sequence[str], found: list[str]) -> str:
    """Return what is said of the nodes, and note what differs."""
    parser = ActionParser("virtsupctl check ganeti", _ABOUT)
    parser.add_argument("--json", action="store_true", help="print the facts of all nodes as JSON")
    options = parser.parse_args(words)
    output = asked(("gnt-cluster", "command", _command(control)), timeout_seconds=_SECONDS)
    nodes, silent = by_node(output)
    found += [*differences(nodes), *silent]
    if options.json:
        return json_text(nodes)
    if found:
        return "\n".join(found)
    compared = len(next(iter(nodes.values())))
    return f"{', '.join(sorted(nodes))}: alike in all {compared} things that were compared"


def _command(control: str) -> str:
    """Return what each node runs: its virtsupctl, sought where this host has it, too."""
    own = shlex.quote(str(Path(sys.executable).parent))
    return f'PATH="$PATH":{own} virtsupctl --socket {shlex.quote(control)} facts ganeti'


def by_node(output: str) -> tuple[dict[str, Facts], list[str]]:
    """Return the facts of each node, and in words which nodes have none to tell, and why.

    Raises:
        CheckError: there is no node.
    """
    found: dict[str, Facts] = {}
    silent = []
    for name, text, code in _NODE.findall(output):
        lines = [line for line in text.splitlines() if line.strip()]
        facts = _facts(lines) if code == "0" else None
        if facts:
            found[name] = facts
        else:
            said = lines[-1] if lines else f"exit status {code}"
            silent.append(f"{name} does not tell, and is not compared: {said}")
    if not found and not silent:
        raise CheckError("Ganeti names no node")
    return found, silent


def _facts(lines: Sequence[str]) -> Facts | None:
    """Return what the last line says; a shell may have said something before."""
    try:
        found: Facts = json.loads(lines[-1])
    except (ValueError, IndexError):
        return None
    return found


def differences(nodes: Mapping[str, Facts]) -> Iterator[str]:
    """Yield a line for each fact that is not the same everywhere, with who has what."""
    for key in dict.fromkeys(key for found in nodes.values() for key in found):
        holders: dict[str, list[str]] = {}
        for name in sorted(nodes):
            holders.setdefault(nodes[name].get(key, MISSING), []).append(name)
        if len(holders) > 1:
            told_by = (f"{value} on {', '.join(names)}" for value, names in holders.items())
            yield f"{key}: {'; '.join(told_by)}"


if __name__ == "__main__":
    os.chdir("/")
    sys.exit(main(sys.argv[1:]))

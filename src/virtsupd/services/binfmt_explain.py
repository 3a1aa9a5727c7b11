"""The action explain of qemu-binfmt: which entry of binfmt_misc would run a program, or why none does.

A program of its own, which virtsupd runs: `python -m virtsupd.services.binfmt_explain FILE [OPTION…]
PROGRAM`, with the file of settings.
"""

import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path

from virtsupd.binfmt.entries import Instance
from virtsupd.binfmt.explaining import KERNEL, Explanation, Table, explain
from virtsupd.binfmt.programs import look_at
from virtsupd.binfmt.roots import Root
from virtsupd.binfmt.settings import Settings
from virtsupd.core.printing import printable
from virtsupd.process.settings_file import read_settings
from virtsupd.services.action_program import ActionParser, UsageError, json_text, told
from virtsupd.services.binfmt_table import state


def text(found: Explanation) -> str:
    """Return an explanation as lines for people."""
    return "\n".join(printable(line) for line in _lines(found))


def _lines(found: Explanation) -> Iterator[str]:
    yield f"{found.file}: {found.kind}"
    yield f"  {_how(found)}"
    for problem in found.problems:
        yield f"  but {problem}" if found.by else f"  {problem}"
    for note in found.notes:
        yield f"  note: {note}"
    others = [(name, is_on) for name, is_on in found.matching if name != found.by]
    if others:
        said = ", ".join(name if is_on else f"{name} (off)" for name, is_on in others)
        yield f"  entries that it also fits: {said}"
    if found.then is not None:
        yield from _lines(found.then)


def _how(found: Explanation) -> str:
    if not found.by:
        return "does not run"
    if found.by != KERNEL:
        return (
            f"is run by the entry {found.by}: {found.interpreter} (flags {found.flags or 'none'})"
        )
    if found.interpreter:
        return f"is run by the program that its first line names: {found.interpreter}"
    return "is run by the kernel itself: it is for the host's own processor"


def json_facts(found: Explanation) -> dict[str, object]:
    """Return an explanation for `--json`."""
    facts = asdict(found) | {"runs": found.runs}
    facts["matching"] = [{"entry": name, "is_enabled": is_on} for name, is_on in found.matching]
    facts["then"] = json_facts(found.then) if found.then is not None else None
    return facts


def _asked(words: Sequence[str]) -> str:
    file, *added = words
    parser = ActionParser(
        "virtsupctl explain qemu-binfmt",
        "Say which entry of binfmt_misc would run a program, or why none does.",
    )
    parser.add_argument("program", metavar="FILE", help="its absolute path")
    parser.add_argument(
        "--root",
        metavar="DIR",
        default="/",
        help="the root in which FILE would be executed: that of a chroot, or /proc/PID/root",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(added)
    for path in (options.program, options.root):
        if not path.startswith("/"):
            raise UsageError(
                f"{path!r} is no absolute path, and virtsupd runs in another directory than yours: "
                f'"$(realpath {path})"'
            )
    settings = read_settings(Path(file), Settings)
    table = Table(*state(Instance(Path(settings.directory))))
    with closing(Root(options.root)) as root:
        found = explain(look_at(options.program, root), root, table, settings)
    return json_text(json_facts(found)) if options.json else text(found)


def main(words: Sequence[str]) -> int:
    """Print the explanation; return the exit code."""
    return told("explain a program", lambda: _asked(words))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

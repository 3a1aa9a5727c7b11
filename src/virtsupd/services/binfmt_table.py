"""The action table of qemu-binfmt: all entries of binfmt_misc, in the order in which the kernel asks them.

A program of its own, which virtsupd runs: `python -m virtsupd.services.binfmt_table FILE [OPTION…]`,
with the file of settings.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from virtsupd.binfmt.descriptions import described
from virtsupd.binfmt.entries import BinfmtError, Entry, Instance
from virtsupd.binfmt.matching import hidden_by, platforms_taken
from virtsupd.binfmt.ownership import RecordFile
from virtsupd.binfmt.settings import Settings
from virtsupd.process.settings_file import read_settings
from virtsupd.services.action_program import ActionParser, json_text, table_text, told

OURS: Final = "virtsupd"
NOBODY_KNOWN: Final = "somebody else"
_MOST_NAMES: Final = 3
"""Of platforms, in a column; more of them are counted."""


@dataclass(frozen=True, slots=True)
class Row:
    """One entry, for people and programs."""

    name: str
    is_enabled: bool
    hidden_by: str | None
    """The entry that is asked before it and takes all its programs."""
    platforms: tuple[str, ...]
    """Whose programs it takes."""
    interpreter: str
    flags: str
    offset: int
    magic: str
    mask: str
    """Hexadecimal, as the magic."""
    extension: str
    by: str
    """Who entered it: "virtsupd", the file that describes it so, or "somebody else"."""
    unknown: str
    """What the kernel says of it that is not understood; "": nothing."""


def rows(
    entries: Sequence[Entry],
    owns: Callable[[Entry], bool],
    files: Mapping[str, tuple[tuple[str, str], ...]],
) -> Sequence[Row]:
    """Return the entries, which are in the kernel's order; `files` are those that describe entries."""
    return [
        Row(
            name=entry.name,
            is_enabled=entry.is_enabled,
            hidden_by=hider.name if (hider := hidden_by(entry, entries[:index])) else None,
            platforms=tuple(platforms_taken(entry)),
            interpreter=entry.interpreter,
            flags=entry.flags,
            offset=entry.offset,
            magic=entry.magic.hex(),
            mask=entry.mask.hex(),
            extension=entry.extension,
            by=OURS if owns(entry) else _described(entry, files),
            unknown=entry.unknown,
        )
        for index, entry in enumerate(entries)
    ]


def _described(entry: Entry, files: Mapping[str, tuple[tuple[str, str], ...]]) -> str:
    """Return the file that describes an entry, or that nobody known entered it."""
    known = files.get(entry.name, ())
    equal = (path for path, interpreter in known if interpreter == entry.interpreter)
    others = (f"{NOBODY_KNOWN}, not as {path} has it" for path, _ in known)
    return next(equal, next(others, NOBODY_KNOWN))


def table(found: Sequence[Row], directory: str, *, is_on: bool) -> str:
    """Return the entries as lines for people, the first one asked first."""
    lines = [] if is_on else [switched_off(directory)]
    if not found:
        return "\n".join([*lines, "binfmt_misc has no entries"])
    cells = [("NAME", "STATE", "PLATFORM", "FLAGS", "INTERPRETER", "BY")]
    cells += [
        (row.name, _state(row), _takes(row), row.flags or "-", row.interpreter, row.by)
        for row in found
    ]
    return "\n".join([*lines, table_text(cells)])


def switched_off(directory: str) -> str:
    """Return what to say of a table that is switched off as a whole."""
    return (
        "binfmt_misc is switched off as a whole, so no entry is used; "
        f"switch it on: echo 1 >{directory}/status"
    )


def _state(row: Row) -> str:
    if row.hidden_by is not None:
        return f"on, hidden by {row.hidden_by}"
    return "on" if row.is_enabled else "off"


def _takes(row: Row) -> str:
    if row.unknown:
        return f"unknown ({row.unknown})"
    if row.extension:
        return f"files named *.{row.extension}"
    if len(row.platforms) > _MOST_NAMES:
        return f"{len(row.platforms)} platforms"
    return ", ".join(row.platforms) or "-"


def _asked(words: Sequence[str]) -> str:
    file, *added = words
    parser = ActionParser(
        "virtsupctl table qemu-binfmt",
        "List all entries of binfmt_misc in the order in which the kernel asks them, and whose they are.",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(added)
    settings = read_settings(Path(file), Settings)
    instance = Instance(Path(settings.directory))
    is_on, entries = state(instance)
    record = RecordFile(Path(settings.record), instance.directory).read()
    found = rows(entries, record.owns, described())
    if options.json:
        return json_text({"is_on": is_on, "entries": [asdict(row) for row in found]})
    return table(found, settings.directory, is_on=is_on)


def state(instance: Instance) -> tuple[bool, Sequence[Entry]]:
    """Return whether the table is switched on, and its entries in the kernel's order.

    Raises:
        BinfmtError: it is not mounted.
        OSError: it may not be read.
    """
    try:
        return instance.is_on(), instance.entries()
    except FileNotFoundError as error:
        raise BinfmtError(
            f"binfmt_misc is not mounted at {instance.directory}: virtsupctl start qemu-binfmt"
        ) from error


def main(words: Sequence[str]) -> int:
    """Print the table; return the exit code."""
    return told("list the entries of binfmt_misc", lambda: _asked(words))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

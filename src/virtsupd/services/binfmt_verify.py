"""The action verify of qemu-binfmt, and its health check: a program of each platform is run.

A program of its own, which virtsupd runs: `python -m virtsupd.services.binfmt_verify FILE [PLATFORM…]
[OPTION…]`, with the file of settings.
"""

import re
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from virtsupd.binfmt.entries import Entry, Instance
from virtsupd.binfmt.matching import takes
from virtsupd.binfmt.ownership import RecordFile
from virtsupd.binfmt.platforms import QemuPlatform, UnknownPlatformError, lookup_qemu_platforms
from virtsupd.binfmt.proof import program
from virtsupd.binfmt.proving import prove
from virtsupd.binfmt.settings import Settings
from virtsupd.errors import VirtsupdError
from virtsupd.process.settings_file import read_settings
from virtsupd.services.action_program import (
    ActionParser,
    UsageError,
    json_text,
    table_text,
    told,
)

_SECONDS: Final = 10.0


class NotRunError(VirtsupdError):
    """Programs of some platforms do not run; the message says of which, and why."""

    code = "programs-not-run"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of one platform's program."""

    name: str
    is_ok: bool
    reason: str
    """Why it did not run; "" if it did."""
    interpreter: str | None
    """Of the entry that the kernel takes; None if there is none, or it may not be looked at."""


def verdicts(
    platforms: Sequence[QemuPlatform], reasons: Mapping[str, str], entries: Sequence[Entry]
) -> Sequence[Verdict]:
    """Return what came of them; the entries are in the order in which the kernel asks them."""
    return [
        Verdict(one.name, not reasons[one.name], reasons[one.name], _interpreter(one, entries))
        for one in platforms
    ]


def _interpreter(platform: QemuPlatform, entries: Iterable[Entry]) -> str | None:
    head = program(platform.name)
    taking = (entry for entry in entries if entry.is_enabled and takes(entry, head, ""))
    return next((entry.interpreter for entry in taking), None)


def table(found: Sequence[Verdict]) -> str:
    """Return a line for each platform."""
    rows = [(one.name, "ok" if one.is_ok else "FAILED", one.interpreter or "-") for one in found]
    return table_text([("PLATFORM", "STATE", "INTERPRETER"), *rows])


def complaint(found: Sequence[Verdict]) -> str:
    """Return in one line which do not run, those together that have the same reason; "" if all do."""
    names: dict[str, list[str]] = {}
    for one in found:
        if not one.is_ok:
            names.setdefault(one.reason, []).append(one.name)
    return "; ".join(f"{', '.join(some)}: {reason}" for reason, some in names.items())


def _asked(words: Sequence[str]) -> str:
    file, *added = words
    options = _parser().parse_args(added)
    settings = read_settings(Path(file), Settings)
    platforms = _platforms(options.platform, settings)
    root = None if options.root is None else Path(options.root)
    reasons = prove(platforms, seconds=_SECONDS, root=root, pid=options.pid)
    found = verdicts(platforms, reasons, _entries(settings, options.pid))
    failed = complaint(found)
    if options.json:
        return json_text({"is_ok": not failed, "platforms": [asdict(one) for one in found]})
    if failed:
        sys.stdout.write(f"{table(found)}\n")
        sys.stdout.flush()  # the complaint is to come last: it is what virtsupctl shows
        raise NotRunError(failed)
    return table(found) if found else "no platforms"


def _parser() -> ActionParser:
    parser = ActionParser(
        "virtsupctl verify qemu-binfmt",
        "Run a program of each platform, which the kernel gives to its interpreter. With --root or "
        "--pid it runs without any rights. It fails if a program does not run.",
    )
    parser.add_argument("platform", nargs="*", help="default: all that are not taken off")
    place = parser.add_mutually_exclusive_group()
    place.add_argument("--root", type=_directory, metavar="DIR", help="in this directory as root")
    place.add_argument(
        "--pid", type=_pid, help="where this process is, such as the first one of a container"
    )
    parser.add_argument(
        "--json", action="store_true", help="print JSON, and never fail: is_ok tells the outcome"
    )
    return parser


def _directory(text: str) -> str:
    """Return an absolute path: virtsupd's own working directory is nobody's."""
    if not text.startswith("/"):
        raise UsageError(f"--root {text}: has to begin with /")
    return text


def _pid(text: str) -> int:
    if not re.fullmatch("[1-9][0-9]{0,8}", text):
        raise UsageError(f"--pid {text}: is not the number of a process")
    return int(text)


def _platforms(names: Sequence[str], settings: Settings) -> Sequence[QemuPlatform]:
    if not names:
        off = _taken_off(settings)
        return [platform for platform in settings.known if platform.name not in off]
    try:
        return lookup_qemu_platforms(*names, bytes=settings.bytes)
    except UnknownPlatformError as error:
        raise UsageError(str(error)) from error


def _taken_off(settings: Settings) -> Collection[str]:
    """Return the platforms that an operator has taken off: that their programs do not run is meant."""
    try:
        return RecordFile(Path(settings.record), Path(settings.directory)).read().taken_off
    except OSError:  # no table, which the programs will tell
        return ()


def _entries(settings: Settings, pid: int | None) -> Sequence[Entry]:
    """Return the entries of the table that counts there, if it is the one that we see.

    What a container has at its path may be no table, and is not for root to read.
    """
    try:
        return Instance(Path(settings.directory)).entries() if pid is None else ()
    except OSError:
        return ()


def main(words: Sequence[str]) -> int:
    """Print what came of it; return the exit code."""
    return told("run programs of all platforms", lambda: _asked(words))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

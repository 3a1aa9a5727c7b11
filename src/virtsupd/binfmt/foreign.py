"""Entries of others in our way: whose they seem to be, and what an operator can do about them."""

from pathlib import Path
from typing import Final

from virtsupd.binfmt.descriptions import described
from virtsupd.binfmt.entries import Entry

_MASKING: Final = "/etc/binfmt.d"
"""A link to /dev/null in it switches off a file of its name that a package brings."""
_OF_PACKAGES: Final = "/usr/"
_BINFMT_SUPPORT: Final = "/var/lib/binfmts/"

_WITHOUT: Final = {
    "F": "only in containers and chroots that have its interpreter",
    "P": "with another argv[0]",
    "O": "not those that may only be executed",
    "C": "with set-user-ID bits to no effect",
}
"""How programs run by an entry that lacks a flag."""


def whose(entry: Entry, directory: Path, root: Path = Path("/")) -> str:
    """Say of an entry under our name what it is, who describes it so, and how to be rid of it.

    `directory` is where the table is; below `root` are the files of those who enter something.
    """
    state = "" if entry.is_enabled else ", switched off"
    flags = entry.flags or "none"
    what = f"interpreter {entry.interpreter or 'unknown'}, flags {flags}{state}"
    file = _file(entry, root)
    by = f"as {file} has it " if file else ""
    return (
        f"{entry.name} is registered by somebody else {by}({what}); "
        f"{_way(entry.name, file, directory)}, or take it out of platforms"
    )


def lost(entry: Entry, flags: str) -> str:
    """Say what does not work with an entry that lacks some of these flags; "" if it has them all."""
    return ", ".join(
        f"without {flag} {how}"
        for flag, how in _WITHOUT.items()
        if flag in flags and flag not in entry.flags
    )


def _file(entry: Entry, root: Path) -> str:
    """Return the file that describes the entry, if possible with its interpreter."""
    known = described(root).get(entry.name, ())
    equal = [path for path, interpreter in known if interpreter == entry.interpreter]
    return next(iter([*equal, *(path for path, _ in known)]), "")


def _way(name: str, file: str, directory: Path) -> str:
    removal = f"echo -1 >{directory / name}"
    if file.startswith(_BINFMT_SUPPORT):
        return f"update-binfmts --disable {name} removes it"
    if file.startswith(_OF_PACKAGES):
        return f"ln -s /dev/null {_MASKING}/{Path(file).name} and {removal} remove it"
    if file:
        return f"rm {file} and {removal} remove it"
    return f"{removal} removes it"

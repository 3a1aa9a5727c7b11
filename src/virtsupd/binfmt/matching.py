"""Which entry the kernel takes for a program.

It asks the entries that are switched on, the newest first, and takes the first that fits; all of them
before its own loaders of ELF files and of scripts. Measured with Linux 6.18: of two entries with the
same magic the one made later wins, and the directory has its files in just this order, also after an
entry was removed and made again. Times do not tell it: two entries may have the same.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from virtsupd.binfmt.entries import Entry
from virtsupd.binfmt.platforms import NAMES, fits, lookup_qemu_platforms

HEAD_BYTES: Final = 256
"""What the kernel reads of a program to know it (BINPRM_BUF_SIZE)."""


def takes(entry: Entry, head: bytes, path: str) -> bool:
    """Whether a program that begins like this, called by that path, is one for the entry.

    The entry may be switched off all the same. One that is not understood is taken to take none.
    """
    if entry.unknown:
        return False
    if entry.extension:
        _, dot, end = path.rpartition(".")
        return bool(dot) and end == entry.extension
    return fits(entry.magic, entry.mask, head[:HEAD_BYTES][entry.offset :])


def hidden_by(entry: Entry, earlier: Iterable[Entry]) -> Entry | None:
    """Return the entry that takes all programs of this one, among those that are asked before it."""
    if entry.extension or entry.unknown or not entry.is_enabled:
        return None
    return next((other for other in earlier if other.is_enabled and _covers(other, entry)), None)


def platforms_taken(entry: Entry) -> Sequence[str]:
    """Return the names of the platforms whose programs are for the entry."""
    if entry.extension:
        return ()
    return [
        platform.name
        for platform in lookup_qemu_platforms(*NAMES)
        if takes(entry, platform.magic, platform.name)
    ]


def _covers(one: Entry, other: Entry) -> bool:
    """Whether whatever begins as one of the other's programs does, is for the first."""
    if one.extension:
        return False
    wanted = bytes(one.offset) + one.mask
    compared = (bytes(other.offset) + other.mask).ljust(len(wanted), b"\0")
    if any(bits & ~others for bits, others in zip(wanted, compared, strict=False)):
        return False
    return takes(one, bytes(other.offset) + other.magic, "")

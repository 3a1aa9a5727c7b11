"""The kernel's table as files (binfmt_misc.rst): one file an entry, and two that are none.

What the kernel answers was measured with Linux 6.18. A registration is one write to `register`; an
entry is changed by a write to its file, and an opened file stays that of the entry it was opened
of, whatever is entered under the name later.
"""

import errno
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from virtsupd.errors import VirtsupdError

NOT_ENTRIES: Final = frozenset({"register", "status"})
_MOST_BYTES: Final = 1920
"""Of a whole line."""
_ENTRY_BYTES: Final = 4096
_SWITCH_ON, _REMOVE = b"1", b"-1"
_ENABLED: Final = "enabled"
_STATES: Final = frozenset({_ENABLED, "disabled"})
_WORDS: Final = frozenset({"interpreter", "flags:", "offset", "magic", "mask", "extension"})
"""With which lines of an entry begin."""
_DIGITS: Final = 10
"""Of the largest offset that a kernel could mean."""
_SHOWN: Final = 40
"""How much is shown of what is not understood."""
_Said = Mapping[str, Sequence[str]]

Identity = tuple[int, int]
"""Device and inode of an entry's file. The kernel gives no inode twice, and times change with a switch."""


class BinfmtError(VirtsupdError):
    """The kernel refuses what was asked of its table; that changed nothing."""

    code = "binfmt-refused"


class EntryExistsError(BinfmtError):
    """There is an entry of that name already."""


@dataclass(frozen=True, slots=True)
class Registration:
    """What is to be entered."""

    name: str
    magic: bytes
    mask: bytes
    interpreter: str
    flags: str

    @property
    def line(self) -> bytes:
        """What is written to `register`."""
        magic, mask = _escaped(self.magic), _escaped(self.mask)
        return f":{self.name}:M::{magic}:{mask}:{self.interpreter}:{self.flags}".encode()


@dataclass(frozen=True, slots=True)
class Entry:
    """What the kernel says of an entry."""

    name: str
    identity: Identity
    is_enabled: bool
    interpreter: str
    flags: str = ""
    """In the kernel's order."""
    offset: int = 0
    magic: bytes = b""
    mask: bytes = b""
    """As long as the magic."""
    extension: str = ""
    """Of an entry that goes by the end of a file's name, and then without magic."""
    unknown: str = ""
    """What its file says that is not understood; "": nothing. Whose programs it takes is not known then."""
    changed: int = 0
    """When it was made or last switched, in nanoseconds of the wall clock."""

    def is_as(self, wanted: Registration) -> bool:
        """Whether it is what that registration makes, switched on or not."""
        return (
            not self.unknown
            and self.offset == 0
            and (self.name, self.magic, self.mask) == (wanted.name, wanted.magic, wanted.mask)
            and self.interpreter == wanted.interpreter
            and set(self.flags) == effective(wanted.flags)
        )


def effective(flags: str) -> frozenset[str]:
    """Return the flags that an entry has in the end: C makes the kernel open the file too, which is O."""
    return frozenset(flags) | ({"O"} if "C" in flags else set())


class Instance:
    """One of the kernel's tables, where it is mounted."""

    def __init__(self, directory: Path) -> None:
        """Speak of the table that is mounted there; nothing is opened yet."""
        self.directory = directory

    def is_on(self) -> bool:
        """Return whether the table as a whole is switched on.

        Raises:
            OSError: it is not mounted, or not ours to look at.
        """
        return (self.directory / "status").read_bytes().strip() == b"enabled"

    def entries(self) -> Sequence[Entry]:
        """Return all entries, in the order in which the directory has them.

        Raises:
            OSError: the table is not mounted.
        """
        names = (name for name in os.listdir(self.directory) if name not in NOT_ENTRIES)  # noqa: PTH208 - order
        found = (self.entry(name) for name in names)
        return [entry for entry in found if entry is not None]

    def entry(self, name: str) -> Entry | None:
        """Return the entry of that name; None if there is none.

        Raises:
            OSError: it cannot be read.
        """
        try:
            descriptor = os.open(self.directory / name, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            return _read(name, descriptor)
        finally:
            os.close(descriptor)

    def register(self, wanted: Registration) -> None:
        """Enter it.

        Raises:
            EntryExistsError: the name is taken.
            BinfmtError: the kernel does not take it.
        """
        if len(wanted.line) > _MOST_BYTES:
            raise BinfmtError(
                f"{wanted.name}: longer than the {_MOST_BYTES} bytes that the kernel takes"
            )
        try:
            descriptor = os.open(self.directory / "register", os.O_WRONLY | os.O_CLOEXEC)
            try:
                os.write(descriptor, wanted.line)
            finally:
                os.close(descriptor)
        except FileExistsError as error:
            raise EntryExistsError(f"{wanted.name}: an entry of that name is there") from error
        except OSError as error:
            raise BinfmtError(f"{wanted.name}: {self._reason(error, wanted)}") from error

    def remove(self, entry: Entry) -> None:
        """Remove exactly this entry; another one of its name stays. It may be gone already.

        Raises:
            OSError: the kernel refuses it.
        """
        self._write(entry, _REMOVE)

    def switch_on(self, entry: Entry) -> None:
        """Switch exactly this entry on. It may be gone already.

        Raises:
            OSError: the kernel refuses it.
        """
        self._write(entry, _SWITCH_ON)

    def _write(self, entry: Entry, what: bytes) -> None:
        try:
            # Never creates: where the entry is gone, there is nothing to open.
            descriptor = os.open(self.directory / entry.name, os.O_WRONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return
        try:
            if _identity(descriptor) == entry.identity:
                os.write(descriptor, what)
        finally:
            os.close(descriptor)

    def _reason(self, error: OSError, wanted: Registration) -> str:
        reasons = {
            errno.ENOENT: f"{wanted.interpreter} is not there"
            if (self.directory / "register").exists()
            else f"binfmt_misc is not mounted at {self.directory}",
            errno.EINVAL: "the kernel does not understand the registration",
            errno.EACCES: "not permitted: this table belongs to another user namespace, or to root",
            errno.EPERM: "not permitted: this table belongs to another user namespace, or to root",
            errno.EROFS: f"{self.directory} is mounted read-only",
        }
        return reasons.get(error.errno or 0, (error.strerror or str(error)).lower())


def _read(name: str, descriptor: int) -> Entry:
    """Read an entry. Other kernels may say more or other things: that is no reason to fail.

    A line that begins with an unknown word is left out, since a kernel may write it for all entries.
    """
    text = os.read(descriptor, _ENTRY_BYTES).decode(errors="surrogateescape")
    first, *lines = text.split("\n")
    said = _said(lines)
    unknown = [] if first in _STATES else [f"state {first}"]
    unknown += [] if "interpreter" in said else ["no interpreter"]
    # An interpreter's name may have a line feed, and after it what looks like another line.
    unknown += [word for word, values in said.items() if word in _WORDS and len(values) > 1]
    magic = _bytes("magic", said, unknown)
    offset = _number("offset", said, unknown)
    return Entry(
        name=name,
        identity=_identity(descriptor),
        is_enabled=first == _ENABLED,
        interpreter=_value("interpreter", said),
        flags=_value("flags:", said),
        offset=offset,
        magic=magic,
        mask=_mask(magic, said, unknown),
        extension=_value("extension", said).removeprefix("."),
        unknown=", ".join(one[:_SHOWN] for one in unknown),
        changed=os.fstat(descriptor).st_ctime_ns,
    )


def _mask(magic: bytes, said: _Said, unknown: list[str]) -> bytes:
    mask = _bytes("mask", said, unknown) or b"\xff" * len(magic)
    if len(mask) != len(magic):
        unknown.append(f"mask of {len(mask)} bytes")
    return mask.ljust(len(magic), b"\0")[: len(magic)]


def _said(lines: Sequence[str]) -> _Said:
    """Return what the lines say, by their first words."""
    said: dict[str, list[str]] = {}
    for line in lines:
        word, _, rest = line.partition(" ")
        said.setdefault(word, []).append(rest)
    return said


def _value(word: str, said: _Said) -> str:
    return next(iter(said.get(word, ())), "")


def _bytes(word: str, said: _Said, unknown: list[str]) -> bytes:
    value = _value(word, said)
    try:
        return bytes.fromhex(value)
    except ValueError:
        unknown.append(f"{word} {value}")
        return b""


def _number(word: str, said: _Said, unknown: list[str]) -> int:
    value = _value(word, said) or "0"
    if value.isascii() and value.isdigit() and len(value) <= _DIGITS:
        return int(value)
    unknown.append(f"{word} {value}")
    return 0


def _identity(descriptor: int) -> Identity:
    status = os.fstat(descriptor)
    return status.st_dev, status.st_ino


def _escaped(data: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in data)

"""Names of services and provisions: what is allowed, and how they become file names."""

import re
from typing import NewType

Name = NewType("Name", str)
"""A checked name of a service or provision."""

RESERVED = frozenset({"root", "shepherd"})
"""Names that mean virtsupd itself on herd's wire."""

ALLOWED = "letters, digits and any of _ . @ : + / - (not first), at most 128 bytes"

_PATTERN = re.compile(r"[\w@:+][\w.@:+/-]*\Z")
_MAX_BYTES = 128
_MAX_FILE_BYTES = 200
"""Of a file name, which may have 255 and gets endings (".log.1.gz", a random one while written)."""


def parse_name(text: str) -> Name:
    """Return `text` as a name.

    Raises:
        ValueError: it is not one, or could not be a file's; the message says what is allowed.
    """
    if not _PATTERN.match(text) or len(text.encode()) > _MAX_BYTES:
        raise ValueError(f"{text!r} is not a service name: {ALLOWED}")
    if len(file_name(Name(text)).encode()) > _MAX_FILE_BYTES:
        raise ValueError(
            f"{text!r} is too long for files named after it: each / counts as three bytes, "
            f"and together there may be {_MAX_FILE_BYTES}"
        )
    if text in RESERVED:
        raise ValueError(f"{text!r} is not free: it means virtsupd itself")
    return Name(text)


def file_name(name: Name) -> str:
    """Return `name` as one path component; different names give different components."""
    return name.replace("%", "%25").replace("/", "%2F")

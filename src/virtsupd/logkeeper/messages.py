"""What the log keeper and virtsupd say to each other: one datagram, fields separated by NUL.

The keeper begins with `keeper PROTOCOL`; a virtsupd that speaks another one has it end and starts its
own. Then virtsupd asks, and the keeper answers with the same name in the second field:

| request | answer |
|---|---|
| open NAME FIFO FILE MAX_SIZE MAX_AGE KEEP COMPRESS ON_FULL MODE | trouble NAME TEXT (empty: none) |
| close NAME | closed NAME, once the FIFO is empty and nobody else holds it |
| drain NAME TOKEN | drained NAME TOKEN, once the FIFO is empty |
| end | none: all FIFOs are emptied and the keeper ends |

`trouble NAME TEXT` also comes unasked whenever it changes, and `warning TEXT` for what concerns
every log. Opening an open log again changes its settings, or nothing.
"""

import os

PROTOCOL = "2"
"""Changes with every change of a message."""
MAX_BYTES = 65536


def encode(*fields: str) -> bytes:
    """Return one datagram."""
    return os.fsencode("\0".join(fields))


def decode(datagram: bytes) -> list[str]:
    """Return the fields of one datagram."""
    return os.fsdecode(datagram).split("\0")


class Settings:
    """How one log is kept. Sizes are bytes, ages seconds; 0 means no limit."""

    __slots__ = ("compress", "fifo", "file", "keep", "max_age", "max_size", "mode", "on_full")

    def __init__(self, fields: list[str]) -> None:
        """Take the eight fields of an `open` request that follow the name.

        Raises:
            ValueError: they are not eight, or a number is none.
        """
        fifo, file, max_size, max_age, keep, compress, on_full, mode = fields
        self.fifo = fifo
        self.file = file
        self.max_size = int(max_size)
        self.max_age = float(max_age)
        self.keep = int(keep)
        self.compress = compress == "zstd"
        self.on_full = on_full
        self.mode = int(mode, 8)

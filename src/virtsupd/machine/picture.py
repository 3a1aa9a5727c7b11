"""Pictures of a display: those that QEMU writes, as PNG."""

import struct
import zlib
from typing import Final

from virtsupd.errors import VirtsupdError

_PNG: Final = b"\x89PNG\r\n\x1a\n"
_RGB, _BITS = 2, 8
_MOST_PIXELS: Final = 1 << 26
MOST_BYTES: Final = 4 * _MOST_PIXELS
"""No picture is longer."""


class PictureError(VirtsupdError):
    """What QEMU wrote is no picture."""

    code = "picture"


def as_png(picture: bytes) -> bytes:
    """Return a picture as PNG, which QEMU writes from version 7.1 on if it was built so, else PPM (P6).

    Raises:
        PictureError: it is neither, or not whole.
    """
    if picture.startswith(_PNG):
        return picture
    numbers = picture[:64].split(maxsplit=4)[1:4]
    if (
        not picture.startswith(b"P6")
        or len(numbers) != 3
        or not all(word.isdigit() for word in numbers)
    ):
        raise PictureError("QEMU has written something else than a picture")
    width, height, most = map(int, numbers)
    start = _start(picture)
    pixels = picture[start:]
    if most != 255 or not 0 < width * height <= _MOST_PIXELS or len(pixels) != 3 * width * height:
        raise PictureError("QEMU has not written a whole picture")
    rows = b"".join(
        b"\0" + pixels[3 * width * row : 3 * width * (row + 1)] for row in range(height)
    )
    header = struct.pack(">IIBBBBB", width, height, _BITS, _RGB, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return _PNG + b"".join(_chunk(name, content) for name, content in parts)


def _start(picture: bytes) -> int:
    """Return where the pixels of a PPM begin: behind its fourth word and one white space (ppm(5))."""
    position = 0
    for word in picture[:64].split(maxsplit=4)[:4]:
        position = picture.index(word, position) + len(word)
    return position + 1


def _chunk(name: bytes, content: bytes) -> bytes:
    return (
        struct.pack(">I", len(content))
        + name
        + content
        + struct.pack(">I", zlib.crc32(name + content))
    )

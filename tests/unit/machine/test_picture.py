import struct
import zlib

import pytest

from virtsupd.machine.picture import PictureError, as_png

PIXELS = bytes(range(18))


def unpacked(png: bytes) -> tuple[int, int, bytes]:
    """Return the size and the rows of a PNG, whose checksums have to be right."""
    parts, position = {}, 8
    while position < len(png):
        [size] = struct.unpack_from(">I", png, position)
        name, content = png[position + 4 : position + 8], png[position + 8 : position + 8 + size]
        assert struct.unpack_from(">I", png, position + 8 + size)[0] == zlib.crc32(name + content)
        parts[name] = content
        position += size + 12
    width, height = struct.unpack(">II", parts[b"IHDR"][:8])
    return width, height, zlib.decompress(parts[b"IDAT"])


def test_what_is_png_already_stays_as_it_is() -> None:
    picture = b"\x89PNG\r\n\x1a\n and more"
    assert as_png(picture) == picture


def test_a_plain_pixel_map_becomes_png() -> None:
    width, height, rows = unpacked(as_png(b"P6\n2 3\n255\n" + PIXELS))
    assert (width, height) == (2, 3)
    assert rows == b"".join(b"\0" + PIXELS[row : row + 6] for row in (0, 6, 12))


def test_pixels_that_look_like_white_space_are_pixels() -> None:
    pixels = b"\n" * 3
    assert unpacked(as_png(b"P6 1 1 255\n" + pixels)) == (1, 1, b"\0" + pixels)


@pytest.mark.parametrize(
    "picture",
    [
        b"",
        b"P6",
        b"P5 1 1 255\nabc",
        b"P6\n2 3\n255\n" + PIXELS[:-1],
        b"P6 0 0 255\n",
        b"P6 1 -1 255\nabc",
    ],
)
def test_what_is_no_whole_picture_is_refused(picture: bytes) -> None:
    with pytest.raises(PictureError):
        as_png(picture)

"""The end of a compressed log, found without the rest of it.

The log keeper compresses each mebibyte into a frame of its own. The lengths of frames are read from
their headers, and only the last ones are decompressed. Everything is bounded and done in steps of a
millisecond or two, because the file may be one that somebody made to cost us time or memory.
"""

import errno
import os
import sys
from collections import deque
from collections.abc import Iterator
from itertools import islice

import anyio.lowlevel

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_STEP_BYTES = 1 << 20
_READ_BYTES = 1 << 18
_LARGEST_FRAME_BYTES = 16 << 20
_MOST_COMPRESSED_BYTES = 256 << 20
_MOST_FRAMES = 65536
_FRAMES_IN_A_TURN = 1024
_WINDOW_LOG = 23
"""What decompression may remember: 8 MiB, as much as `zstd -19` asks for."""


async def end_of_compressed(descriptor: int, lines: int, room: int) -> bytes:
    """Return the end of what a compressed file holds, far enough back for `lines` lines.

    No more than about `room` bytes (and never the whole of a large file) are decompressed.

    Raises:
        OSError: it is damaged, no compressed file, or a part of it is too large.
    """
    try:
        return await _end(descriptor, lines, room)
    except (zstd.ZstdError, EOFError) as error:
        raise OSError(errno.EIO, f"damaged: {error}") from error


async def _end(descriptor: int, lines: int, room: int) -> bytes:
    parts: deque[bytes] = deque()
    ends = size = 0
    for start, length in reversed(await _frames(descriptor)):
        if ends > lines or size >= room:
            break
        parts.appendleft(await _decompressed(os.pread(descriptor, length, start)))
        ends += parts[0].count(b"\n")
        size += len(parts[0])
        await anyio.lowlevel.checkpoint()
    return b"".join(parts)


async def _frames(descriptor: int) -> list[tuple[int, int]]:
    """Return where each complete frame begins and how long it is.

    Raises:
        OSError: the file or a frame is too large to look through.
        zstd.ZstdError: something between the frames is none.
    """
    size = os.fstat(descriptor).st_size
    if size > _MOST_COMPRESSED_BYTES:
        raise _too_large()
    frames: list[tuple[int, int]] = []
    start, asked = 0, _READ_BYTES
    while start < size:
        block = os.pread(descriptor, asked, start)
        found = list(islice(_frame_lengths(block), _FRAMES_IN_A_TURN))
        for length in found:
            frames.append((start, length))
            start += length
        if not found:
            if len(block) < asked:
                break  # its end is missing: what precedes it is better than nothing
            if asked >= _LARGEST_FRAME_BYTES:
                raise _too_large()
            asked *= 2
        if len(frames) > _MOST_FRAMES:
            raise _too_large()
        await anyio.lowlevel.checkpoint()
    return frames


def _frame_lengths(block: bytes) -> Iterator[int]:
    """Yield the length of each frame that is in `block` as a whole."""
    rest = memoryview(block)
    while rest:
        try:
            length = zstd.get_frame_size(rest)
        except zstd.ZstdError:
            return
        yield length
        rest = rest[length:]


async def _decompressed(frame: bytes) -> bytes:
    """Return what a frame holds.

    Raises:
        OSError: it is more than 16 MiB.
        zstd.ZstdError: it is damaged.
        EOFError: it is cut short.
    """
    limits: dict[int, int] = {zstd.DecompressionParameter.window_log_max: _WINDOW_LOG}
    decompressor = zstd.ZstdDecompressor(options=limits)
    parts = [decompressor.decompress(frame, max_length=_STEP_BYTES)]
    while not decompressor.eof:
        if decompressor.needs_input:
            raise EOFError("a compressed file ends too early")
        if len(parts) * _STEP_BYTES >= _LARGEST_FRAME_BYTES:
            raise _too_large()
        await anyio.lowlevel.checkpoint()
        parts.append(decompressor.decompress(b"", max_length=_STEP_BYTES))
    return b"".join(parts)


def _too_large() -> OSError:
    return OSError(errno.EFBIG, os.strerror(errno.EFBIG))

"""Cutting input into pieces: a reader of a wire has to see the same whatever the cuts."""

from collections.abc import Callable, Iterator

Cut = Callable[[bytes], Iterator[bytes]]


def whole(data: bytes) -> Iterator[bytes]:
    """Give everything at once."""
    yield data


def byte_by_byte(data: bytes) -> Iterator[bytes]:
    """Give one byte at a time."""
    for index in range(len(data)):
        yield data[index : index + 1]


def trailing_bytes(data: bytes) -> Iterator[bytes]:
    """Give everything at once, and what nobody should look at after it."""
    yield data + b' \xff\xfe) "('


def in_two(at: int) -> Cut:
    """Give two pieces, cut at an offset."""

    def cut(data: bytes) -> Iterator[bytes]:
        yield data[:at]
        yield data[at:]

    return cut

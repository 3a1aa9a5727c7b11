"""The last lines of a log: over rotated and compressed files, bounded, and leaving others their turn."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest
from backports import zstd

from virtsupd.logkeeper import compress, rotation
from virtsupd.process import log_frames, log_tail
from virtsupd.process.log_tail import tail


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "a.log"


def compressed(log: Path, slot: int, text: str) -> None:
    Path(f"{log}.{slot}.zst").write_bytes(zstd.compress(text.encode()))


def compressed_by_the_keeper(log: Path, slot: int, text: bytes) -> None:
    plain = log.with_name("plain")
    plain.write_bytes(text)
    with plain.open("rb") as source, Path(f"{log}.{slot}.zst").open("wb") as target:
        assert compress.compress(source.fileno(), target.fileno(), "") == 0
    plain.unlink()


def numbered(count: int) -> list[str]:
    return [f"{number:08d} {'word ' * (number % 20)}" for number in range(count)]


def write(path: Path, content: str | bytes) -> None:
    path.write_bytes(content.encode() if isinstance(content, str) else content)


def rotate(log: Path) -> None:
    fd = rotation.open_log(str(log), 0o640)
    os.close(rotation.rotate(str(log), fd, keep=9, mode=0o640))
    os.close(fd)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (0, []),
        (1, ["six"]),
        (2, ["five", "six"]),
        (3, ["four", "five", "six"]),
        (5, ["two", "three", "four", "five", "six"]),
        (99, ["one", "two", "three", "four", "five", "six"]),
    ],
)
async def test_last_lines_reach_into_rotated_files(
    log: Path, lines: int, expected: list[str]
) -> None:
    write(log, "five\nsix\n")
    write(Path(f"{log}.1"), "three\nfour\n")
    compressed(log, 2, "one\ntwo\n")
    assert await tail(str(log), lines) == expected


async def test_an_unfinished_last_line_counts(log: Path) -> None:
    write(log, "one\ntw")
    assert await tail(str(log), 1) == ["tw"]


async def test_many_lines_are_found_over_block_boundaries(log: Path) -> None:
    lines = [f"{number:06d} {'x' * (number % 90)}" for number in range(10_000)]
    write(log, "\n".join(lines) + "\n")
    for count in (1, 999, 5000, 10_000, 20_000):
        assert await tail(str(log), count) == lines[-count:]


async def test_no_log_has_no_lines(log: Path) -> None:
    assert await tail(str(log), 5) == []


async def test_a_damaged_rotated_file_gives_what_can_be_read(log: Path) -> None:
    write(log, "two\n")
    write(Path(f"{log}.1.zst"), zstd.compress(b"one\n")[:-3])
    assert (await tail(str(log), 5))[-1] == "two"


async def test_bytes_that_are_no_text_are_shown_somehow(log: Path) -> None:
    write(log, b"\xff ok\n")
    assert await tail(str(log), 1) == ["\ufffd ok"]


async def test_lines_over_the_parts_of_a_compressed_file_are_whole(log: Path) -> None:
    lines = numbered(60_000)
    compressed_by_the_keeper(log, 1, "".join(f"{line}\n" for line in lines).encode())
    write(log, "last\n")
    for count in (1, 2, 10_000, 30_000, 70_000):
        assert await tail(str(log), count) == [*lines, "last"][-count:]


async def test_of_a_large_compressed_file_the_end_alone_is_decompressed(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compressed_by_the_keeper(log, 1, b"a line\n" * (1 << 20))
    frames: list[bytes] = []
    real = log_frames._decompressed

    async def counted(frame: bytes) -> bytes:
        frames.append(frame)
        return await real(frame)

    monkeypatch.setattr(log_frames, "_decompressed", counted)
    assert await tail(str(log), 20) == ["a line"] * 20
    assert len(frames) == 1


@pytest.mark.parametrize("kind", ["compressed", "plain", "endless line"])
async def test_others_get_their_turn_meanwhile(log: Path, kind: str) -> None:
    if kind == "compressed":
        compressed_by_the_keeper(log, 1, os.urandom(12 << 20))
    else:
        text = b"x" * 100 if kind == "endless line" else b"x" * 99_999 + b"\n"
        write(log, text * ((20 << 20) // len(text)))
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await anyio.lowlevel.checkpoint()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(others)
        lines = await tail(str(log), 10_000)
        tasks.cancel_scope.cancel()
    assert turns >= 12
    assert sum(map(len, lines)) <= (16 << 20) + 65536


@pytest.mark.parametrize(
    "content",
    [
        zstd.compress(b"one\n") + b"no frame",
        zstd.compress(b"x" * (17 << 20)),
        zstd.compress(b"x" * 4096)[:-3],
        b"no frame",
        b"no frame" * (1 << 22),
        b"",
    ],
    ids=["tail", "bomb", "cut", "other", "large", "empty"],
)
async def test_what_is_no_compressed_log_costs_its_own_lines_only(
    log: Path, content: bytes
) -> None:
    write(Path(f"{log}.1.zst"), content)
    write(log, "two\n")
    assert (await tail(str(log), 5))[-1:] == ["two"]


async def test_countless_frames_are_given_up(log: Path) -> None:
    write(Path(f"{log}.1.zst"), zstd.compress(b"") * 100_000)
    write(log, "two\n")
    assert await tail(str(log), 5) == ["two"]


async def test_a_compressed_file_too_large_to_look_through_is_left_out(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_frames, "_MOST_COMPRESSED_BYTES", 10)
    compressed(log, 1, "one\n" * 100)
    assert await tail(str(log), 5) == []


@pytest.mark.parametrize("slot", ["", ".1"])
@pytest.mark.parametrize("kind", ["link", "hard link", "fifo", "directory"])
async def test_what_is_no_log_is_not_read(log: Path, slot: str, kind: str) -> None:
    secret, place = log.with_name("secret"), Path(f"{log}{slot}")
    secret.write_text("root's own\n")
    make: dict[str, Callable[[], None]] = {
        "link": lambda: place.symlink_to(secret),
        "hard link": lambda: place.hardlink_to(secret),
        "fifo": lambda: os.mkfifo(place),
        "directory": place.mkdir,
    }
    make[kind]()
    assert await tail(str(log), 5) == []


async def test_rotations_meanwhile_neither_double_nor_mix_up_lines(log: Path) -> None:
    for number in range(4):
        write(log, f"{number}\n")
        rotate(log)
    write(log, "4\n")
    newest = os.open(log, os.O_RDONLY)
    rotated = log_tail._Rotated(str(log), newest)
    found = []
    while (older := rotated.next()) is not None:
        found.append(os.read(older[0], 10))
        write(log, "new\n")
        rotate(log)
    os.close(newest)
    assert found == [b"3\n", b"2\n", b"1\n", b"0\n"]


async def test_two_hundred_mebibytes_keep_nobody_waiting(log: Path) -> None:
    line = b"a line of a log, such as there are many\n"
    compressed_by_the_keeper(log, 1, line * ((200 << 20) // len(line)))
    begun = time.perf_counter()
    assert len(await tail(str(log), 20)) == 20
    assert time.perf_counter() - begun < 0.2

"""Reading log files: which there are, their newest lines, and lines as they are written."""

import os
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from pathlib import Path

import anyio
import pytest
from backports import zstd

from virtsupd.logkeeper import rotation
from virtsupd.process import log_files


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "a.log"


def compressed(log: Path, slot: int, text: str) -> None:
    Path(f"{log}.{slot}.zst").write_bytes(zstd.compress(text.encode()))


def append(log: Path, text: str) -> None:
    with log.open("a") as file:
        file.write(text)


def rotate(log: Path) -> None:
    fd = rotation.open_log(str(log), 0o640)
    os.close(rotation.rotate(str(log), fd, keep=5, mode=0o640))
    os.close(fd)


def test_files_are_listed_newest_first(log: Path) -> None:
    assert log_files.log_files(str(log)) == ()
    log.touch()
    Path(f"{log}.1").touch()
    compressed(log, 2, "")
    assert log_files.log_files(str(log)) == (str(log), f"{log}.1", f"{log}.2.zst")


def test_a_compressed_file_stands_for_its_plain_one(log: Path) -> None:
    Path(f"{log}.1").touch()
    compressed(log, 1, "")
    assert log_files.log_files(str(log)) == (f"{log}.1.zst",)


def test_recent_lines_are_the_last_of_the_file_in_use_newest_first(log: Path) -> None:
    log.write_text("one\ntwo\nthr")
    Path(f"{log}.1").write_text("older\n")
    os.utime(log, (1, 1234.5))
    assert log_files.recent_lines(str(log), 2) == (1234.5, ["thr", "two"])
    assert log_files.recent_lines(str(log), 9) == (1234.5, ["thr", "two", "one"])
    assert log_files.recent_lines(str(log), 0) == (1234.5, [])


def test_an_endless_line_is_recent_by_its_end(log: Path) -> None:
    log.write_text("x" * 1_000_000 + "end")
    _, (line,) = log_files.recent_lines(str(log), 10)
    assert line.endswith("end")
    assert len(line) < 20_000


@pytest.mark.parametrize("make", [lambda path: None, Path.mkdir, Path.touch])
def test_what_is_no_log_has_no_recent_lines(log: Path, make: Callable[[Path], None]) -> None:
    make(log)
    assert log_files.recent_lines(str(log), 10)[1] == []


async def batch(stream: AsyncIterator[list[str]], lines: int) -> list[str]:
    """Return so many lines of the stream, however they are batched."""
    found: list[str] = []
    with anyio.fail_after(5):
        while len(found) < lines:
            found += await anext(stream)
    return found


async def test_follow_begins_with_the_last_lines(log: Path) -> None:
    append(log, "one\ntwo\nthree\nunfini")
    async with aclosing(log_files.follow(str(log), 2)) as stream:
        assert await batch(stream, 2) == ["two", "three"]
        append(log, "shed\nfour\n")
        assert await batch(stream, 2) == ["unfinished", "four"]


async def test_follow_waits_for_a_log_that_is_not_there_yet(log: Path) -> None:
    async with (
        aclosing(log_files.follow(str(log), 10)) as stream,
        anyio.create_task_group() as tasks,
    ):
        found: list[str] = []

        async def read() -> None:
            found.extend(await batch(stream, 1))

        tasks.start_soon(read)
        await anyio.wait_all_tasks_blocked()
        append(log, "first\n")
    assert found == ["first"]


async def test_follow_goes_over_a_rotation_without_losing_or_doubling(log: Path) -> None:
    append(log, "one\n")
    async with aclosing(log_files.follow(str(log), 0)) as stream:
        append(log, "two\nthr")
        assert await batch(stream, 1) == ["two"]
        rotate(log)
        append(log, "ee\n")
        assert await batch(stream, 1) == ["three"]
        append(log, "four\n")
        rotate(log)
        append(log, "five\n")
        assert await batch(stream, 2) == ["four", "five"]


async def test_follow_goes_on_at_the_start_of_a_truncated_log(log: Path) -> None:
    append(log, "one\ntwo\n")
    async with aclosing(log_files.follow(str(log), 1)) as stream:
        assert await batch(stream, 1) == ["two"]
        os.truncate(log, 0)
        append(log, "new\n")
        assert await batch(stream, 1) == ["new"]


async def test_an_endless_line_comes_in_pieces(log: Path) -> None:
    append(log, "")
    async with aclosing(log_files.follow(str(log), 0)) as stream:
        append(log, "x" * 200_000 + "\nend\n")
        found = await batch(stream, 3)
        while found[-1] != "end":
            found += await batch(stream, 1)
    assert "".join(found[:-1]) == "x" * 200_000


@pytest.mark.parametrize("make", [Path.symlink_to, Path.hardlink_to])
async def test_nobody_is_led_to_another_file(log: Path, make: Callable[[Path, Path], None]) -> None:
    secret = log.with_name("secret")
    append(secret, "root's own\n")
    make(log, secret)
    assert log_files.recent_lines(str(log), 5) == (0.0, [])
    async with aclosing(log_files.follow(str(log), 5)) as stream:
        os.unlink(log)  # noqa: PTH108 - a test of one task
        append(log, "ours\n")
        assert await batch(stream, 1) == ["ours"]


async def test_following_begins_with_lines_that_lie_before_a_rotation(log: Path) -> None:
    append(log, "one\n")
    rotate(log)
    append(log, "two\n")
    async with aclosing(log_files.follow(str(log), 9)) as stream:
        rotate(log)
        append(log, "three\n")
        assert await batch(stream, 3) == ["one", "two", "three"]


def test_in_the_middle_of_a_rotation_nothing_is_shown_again(log: Path) -> None:
    append(log, "one\ntwo\nthr")
    reader = log_files._Reader(str(log))
    reader.skip_to_end()
    assert reader.read() == []
    os.truncate(log, len("one\ntwo\n"))
    assert [reader.read() for _ in range(3)] == [[], [], []]
    assert not reader.has_more

"""Lines of a log that grows, is cut, and is replaced."""

import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from virtsupd.logkeeper import rotation
from virtsupd.process.loglines import LogLines


def all_of(lines: LogLines) -> list[str]:
    found: list[str] = []
    while (batch := lines.read_some()) is not None:
        found += batch
    return found


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "web.log"


@pytest.fixture
def lines(log: Path) -> Iterator[LogLines]:
    made = LogLines(str(log), 4)
    yield made
    made.close()


def test_only_what_follows_the_offset_is_read(log: Path, lines: LogLines) -> None:
    log.write_text("old\nnew\nbegun")
    assert all_of(lines) == ["new"]
    with log.open("a") as file:
        file.write(" and ended\n")
    assert all_of(lines) == ["begun and ended"]


def test_a_file_may_appear_later(log: Path, lines: LogLines) -> None:
    assert all_of(lines) == []
    log.write_text("new\n")
    assert all_of(lines) == []  # shorter than the offset: what was there at the start
    with log.open("a") as file:
        file.write("newer\n")
    assert all_of(lines) == ["newer"]


def test_a_replaced_file_is_read_to_its_end_and_the_new_one_from_its_start(
    log: Path, lines: LogLines
) -> None:
    log.write_text("old\na\n")
    assert all_of(lines) == ["a"]
    with log.open("a") as file:
        file.write("b\n")
    log.rename(log.with_suffix(".1"))
    log.write_text("c\n")
    assert all_of(lines) == ["b", "c"]


def test_a_file_that_was_cut_is_read_from_its_start(log: Path, lines: LogLines) -> None:
    log.write_text("old\nlonger line\n")
    assert all_of(lines) == ["longer line"]
    log.write_text("new\n")
    assert all_of(lines) == ["new"]


def test_a_removed_file_is_nothing_new(log: Path, lines: LogLines) -> None:
    log.write_text("old\na\n")
    assert all_of(lines) == ["a"]
    log.unlink()
    assert all_of(lines) == []


def test_an_endless_line_comes_in_pieces(log: Path, lines: LogLines) -> None:
    log.write_text("old\n" + "x" * 200_000 + "\nend\n")
    found = all_of(lines)
    assert "".join(found[:-1]) == "x" * 200_000
    assert found[-1] == "end"
    assert max(map(len, found)) <= 131072


def test_bytes_that_are_no_text_are_replaced(log: Path, lines: LogLines) -> None:
    log.write_bytes(b"old\n\xff!\n")
    assert all_of(lines) == ["\ufffd!"]


def append(log: Path, text: str) -> None:
    with log.open("a") as file:
        file.write(text)


def rotate(log: Path) -> None:
    fd = rotation.open_log(str(log), 0o640)
    os.close(rotation.rotate(str(log), fd, keep=5, mode=0o640))
    os.close(fd)


def test_a_line_that_a_rotation_moves_is_read_once(log: Path, lines: LogLines) -> None:
    log.write_text("old\na\nunfini")
    assert all_of(lines) == ["a"]
    rotate(log)
    append(log, "shed\nb\n")
    assert all_of(lines) == ["unfinished", "b"]


def test_a_line_cut_by_somebody_elses_rotation_is_whole(log: Path, lines: LogLines) -> None:
    log.write_text("old\na\nunfini")
    assert all_of(lines) == ["a"]
    log.rename(log.with_suffix(".1"))
    log.write_text("shed\nb\n")
    assert all_of(lines) == ["unfinished", "b"]


def test_in_the_middle_of_a_rotation_nothing_is_read_again(log: Path, lines: LogLines) -> None:
    log.write_text("old\na\nunfini")
    assert all_of(lines) == ["a"]
    os.truncate(log, len("old\na\n"))
    assert all_of(lines) == []
    log.rename(log.with_suffix(".1"))
    log.write_text("unfinished\n")
    assert all_of(lines) == ["unfinished"]


def test_what_was_on_its_way_before_the_offset_is_passed_over(log: Path) -> None:
    log.write_text("old\n")
    with closing(LogLines(str(log), 15)) as lines:
        assert all_of(lines) == []
        append(log, "last")
        assert all_of(lines) == []
        append(log, " words\nnew\n")
        assert all_of(lines) == ["new"]


def test_what_was_on_its_way_is_passed_over_in_the_next_file_too(log: Path) -> None:
    log.write_text("old\n")
    with closing(LogLines(str(log), 15)) as lines:
        assert all_of(lines) == []
        append(log, "last")
        rotate(log)
        append(log, " words\nnew\n")
        assert all_of(lines) == ["new"]


def test_an_offset_far_beyond_the_end_was_another_files(log: Path) -> None:
    log.write_text("new\n")
    with closing(LogLines(str(log), 5 << 20)) as lines:
        assert all_of(lines) == ["new"]

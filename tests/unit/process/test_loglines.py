"""Lines of a log that grows, is cut, and is replaced."""

from collections.abc import Iterator
from pathlib import Path

import pytest

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

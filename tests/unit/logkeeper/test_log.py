"""One log: bytes from a FIFO to the end of a file, whatever becomes of the file."""

import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.outputs import small_disk

from virtsupd.logkeeper import log as log_module
from virtsupd.logkeeper.log import Log
from virtsupd.logkeeper.messages import Settings


class Bench:
    """A log with the writing end of its FIFO."""

    def __init__(self, directory: Path, file: Path | None = None) -> None:
        self.file = file or directory / "log" / "a.log"
        self.fifo = directory / "fifo"
        os.mkfifo(self.fifo)
        self.log = Log("a", self.settings())
        self.writer = os.open(self.fifo, os.O_RDWR | os.O_NONBLOCK)

    def settings(self, **changed: str) -> Settings:
        fields = {
            "fifo": str(self.fifo),
            "file": str(self.file),
            "max_size": "0",
            "max_age": "0",
            "keep": "5",
            "compress": "none",
            "on_full": "drop",
            "mode": "640",
        }
        return Settings(list((fields | changed).values()))

    def write(self, text: str) -> None:
        os.write(self.writer, text.encode())
        self.log.move()

    def rotated(self, slot: int = 1) -> Path:
        return Path(f"{self.file}.{slot}")

    def close(self) -> None:
        self.log.close()
        os.close(self.writer)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.close()


def test_output_is_appended(bench: Bench) -> None:
    bench.file.parent.mkdir()
    bench.file.write_text("earlier\n")
    bench.write("one\n")
    bench.write("two\n")
    assert bench.file.read_text() == "earlier\none\ntwo\n"


def test_an_empty_fifo_has_no_more(bench: Bench) -> None:
    assert not bench.log.move()
    assert bench.file.exists()


def test_drain_empties_the_fifo(bench: Bench) -> None:
    bench.log.change(bench.settings(max_size="1000"))
    os.write(bench.writer, b"0123456789abcde\n" * 16384)
    bench.log.drain()
    total = sum(path.stat().st_size for path in bench.file.parent.iterdir())
    assert total == 16 * 16384


def test_a_full_file_is_rotated_at_a_line_end(bench: Bench) -> None:
    bench.log.change(bench.settings(max_size="10"))
    bench.write("0123456789")
    assert not bench.rotated().exists()
    bench.write("x\n")
    assert bench.rotated().read_text() == "0123456789x\n"
    bench.write("next\n")
    assert bench.file.read_text() == "next\n"


def test_a_file_without_line_ends_waits_for_64_kib_only(bench: Bench) -> None:
    bench.log.change(bench.settings(max_size="10"))
    bench.write("line\n" + "x" * 65536)
    bench.write("y" * 10)
    assert bench.rotated().exists()
    assert bench.rotated().stat().st_size + bench.file.stat().st_size == 65551


def test_a_rotation_asks_for_compression(bench: Bench) -> None:
    bench.log.change(bench.settings(max_size="1", compress="zstd"))
    bench.log.wants_compression = False
    bench.write("x\n")
    assert bench.log.wants_compression


def test_rotating_an_empty_log_does_nothing(bench: Bench) -> None:
    bench.log.rotate()
    assert not bench.rotated().exists()


def test_a_log_that_cannot_be_rotated_is_written_on(bench: Bench) -> None:
    bench.log.change(bench.settings(max_size="1", keep="1"))
    bench.file.parent.mkdir()
    bench.rotated().mkdir()
    bench.write("one\n")
    bench.write("two\n")
    assert bench.file.read_text() == "one\ntwo\n"
    assert bench.log.rotation_trouble.startswith("log cannot be rotated: ")
    assert not bench.log.trouble
    bench.rotated().rmdir()
    bench.log.change(bench.settings(max_size="1", keep="1"))
    bench.write("three\n")
    assert bench.rotated().read_text() == "one\ntwo\nthree\n"
    assert not bench.log.rotation_trouble


def test_an_old_file_is_rotated_when_its_time_has_come(bench: Bench) -> None:
    bench.log.change(bench.settings(max_age="100"))
    assert bench.log.deadline() == 0.0
    bench.write("x\n")
    left = bench.log.deadline() - time.monotonic()
    assert 99 < left <= 100
    bench.log.on_time()
    assert not bench.rotated().exists()
    bench.log.change(bench.settings(max_age="0.000001"))
    bench.log.on_time()
    assert bench.rotated().read_text() == "x\n"
    assert bench.log.deadline() == 0.0


def test_age_outlives_the_keeper(bench: Bench) -> None:
    bench.file.parent.mkdir()
    bench.file.write_text("old\n")
    os.setxattr(bench.file, log_module._BEGUN, repr(time.time() - 90).encode())
    bench.log.change(bench.settings(max_age="100"))
    bench.write("new\n")
    assert bench.log.deadline() - time.monotonic() < 11


def test_without_attributes_age_counts_from_the_last_change(bench: Bench) -> None:
    bench.file.parent.mkdir()
    bench.file.write_text("old\n")
    os.utime(bench.file, (time.time() - 90, time.time() - 90))
    bench.log.change(bench.settings(max_age="100"))
    bench.log.move()
    assert bench.log.deadline() - time.monotonic() < 11


@pytest.mark.parametrize("what", ["removed", "renamed"])
def test_a_log_that_went_is_made_anew(bench: Bench, what: str) -> None:
    bench.write("one\n")
    if what == "removed":
        bench.file.unlink()
    else:
        bench.file.rename(bench.file.with_name("kept"))
    bench.write("two\n")
    assert bench.file.read_text() == "two\n"


def test_a_truncated_log_goes_on_at_its_start(bench: Bench) -> None:
    bench.write("one\n")
    os.truncate(bench.file, 0)
    bench.write("two\n")
    assert bench.file.read_text() == "two\n"


def test_a_changed_file_gets_what_comes_from_now_on(bench: Bench, tmp_path: Path) -> None:
    bench.write("one\n")
    bench.log.change(bench.settings(file=str(tmp_path / "other")))
    bench.write("two\n")
    assert bench.file.read_text() == "one\n"
    assert (tmp_path / "other").read_text() == "two\n"


def test_a_changed_mode_holds_at_once(bench: Bench) -> None:
    bench.write("one\n")
    bench.log.change(bench.settings(mode="600"))
    assert bench.file.stat().st_mode & 0o777 == 0o600


def test_a_symbolic_link_is_refused_and_output_counted(bench: Bench, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_text("safe\n")
    bench.file.parent.mkdir()
    bench.file.symlink_to(target)
    bench.write("12345\n")
    assert bench.log.trouble == (
        f"log cannot be written: {bench.file}: a symbolic link, which is not followed"
        "; at least 6 bytes of output dropped"
    )
    assert target.read_text() == "safe\n"


def test_the_gap_is_said_when_it_can_be_written_again(bench: Bench) -> None:
    bench.file.mkdir(parents=True)
    bench.write("12345\n")
    bench.write("12\n")
    bench.file.rmdir()
    bench.log.change(bench.settings())
    bench.write("after\n")
    gap = "[virtsupd: 9 bytes of output dropped: not a regular file]\n"
    assert bench.file.read_text() == gap + "after\n"
    assert bench.log.trouble == ""


def test_of_what_is_dropped_each_doubling_is_told(bench: Bench) -> None:
    bench.file.mkdir(parents=True)
    told = []
    for text in ("1\n", "2\n", "3\n", "x" * 5000 + "\n"):
        bench.write(text)
        told.append(bench.log.trouble.rpartition(" at least ")[2])
        bench.log._retry_at = 0.0
    said = "2 bytes of output dropped", "4 bytes of output dropped", "4 KiB of output dropped"
    assert told == [said[0], said[1], said[1], said[2]]


def test_block_leaves_output_in_the_fifo(bench: Bench) -> None:
    bench.file.mkdir(parents=True)
    bench.log.change(bench.settings(on_full="block"))
    bench.write("12345\n")
    assert [bench.log.is_blocked, bench.log.move()] == [True, False]
    assert bench.log.deadline() - time.monotonic() < 1.1
    bench.file.rmdir()
    bench.log.change(bench.settings(on_full="block"))
    bench.log.on_time()
    assert bench.file.read_text() == "12345\n"
    assert bench.log.trouble == ""


def test_a_full_disk_costs_a_counted_gap_on_a_line_of_its_own(tmp_path: Path) -> None:
    line = "x" * 99 + "\n"
    with small_disk(tmp_path / "disk", kib=256) as disk:
        bench = Bench(tmp_path, disk / "a.log")
        (disk / "ballast").write_bytes(bytes(200 * 1024))
        bench.write(line * 1000)
        bench.log.drain()
        trouble = bench.log.trouble
        (disk / "ballast").unlink()
        bench.log.change(bench.settings())
        bench.write(line)
        written = bench.file.read_text()
        bench.close()
    cause = f"log cannot be written: {bench.file}: No space left on device"
    assert re.fullmatch(f"{cause}; at least [0-9]+ KiB of output dropped", trouble)
    gap = r"\[virtsupd: ([0-9]+) bytes of output dropped: No space left on device\]\n"
    before, dropped, after = re.split(gap, written)
    assert after == line
    assert len(before) + int(dropped) == pytest.approx(100_000, abs=1)


def test_a_fifo_made_anew_is_noticed(bench: Bench) -> None:
    seen = [bench.log.has_same_fifo]
    bench.fifo.unlink()
    seen.append(bench.log.has_same_fifo)
    os.mkfifo(bench.fifo)
    seen.append(bench.log.has_same_fifo)
    assert seen == [True, False, False]


def test_a_gap_after_an_unfinished_line_begins_a_new_one(bench: Bench) -> None:
    bench.write("unfini")
    bench.log._fail(OSError(28, "No space left on device"))
    bench.write("shed\n")
    bench.log.change(bench.settings())
    bench.log.move()
    gap = "[virtsupd: 5 bytes of output dropped: No space left on device]\n"
    assert bench.file.read_text() == "unfini\n" + gap


def test_a_moved_batch_that_was_full_promises_more(bench: Bench) -> None:
    os.write(bench.writer, bytes(1 << 20))
    seen = [bench.log.move(), bench.log.has_more, bench.log.move(), bench.log.has_more]
    assert seen == [True, True, False, False]


def test_on_kernels_whose_splice_is_silent_the_file_is_touched_not_changed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_module, "_SPLICE_IS_SILENT", True)
    bench.write("one\n")
    bench.write("two\n")
    assert bench.file.read_text() == "one\ntwo\n"

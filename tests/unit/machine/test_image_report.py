"""What is said while an image is fetched."""

import os
import pty
import socket
from pathlib import Path

import pytest

from virtsupd.machine.image_report import Report, mib
from virtsupd.process.own_notify import OwnNotify

MIB = 1 << 20


class Clock:
    """Moved by hand."""

    def __init__(self) -> None:
        self.at = 100.0

    def __call__(self) -> float:
        return self.at


def test_progress_says_how_much_how_fast_and_how_long_yet(tmp_path: Path) -> None:
    path = str(tmp_path / "notify")
    clock, lines = Clock(), list[str]()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as heard:
        heard.bind(path)
        report = Report(OwnNotify(path), log=lines.append, clock=clock)
        report.begin()
        report.progress("fetching", 0, 340 * MIB)
        assert heard.recv(1000) == b"STATUS=fetching 0 B of 340 MiB"
        clock.at += 0.2
        report.progress("fetching", 5 * MIB, 340 * MIB)
        with pytest.raises(BlockingIOError):
            heard.recv(1000)
        clock.at += 9.8
        report.progress("fetching", 120 * MIB, 340 * MIB)
        assert heard.recv(1000) == b"STATUS=fetching 120 of 340 MiB, 12 MiB/s, 18 s left"
        assert lines == []
        clock.at += 20
        report.progress("fetching", 130 * MIB, None)
        assert heard.recv(1000) == b"STATUS=fetching 130 MiB, 512 KiB/s"
        assert lines == ["fetching 130 MiB, 512 KiB/s"]


@pytest.mark.parametrize(
    ("count", "text"),
    [(5, "5 B"), (2048, "2 KiB"), (1.5 * MIB, "1.5 MiB"), (5000 * MIB, "5000 MiB")],
)
def test_bytes_are_said_in_words(count: float, text: str) -> None:
    assert mib(count) == text


def test_a_terminal_has_one_line_that_changes() -> None:
    ours, theirs = pty.openpty()
    lines: list[str] = []
    try:
        report = Report(OwnNotify(""), log=lines.append, terminal=theirs)
        report.status("half\x1b[2J done")
        assert os.read(ours, 100) == b"\rhalf\\x1b[2J done\x1b[K"
        report.log("done")
        assert os.read(ours, 100) == b"\r\x1b[K"
        assert lines == ["done"]
    finally:
        os.close(ours)
        os.close(theirs)


def test_a_line_of_the_log_has_its_time_and_needs_no_reader(
    capfd: pytest.CaptureFixture[str],
) -> None:
    Report(OwnNotify("")).log("fetching\nmore")
    assert capfd.readouterr().out[19:] == " fetching\\nmore\n"

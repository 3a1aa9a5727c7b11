"""The daemon's own log: lines for people, or JSON; never in the way of what is supervised."""

import fcntl
import json
import os
import pty
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

import pytest
import structlog

from virtsupd.cli.daemon_log import DroppingLog, configure_log


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """Undo the configuration of the log after each test."""
    before = structlog.get_config()
    yield
    structlog.reset_defaults()
    structlog.configure(**before)


@contextmanager
def what_is_opened_is_closed() -> Iterator[None]:
    """Close what the log opened for itself: in the daemon it lives as long as the process."""
    before = open_descriptors()
    yield
    for made in open_descriptors() - before:
        os.close(made)


def open_descriptors() -> set[int]:
    return {number for number in range(256) if Path(f"/proc/self/fd/{number}").is_symlink()}


@contextmanager
def reader_and_writer(*, is_terminal: bool = False) -> Iterator[tuple[int, int]]:
    ends = pty.openpty() if is_terminal else os.pipe()
    try:
        with what_is_opened_is_closed():
            yield ends
    finally:
        for descriptor in ends:
            with suppress(OSError):
                os.close(descriptor)


def read_all(descriptor: int) -> bytes:
    os.set_blocking(descriptor, False)
    found = b""
    with suppress(BlockingIOError):
        while piece := os.read(descriptor, 65536):
            found += piece
    return found


@pytest.mark.parametrize(
    ("log_format", "is_terminal", "is_json"),
    [
        ("auto", False, True),
        ("auto", True, False),
        ("json", True, True),
        ("console", False, False),
    ],
)
def test_the_format_follows_the_setting_and_the_terminal(
    log_format: Literal["auto", "console", "json"], *, is_terminal: bool, is_json: bool
) -> None:
    with reader_and_writer(is_terminal=is_terminal) as (reader, writer):
        configure_log(log_format, writer)
        structlog.get_logger().info("service running", service="web", pid=7)
        structlog.get_logger().debug("not shown")
        [line] = read_all(reader).decode().splitlines()
    if is_json:
        entry = json.loads(line)
        assert (entry["event"], entry["service"], entry["pid"]) == ("service running", "web", 7)
        assert entry["timestamp"].endswith("Z")
    else:
        assert "service running" in line
        assert "web" in line
    assert ("\x1b[" in line) == (is_terminal and not is_json)


@pytest.mark.parametrize("log_format", ["console", "json"])
def test_a_defect_comes_with_its_traceback(log_format: Literal["console", "json"]) -> None:
    with reader_and_writer() as (reader, writer):
        configure_log(log_format, writer)
        try:
            int("unforeseen")
        except ValueError:
            structlog.get_logger().exception("task failed")
        text = read_all(reader).decode()
    assert "ValueError: invalid literal" in text
    assert "Traceback" in text


def test_a_pipe_that_nobody_empties_keeps_nobody_waiting() -> None:
    with reader_and_writer() as (reader, writer):
        fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
        stream = DroppingLog(writer)
        lines = [f"line {number}\n" for number in range(2000)]
        for line in lines:
            stream.write(line)
        first = read_all(reader).decode()
        stream.write("later\n")
        stream.write("last\n")
        then = read_all(reader).decode()
        text = first + then
        assert os.get_blocking(writer), "others who write to it are not disturbed"
    kept = first.count("\n")
    assert 0 < kept < len(lines)
    assert "lines of this log were dropped]\n" in then
    assert text.endswith("last\n")
    whole = {line for line in text.splitlines(keepends=True) if line.startswith("line ")}
    assert whole <= set(lines), "no line is cut"


@pytest.mark.parametrize("is_terminal", [False, True])
def test_a_reader_that_is_gone_ends_nothing(*, is_terminal: bool) -> None:
    with reader_and_writer(is_terminal=is_terminal) as (reader, writer):
        stream = DroppingLog(writer)
        os.close(reader)
        stream.write("nobody reads this\n")
        stream.flush()


def test_a_full_disk_ends_nothing() -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    with what_is_opened_is_closed():
        stream = DroppingLog(full)
        for _ in range(3):
            stream.write("no room\n")
    os.close(full)

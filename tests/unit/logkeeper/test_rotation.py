"""Rotation: names, numbers, and that a kill between any two system calls loses no byte."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from virtsupd.logkeeper import rotation

CHANGING = ("rename", "unlink", "ftruncate", "write")
count: list[Any] = []


def kill_at(call: int, action: Callable[[], None], *, after: bool) -> None:
    """Run `action` in a child that gets KILL before or after its `call`-th change of a file."""
    child = os.fork()
    if not child:
        try:
            for name in CHANGING:
                setattr(os, name, deadly(getattr(os, name), call, after=after))
            action()
        finally:
            os._exit(0)
    os.waitpid(child, 0)


def deadly(real: Callable[..., Any], call: int, *, after: bool) -> Callable[..., Any]:
    """Return `real`, made to kill the process at the `call`-th call of all that were made so."""

    def wrapper(*arguments: Any, **options: Any) -> Any:
        count.append(real)
        if len(count) == call and not after:
            os.kill(os.getpid(), signal.SIGKILL)
        result = real(*arguments, **options)
        if len(count) == call:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    return wrapper


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def contents(log: Path) -> str:
    """Return all that was logged, oldest first."""
    slots = [int(path.name.rsplit(".", 1)[1]) for path in log.parent.glob(log.name + ".[0-9]*")]
    rotated = [Path(f"{log}.{slot}").read_text() for slot in sorted(slots, reverse=True)]
    return "".join(rotated) + log.read_text()


def opened(log: Path) -> int:
    return rotation.open_log(str(log), 0o640)


def rotate(log: Path, *, keep: int = 5) -> None:
    fd = opened(log)
    try:
        os.close(rotation.rotate(str(log), fd, keep=keep, mode=0o640))
    finally:
        os.close(fd)


def test_the_newest_rotated_file_is_number_one(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    for text in ("one\n", "two\n", "three\n"):
        log.write_text(text)
        rotate(log)
    assert Path(f"{log}.1").read_text() == "three\n"
    assert Path(f"{log}.3").read_text() == "one\n"
    assert log.read_text() == ""


def test_no_more_than_keep_are_kept(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    for text in "abcdef":
        log.write_text(text + "\n")
        rotate(log, keep=2)
    assert names(tmp_path) == ["a.log", "a.log.1", "a.log.2"]
    assert Path(f"{log}.2").read_text() == "e\n"


def test_keep_zero_keeps_none(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.write_text("old\nunfini")
    rotate(log, keep=0)
    assert names(tmp_path) == ["a.log"]
    assert log.read_text() == "unfini"


def test_an_unfinished_line_goes_to_the_new_file(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.write_text("whole\nunfini")
    rotate(log)
    assert Path(f"{log}.1").read_text() == "whole\n"
    assert log.read_text() == "unfini"


def test_an_endless_line_is_cut(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.write_text("x" * (rotation.MAX_LINE_BYTES + 1))
    rotate(log)
    assert log.read_text() == ""


def test_a_gap_in_the_numbers_is_filled(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.write_text("new\n")
    Path(f"{log}.2").write_text("old\n")
    rotate(log)
    assert Path(f"{log}.1").read_text() == "new\n"
    assert Path(f"{log}.2").read_text() == "old\n"


def test_of_two_forms_the_compressed_one_goes_on(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.write_text("new\n")
    Path(f"{log}.1").write_text("same\n")
    Path(f"{log}.1.zst").write_text("same, compressed\n")
    rotate(log)
    assert names(tmp_path) == ["a.log", "a.log.1", "a.log.2.zst"]


def test_files_beyond_keep_are_trimmed(tmp_path: Path) -> None:
    for name in ("a.log", "a.log.1.zst", "a.log.2", "a.log.3.zst"):
        (tmp_path / name).touch()
    rotation.trim(str(tmp_path / "a.log"), 1)
    assert names(tmp_path) == ["a.log", "a.log.1.zst"]


def test_what_cannot_be_trimmed_is_left(tmp_path: Path) -> None:
    (tmp_path / "a.log.2").mkdir()
    rotation.trim(str(tmp_path / "a.log"), 1)
    assert names(tmp_path) == ["a.log.2"]


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("text", ["whole\n", "whole\nunfini"])
@pytest.mark.parametrize("call", range(1, 12))
def test_a_kill_at_any_change_loses_and_doubles_nothing(
    tmp_path: Path, call: int, text: str, after: bool
) -> None:
    log = tmp_path / "a.log"
    Path(f"{log}.1").write_text("older\n")
    Path(f"{log}.2").write_text("oldest\n")
    log.write_text(text)
    kill_at(call, lambda: rotate(log), after=after)
    os.close(opened(log))
    assert contents(log) == "oldest\nolder\n" + text
    rotate(log)
    assert contents(log) == "oldest\nolder\n" + text


@pytest.mark.parametrize("kind", ["link", "directory", "fifo"])
def test_what_is_no_regular_file_is_refused(tmp_path: Path, kind: str) -> None:
    log = tmp_path / "a.log"
    target = tmp_path / "target"
    target.write_text("safe\n")
    make: dict[str, Callable[[], None]] = {
        "link": lambda: log.symlink_to(target),
        "directory": log.mkdir,
        "fifo": lambda: os.mkfifo(log),
    }
    make[kind]()
    with pytest.raises(OSError, match="symbolic link" if kind == "link" else "regular file"):
        opened(log)
    assert target.read_text() == "safe\n"


def test_directories_and_modes_are_as_said(tmp_path: Path) -> None:
    log = tmp_path / "new" / "deep" / "a.log"
    before = os.umask(0)
    try:
        os.close(opened(log))
    finally:
        os.umask(before)
    assert log.stat().st_mode & 0o777 == 0o640
    assert log.parent.stat().st_mode & 0o777 == 0o750


def test_a_rotation_that_fails_leaves_the_log_as_it_was(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.write_text("whole\nunfini")
    (tmp_path / "a.log.1").mkdir()
    (tmp_path / "a.log.1" / "full").touch()
    with pytest.raises(OSError, match=r"a\.log"):
        rotate(log, keep=1)
    assert log.read_text() == "whole\nunfini"
    assert names(tmp_path) == ["a.log", "a.log.1"]


@pytest.mark.timeout(5)
@pytest.mark.parametrize("text", ["whole\n", "whole\nunfini"])
@pytest.mark.parametrize("kind", ["fifo", "link", "hard link"])
def test_what_somebody_put_at_the_next_logs_name_stops_nothing(
    tmp_path: Path, kind: str, text: str
) -> None:
    log, fresh, secret = tmp_path / "a.log", tmp_path / "a.log.virtsupd-new", tmp_path / "secret"
    secret.write_text("root's own\n")
    make: dict[str, Callable[[], None]] = {
        "fifo": lambda: os.mkfifo(fresh),
        "link": lambda: fresh.symlink_to(secret),
        "hard link": lambda: fresh.hardlink_to(secret),
    }
    make[kind]()
    log.write_text(text)
    os.close(opened(log))
    assert log.read_text() == text
    make[kind]()
    rotate(log)
    assert contents(log) == text
    log.unlink()
    make[kind]()
    os.close(opened(log))
    assert log.read_text() == ""
    assert secret.read_text() == "root's own\n"
    assert not fresh.exists()


def test_a_hard_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "shadow").write_text("safe\n")
    (tmp_path / "a.log").hardlink_to(tmp_path / "shadow")
    with pytest.raises(OSError, match="hard links"):
        opened(tmp_path / "a.log")

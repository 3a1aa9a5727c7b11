"""What a pid file names, if anybody."""

import os
from pathlib import Path

import pytest

from virtsupd.process.pidfile import is_alive, owned_pid, read_pid

NOBODY = 2**22 + 1


@pytest.mark.parametrize(
    ("content", "pid"),
    [
        ("123\n", 123),
        ("  123 extra", 123),
        ("", None),
        ("\n", None),
        ("web\n", None),
        ("-5", None),
        ("0", None),
        ("9" * 100, int("9" * 64)),
    ],
)
def test_the_number_at_the_beginning_counts(tmp_path: Path, content: str, pid: int | None) -> None:
    (tmp_path / "pid").write_text(content)
    assert read_pid(str(tmp_path / "pid")) == pid


def test_what_is_no_file_names_nobody(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    assert read_pid(str(tmp_path / "fifo")) is None
    assert read_pid(str(tmp_path)) is None
    assert read_pid(str(tmp_path / "none")) is None


def test_only_a_living_process_that_is_owned_counts(tmp_path: Path) -> None:
    path = tmp_path / "pid"
    path.write_text(str(os.getpid()))
    assert owned_pid(str(path), lambda pid: True) == os.getpid()
    assert owned_pid(str(path), lambda pid: False) is None
    path.write_text(str(NOBODY))
    assert owned_pid(str(path), lambda pid: True) is None
    assert not is_alive(NOBODY)

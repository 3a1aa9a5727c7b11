"""Reading what may lie in a directory that others can write; tests/unit/logkeeper has the refusals."""

import os
from pathlib import Path

import pytest

from virtsupd.process.regular import open_regular


def test_a_file_with_one_name_is_opened_to_read(tmp_path: Path) -> None:
    file = tmp_path / "a.log"
    file.write_text("ours\n")
    descriptor = open_regular(str(file))
    assert os.read(descriptor, 10) == b"ours\n"
    assert not os.get_inheritable(descriptor)
    os.close(descriptor)


def test_a_file_with_two_names_is_not(tmp_path: Path) -> None:
    file = tmp_path / "a.log"
    file.touch()
    (tmp_path / "other").hardlink_to(file)
    with pytest.raises(OSError, match="not a regular file with one name"):
        open_regular(str(file))

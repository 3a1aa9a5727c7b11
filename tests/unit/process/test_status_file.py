"""The file that says how a process ended, and what is not believed of it."""

import os
import stat
from pathlib import Path

import pytest

from virtsupd.core.exits import ExitStatus
from virtsupd.process.status_file import open_status, read_status, take_statuses


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "web"


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (b"exited 000\n", ExitStatus(code=0)),
        (b"exited 143\n", ExitStatus(code=143)),
        (b"killed 015\n", ExitStatus(signal=15)),
        (b"dumped 011\n", ExitStatus(signal=11, dumped_core=True)),
    ],
)
def test_a_status_is_read_as_it_was_written(path: Path, line: bytes, status: ExitStatus) -> None:
    descriptor = open_status(path)
    os.pwrite(descriptor, line, 0)
    os.close(descriptor)
    assert read_status(path) == status


@pytest.mark.parametrize(
    "content",
    [b"", b"exited 00", b"exited 003", b"exited 0 3\n", b"       003\n", b"exited 003\nmore"],
)
def test_what_was_not_written_to_the_end_is_no_status(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    assert read_status(path) is None


def test_without_a_file_there_is_no_status(path: Path) -> None:
    assert read_status(path) is None


def test_a_file_is_private_closed_to_programs_and_of_full_size_at_once(path: Path) -> None:
    descriptor = open_status(path)
    found = os.fstat(descriptor)
    assert not os.get_inheritable(descriptor)
    os.close(descriptor)
    assert stat.S_IMODE(found.st_mode) == 0o600
    assert found.st_size == len(b"exited 000\n")
    assert read_status(path) is None


def test_an_earlier_start_cannot_speak_for_a_later_one(path: Path) -> None:
    earlier = open_status(path)
    os.pwrite(earlier, b"exited 000\n", 0)
    later = open_status(path)
    assert read_status(path) is None
    os.pwrite(earlier, b"exited 001\n", 0)
    os.pwrite(later, b"exited 002\n", 0)
    os.close(earlier)
    os.close(later)
    assert read_status(path) == ExitStatus(code=2)


def test_a_link_in_its_place_is_replaced(path: Path, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("mine")
    path.symlink_to(precious)
    os.close(open_status(path))
    assert precious.read_text() == "mine"
    assert not path.is_symlink()


def test_where_no_file_can_be_made_that_is_said(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        open_status(tmp_path / "gone" / "web")


def test_statuses_go_with_their_names(tmp_path: Path) -> None:
    for name in ("kept", "gone", "old", "older", "heir"):
        (tmp_path / name).write_text(name)
    take_statuses(tmp_path, {"old": "new", "older": "heir"}, {"kept", "new", "heir", "fresh"})
    found = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert found == {"kept": "kept", "new": "old", "heir": "heir"}
    take_statuses(tmp_path / "missing", {}, ())

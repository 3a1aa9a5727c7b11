"""Files, links and directories that are put where they belong: whole, and never through a link."""

import os
from pathlib import Path

import pytest

from virtsupd.ganeti.things import (
    DIRECTORY,
    directory_thing,
    file_thing,
    fingerprint_at,
    has_rights,
    link_thing,
    put,
    remove,
    rename,
    sweep,
)
from virtsupd.process.files import UnsafeDirectoryError

FILE = file_thing(b"new", mode=0o755)


def names(path: Path) -> list[str]:
    return sorted(one.name for one in path.iterdir())


@pytest.mark.parametrize("thing", [FILE, link_thing("/target"), directory_thing()])
def test_what_was_put_is_told_from_everything_else(tmp_path: Path, thing: object) -> None:
    assert fingerprint_at(tmp_path / "x") is None
    put(tmp_path / "x", thing, is_new=True)  # type: ignore[arg-type]  # a Thing
    assert fingerprint_at(tmp_path / "x") == thing.fingerprint  # type: ignore[attr-defined]
    assert names(tmp_path) == ["x"]


def test_the_mode_is_as_said_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o777)
    try:
        put(tmp_path / "x", FILE, is_new=True)
        put(tmp_path / "d", directory_thing(), is_new=True)
    finally:
        os.umask(before)
    assert has_rights(tmp_path / "x", FILE)
    assert (tmp_path / "d").stat().st_mode & 0o777 == 0o755
    assert not has_rights(tmp_path / "x", file_thing(b"new", mode=0o644))


def test_what_has_appeared_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("theirs")
    with pytest.raises(FileExistsError):
        put(tmp_path / "x", FILE, is_new=True)
    assert (tmp_path / "x").read_text() == "theirs"
    assert names(tmp_path) == ["x"]


def test_a_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "x").symlink_to(tmp_path / "target")
    put(tmp_path / "x", FILE, is_new=False)
    assert names(tmp_path) == ["x"]
    assert (tmp_path / "x").read_bytes() == b"new"


def test_a_directory_that_others_can_write_to_is_not_written_to(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    for change in (
        lambda: put(tmp_path / "x", FILE, is_new=True),
        lambda: remove(tmp_path / "x"),
        lambda: sweep(tmp_path / "x"),
    ):
        with pytest.raises(UnsafeDirectoryError):
            change()
    assert names(tmp_path) == []


def test_what_a_killed_call_left_is_swept_up(tmp_path: Path) -> None:
    (tmp_path / ".x.virtsupd-new").write_text("half")
    (tmp_path / ".y").write_text("theirs")
    sweep(tmp_path / "x")
    assert names(tmp_path) == [".y"]
    sweep(tmp_path / "none/x")


def test_a_directory_in_which_something_is_stays(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d/theirs").write_text("")
    assert not remove(tmp_path / "d")
    (tmp_path / "d/theirs").unlink()
    assert remove(tmp_path / "d")
    assert names(tmp_path) == []


def test_a_name_may_be_changed_and_a_fifo_is_something_special(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a")
    rename(tmp_path / "a", tmp_path / "b")
    os.mkfifo(tmp_path / "f")
    assert names(tmp_path) == ["b", "f"]
    assert fingerprint_at(tmp_path / "f") == "special"
    assert fingerprint_at(tmp_path) == DIRECTORY

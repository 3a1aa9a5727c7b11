"""Files of which there are all or none."""

import fcntl
import os
import subprocess
from pathlib import Path

import pytest
from tests.support.outputs import small_disk

from virtsupd.process.files import UnsafeDirectoryError
from virtsupd.process.new_files import LeftBehindError, new_files


def content_of(tree: Path) -> dict[str, int]:
    """Return every path below a directory with its mode."""
    return {str(p.relative_to(tree)): p.lstat().st_mode & 0o7777 for p in tree.rglob("*")}


def make(*paths: Path, content: bytes = b"new") -> None:
    with new_files() as made:
        for path in paths:
            made.add_directory(path.parent, mode=0o755)
            made.add(path, content, mode=0o644)


def test_all_are_there_with_their_modes_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o777)
    try:
        with new_files() as made:
            made.add_directory(tmp_path / "a/private", mode=0o700)
            made.add(tmp_path / "a/private/key", b"secret", mode=0o600)
            made.add_directory(tmp_path / "a", mode=0o700)
            made.add(tmp_path / "a/cert", b"known", mode=0o644)
    finally:
        os.umask(before)
    modes = {"a": 0o755, "a/private": 0o700, "a/private/key": 0o600, "a/cert": 0o644}
    assert content_of(tmp_path) == modes
    assert (tmp_path / "a/private/key").read_bytes() == b"secret"


def test_a_file_that_is_there_stays_and_nothing_is_made_beside_it(tmp_path: Path) -> None:
    (tmp_path / "b").write_text("old")
    before = content_of(tmp_path)
    with pytest.raises(FileExistsError, match=str(tmp_path / "b")):
        make(tmp_path / "new/sub/a", tmp_path / "b")
    assert content_of(tmp_path) == before
    assert (tmp_path / "b").read_text() == "old"


def test_a_link_to_nowhere_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "here/file").symlink_to(tmp_path / "target")
    with pytest.raises(FileExistsError):
        make(tmp_path / "here/file")
    assert not (tmp_path / "target").exists()


def test_a_full_disk_leaves_nothing(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", kib=64) as disk:
        with pytest.raises(OSError, match="No space left") as caught:
            make(disk / "new/a", disk / "new/b", content=b"x" * 40_000)
        assert caught.value.filename == str(disk / "new/b")
        assert not (disk / "new").exists()


def test_what_took_the_place_of_a_file_meanwhile_is_not_removed(tmp_path: Path) -> None:
    def make_and_fail() -> None:
        with new_files() as made:
            made.add_directory(tmp_path / "new", mode=0o755)
            made.add(tmp_path / "new/a", b"ours", mode=0o644)
            (tmp_path / "theirs").write_text("theirs")
            (tmp_path / "theirs").rename(tmp_path / "new/a")
            raise KeyError

    with pytest.raises(KeyError):
        make_and_fail()
    assert (tmp_path / "new/a").read_text() == "theirs"


def test_what_could_not_be_removed_is_named(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", kib=64) as disk:
        disk.chmod(0o755)

        def make_and_fail() -> None:
            with new_files() as made:
                made.add_directory(disk, mode=0o755)
                made.add(disk / "a", b"ours", mode=0o644)
                subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
                raise ValueError("over")

        with pytest.raises(LeftBehindError, match=f"^over; left behind: {disk / 'a'}$"):
            make_and_fail()


def test_a_directory_that_others_can_write_to_is_refused(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    (tmp_path / "link").symlink_to(tmp_path)
    for name in ("open", "link"):
        with pytest.raises(UnsafeDirectoryError), new_files() as made:
            made.add_directory(tmp_path / name, mode=0o755)


def test_work_goes_on_in_the_directory_that_was_opened(tmp_path: Path) -> None:
    with new_files() as made:
        made.add_directory(tmp_path / "new", mode=0o755)
        (tmp_path / "new").rename(tmp_path / "old")
        (tmp_path / "elsewhere").mkdir()
        (tmp_path / "new").symlink_to(tmp_path / "elsewhere")
        made.add(tmp_path / "new/a", b"a", mode=0o644)
    assert list((tmp_path / "elsewhere").iterdir()) == []
    assert (tmp_path / "old/a").read_bytes() == b"a"


def test_two_that_make_the_same_files_take_turns(tmp_path: Path) -> None:
    place = tmp_path / "new"
    with new_files() as first:
        first.add_directory(place, mode=0o700)
        first.wait_for_turn(place)
        with pytest.raises(BlockingIOError):
            held(place)
        first.add(place / "file", b"first", mode=0o600)
    held(place)


def test_who_waited_for_a_directory_that_is_gone_makes_nothing_in_another(tmp_path: Path) -> None:
    place = tmp_path / "new"
    with new_files() as made:
        made.add_directory(place, mode=0o700)
        place.rename(tmp_path / "old")
        place.mkdir(mode=0o755)
        with pytest.raises(FileNotFoundError, match="was removed meanwhile"):
            made.wait_for_turn(place)


def held(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        os.close(descriptor)

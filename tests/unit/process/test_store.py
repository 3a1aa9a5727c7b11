"""Small files by name: the old one or the new one, whenever the writer ends, and none half written."""

from pathlib import Path

import pytest
from tests.support.outputs import fill, small_disk

from virtsupd.process.files import BLOCK_BYTES
from virtsupd.process.store import DirectoryStore


def test_what_was_written_is_read_by_the_next(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path / "records")
    assert store.names() == []
    with pytest.raises(FileNotFoundError):
        store.read("web")
    store.remove("web")
    store.write("web", b"one")
    store.write("app", b"two")
    following = DirectoryStore(tmp_path / "records")
    assert following.names() == ["app", "web"]
    assert following.read("web").strip() == b"one"
    following.remove("web")
    assert store.names() == ["app"]


def test_nobody_else_can_read_it(tmp_path: Path) -> None:
    directory = tmp_path / "a/records"
    store = DirectoryStore(directory)
    for name, size in (("short", 1), ("long", BLOCK_BYTES + 1)):
        store.write(name, b"x" * size)
        assert (directory / name).stat().st_mode & 0o777 == 0o600
    assert directory.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("first", [1, BLOCK_BYTES, BLOCK_BYTES + 1, 3 * BLOCK_BYTES])
@pytest.mark.parametrize("second", [1, BLOCK_BYTES, BLOCK_BYTES + 1, 3 * BLOCK_BYTES])
def test_a_file_may_grow_and_shrink(tmp_path: Path, first: int, second: int) -> None:
    store = DirectoryStore(tmp_path)
    store.write("web", b"1" * first)
    store.write("web", b"2" * second)
    assert store.read("web").rstrip() == b"2" * second


def test_a_reader_of_a_long_file_that_becomes_short_sees_no_mixture(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    store.write("web", b"1" * (BLOCK_BYTES + 1))
    with (tmp_path / "web").open("rb") as reader:
        store.write("web", b"2")
        assert reader.read() == b"1" * (BLOCK_BYTES + 1)


def test_what_a_killed_writer_left_is_removed_and_is_no_file(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    store.write("web", b"one")
    (tmp_path / ".web.0123abcd").write_bytes(b"half of it")
    assert store.names() == ["web"]
    assert [path.name for path in tmp_path.iterdir()] == ["web"]


def test_on_a_full_disk_the_old_content_stays(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", kib=32) as disk:
        store = DirectoryStore(disk)
        store.write("web", b"old")
        fill(disk)
        store.write("web", b"new")
        assert store.read("web").rstrip() == b"new", "one block is overwritten in place"
        for name in ("web", "app"):
            with pytest.raises(OSError, match="No space"):
                store.write(name, b"x" * (2 * BLOCK_BYTES))
        assert store.names() == ["filler", "web"]
        assert store.read("web").rstrip() == b"new"


def test_an_empty_directory_is_discarded_and_made_again(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path / "records")
    store.write("web", b"one")
    store.discard()
    assert store.names() == ["web"]
    store.remove("web")
    store.discard()
    assert not (tmp_path / "records").exists()
    store.discard()
    store.write("web", b"again")
    assert store.names() == ["web"]

"""Files and directories that root writes."""

import os
import socket
from pathlib import Path

import pytest
from tests.support.outputs import fill, read_only, small_disk

from virtsupd.process.files import (
    BLOCK_BYTES,
    UnsafeDirectoryError,
    demand_own,
    make_directory,
    no_directory,
    try_append,
    try_file,
    write_atomically,
    write_block,
)


@pytest.mark.parametrize("is_lasting", [True, False])
def test_a_file_has_its_content_and_mode(tmp_path: Path, *, is_lasting: bool) -> None:
    path = tmp_path / "file"
    for content, mode in ((b"one", 0o644), (b"", 0o600), (b"x" * 3_000_000, 0o640)):
        write_atomically(path, content, mode=mode, is_lasting=is_lasting)
        assert path.read_bytes() == content
        assert path.stat().st_mode & 0o7777 == mode
    assert list(tmp_path.iterdir()) == [path]


def test_the_umask_has_no_say(tmp_path: Path) -> None:
    before = os.umask(0o777)
    try:
        write_atomically(tmp_path / "file", b"x", mode=0o644)
        make_directory(tmp_path / "a/b", mode=0o711)
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o644
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "a/b").stat().st_mode & 0o777 == 0o711


def test_a_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_text("precious")
    (tmp_path / "link").symlink_to(target)
    write_atomically(tmp_path / "link", b"new", mode=0o600)
    assert target.read_text() == "precious"
    assert not (tmp_path / "link").is_symlink()


def test_a_reader_sees_the_old_file_or_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"old", mode=0o600)
    with path.open() as reader:
        write_atomically(path, b"new", mode=0o600)
        assert reader.read() == "old"


def test_a_failure_leaves_no_temporary_file(tmp_path: Path) -> None:
    path = tmp_path / "directory"
    path.mkdir()
    (path / "full").touch()
    with pytest.raises(IsADirectoryError):
        write_atomically(path, b"x", mode=0o600)
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(FileNotFoundError):
        write_atomically(tmp_path / "missing/file", b"x", mode=0o600)


def test_an_existing_directory_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "directory"
    path.mkdir(mode=0o700)
    assert not make_directory(path, mode=0o755)
    assert make_directory(path / "below", mode=0o755)
    assert path.stat().st_mode & 0o777 == 0o700


def test_a_file_in_the_place_of_a_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FileExistsError):
        make_directory(tmp_path / "file", mode=0o755)
    with pytest.raises(OSError, match=r"Not a directory|File exists"):
        make_directory(tmp_path / "file/below", mode=0o755)


@pytest.mark.parametrize(
    ("mode", "group", "is_safe"),
    [
        (0o755, 0, True),
        (0o775, 0, True),
        (0o775, 65534, False),
        (0o757, 0, False),
        (0o1777, 0, False),
    ],
)
def test_a_directory_that_others_can_write_to_is_refused(
    tmp_path: Path, mode: int, group: int, *, is_safe: bool
) -> None:
    path = tmp_path / "run dir"
    path.mkdir()
    path.chmod(mode)
    os.chown(path, -1, group)
    if is_safe:
        demand_own(path)
        return
    with pytest.raises(UnsafeDirectoryError) as refused:
        demand_own(path)
    assert str(refused.value) == (
        f"cannot use the directory {path}: others can write to it (mode {mode:04o}); "
        f"name another one, or: chmod go-w '{path}'"
    )


def test_somebody_elses_directory_and_a_link_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "run"
    path.mkdir()
    (tmp_path / "link").symlink_to(path)
    with pytest.raises(UnsafeDirectoryError, match=f"is a symbolic link; name {path} instead"):
        demand_own(tmp_path / "link")
    os.chown(path, 65534, -1)
    with pytest.raises(UnsafeDirectoryError, match=r"belongs to uid 65534; .* chown 0 "):
        demand_own(path)
    with pytest.raises(FileNotFoundError):
        demand_own(tmp_path / "missing")


def test_a_block_is_made_and_overwritten_in_place(tmp_path: Path) -> None:
    path = tmp_path / "record"
    write_block(str(path), b"a long first content")
    made = path.stat()
    write_block(str(path), b"short")
    assert path.read_bytes() == b"short".ljust(BLOCK_BYTES)
    assert (path.stat().st_ino, path.stat().st_mode & 0o777) == (made.st_ino, 0o600)


def test_what_was_longer_than_a_block_is_cut_to_it(tmp_path: Path) -> None:
    path = tmp_path / "record"
    path.write_bytes(b"x" * (3 * BLOCK_BYTES))
    write_block(str(path), b"short")
    assert path.read_bytes() == b"short".ljust(BLOCK_BYTES)


def test_a_content_longer_than_a_block_is_refused_before_anything_changes(tmp_path: Path) -> None:
    path = tmp_path / "record"
    write_block(str(path), b"old")
    with pytest.raises(ValueError, match="do not fit"):
        write_block(str(path), b"x" * (BLOCK_BYTES + 1))
    assert path.read_bytes().rstrip() == b"old"


def test_a_block_follows_no_link(tmp_path: Path) -> None:
    target = tmp_path / "shadow"
    target.write_text("secret")
    (tmp_path / "record").symlink_to(target)
    with pytest.raises(OSError, match="symbolic links"):
        write_block(str(tmp_path / "record"), b"new")
    assert target.read_text() == "secret"


def test_on_a_full_disk_no_half_block_is_left_and_an_old_one_still_changes(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", kib=64) as disk:
        old, new = disk / "old", disk / "new"
        write_block(str(old), b"old")
        with pytest.raises(OSError, match="No space left"):
            (disk / "ballast").write_bytes(b"x" * 65536)
        with pytest.raises(OSError, match="No space left"):
            write_block(str(new), b"new")
        write_block(str(old), b"newer")
        assert old.read_bytes().rstrip() == b"newer"
        assert not new.exists()


def test_a_file_is_tried_without_a_trace(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    before = tmp_path.stat()
    try_file(tmp_path, b"content")
    try_file(tmp_path / "missing/below", owner=os.geteuid())
    with pytest.raises(NotADirectoryError) as error:
        try_file(tmp_path / "plain/below")
    assert error.value.filename == str(tmp_path / "plain")
    assert [path.name for path in tmp_path.iterdir()] == ["plain"]
    assert tmp_path.stat().st_mtime_ns == before.st_mtime_ns


def test_a_full_disk_is_known_before(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", kib=64) as disk:
        try_file(disk, b"x")
        fill(disk)
        with pytest.raises(OSError, match="No space left on device") as error:
            try_file(disk / "missing", b"x")
        assert error.value.filename == str(disk)


def test_a_file_system_without_nameless_files_is_tried_all_the_same() -> None:
    """In /proc root may write by its mode, and nobody can make a file."""
    with pytest.raises(FileNotFoundError) as error:
        try_file(Path("/proc"))
    assert error.value.filename == "/proc"


def test_a_file_is_tried_for_appending_without_a_trace(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("old")
    (tmp_path / "link").symlink_to(tmp_path / "new")
    os.mkfifo(tmp_path / "fifo")  # with nobody at its other end, to open it would wait for ever
    before = sorted(tmp_path.iterdir())
    for name in ("log", "new", "link", "fifo"):
        try_append(tmp_path / name)
    try_append(Path("/dev/null"))
    assert sorted(tmp_path.iterdir()) == before
    assert (tmp_path / "log").read_text() == "old"


def test_what_cannot_be_appended_to_is_known_before(tmp_path: Path) -> None:
    (tmp_path / "lost").symlink_to(tmp_path / "missing/log")
    (tmp_path / "itself").symlink_to(tmp_path / "itself")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
    for path in (tmp_path, *(tmp_path / name for name in ("lost", "itself", "socket", "socket/x"))):
        with pytest.raises(OSError, match=path.name):
            try_append(path)
    with small_disk(tmp_path / "disk", kib=64) as disk:
        (disk / "old").touch()
        for name in ("old", "new"):
            with read_only(disk), pytest.raises(OSError, match="Read-only"):
                try_append(disk / name)


def test_a_directory_that_is_missing_comes_with_the_next_step(tmp_path: Path) -> None:
    missing = tmp_path / "a b"
    assert no_directory(missing, "log_dir") == (
        f"there is no directory {missing}; mkdir -p '{missing}', or change log_dir"
    )
    missing.touch()
    assert no_directory(missing, "log_dir") == f"{missing} is not a directory; change log_dir"

"""What is no file of its own is refused alike by the keeper, which writes, and by readers."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from virtsupd.logkeeper import regular as keeper
from virtsupd.process import regular as reader

OPENERS: dict[str, Callable[[str], int]] = {
    "write": lambda path: keeper.open_regular(path, os.O_RDWR | os.O_CREAT, 0o600),
    "append": lambda path: keeper.open_regular(path, os.O_WRONLY),
    "compress": lambda path: keeper.open_regular(path, os.O_RDONLY),
    "read": reader.open_regular,
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "secret").write_text("root's own\n")
    return tmp_path / "a.log"


@pytest.mark.parametrize("opener", OPENERS.values(), ids=OPENERS)
def test_a_plain_file_is_opened_for_us_alone(path: Path, opener: Callable[[str], int]) -> None:
    path.write_text("ours\n")
    fd = opener(str(path))
    assert not os.get_inheritable(fd)
    os.close(fd)


@pytest.mark.parametrize("opener", OPENERS.values(), ids=OPENERS)
@pytest.mark.parametrize("kind", ["link", "hard link", "directory", "fifo", "device"])
def test_anything_else_is_refused_at_once_and_left_alone(
    path: Path, opener: Callable[[str], int], kind: str
) -> None:
    secret = path.with_name("secret")
    make: dict[str, Callable[[], None]] = {
        "link": lambda: path.symlink_to(secret),
        "hard link": lambda: path.hardlink_to(secret),
        "directory": path.mkdir,
        "fifo": lambda: os.mkfifo(path),
        "device": lambda: os.mknod(path, 0o020666, os.makedev(1, 3)),
    }
    make[kind]()
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(OSError, match=r"link|regular file|levels of symbolic"):
        opener(str(path))
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    assert secret.read_text() == "root's own\n"


def test_the_keeper_says_what_it_found(path: Path) -> None:
    path.symlink_to("/nowhere")
    with pytest.raises(OSError, match="a symbolic link, which is not followed"):
        OPENERS["write"](str(path))


def test_a_missing_file_is_missing(path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        reader.open_regular(str(path))
    with pytest.raises(FileNotFoundError):
        keeper.open_regular(str(path), os.O_RDONLY)

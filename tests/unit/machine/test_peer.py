"""Who listens at a machine's socket."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from virtsupd.machine.peer import connected


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    """A socket in a directory of our own; connections wait in its queue."""
    tmp_path.chmod(0o755)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "qmp"))
        listener.listen()
        yield tmp_path / "qmp"


async def test_the_account_of_the_directory_is_spoken_with(path: Path) -> None:
    with await connected(str(path)) as peer:
        assert peer.getpeername() == str(path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives a directory to another account")
async def test_a_link_to_what_another_account_listens_on_is_refused(path: Path) -> None:
    directory = path.with_name("hurd")
    directory.mkdir()
    (directory / "qmp").symlink_to(path)
    os.chown(directory, 12345, 12345)
    with pytest.raises(
        PermissionError, match="uid 0 listens there, and the machine's is uid 12345"
    ):
        await connected(str(directory / "qmp"))


async def test_where_nobody_listens_nobody_is_reached(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        await connected(str(tmp_path / "qmp"))

"""How far a machine has come, as files in a directory that QEMU's account owns."""

import os
import socket
from pathlib import Path

import pytest

from virtsupd.core.machine import Rung
from virtsupd.machine.reached import (
    forget_reached,
    make_places,
    note_reached,
    remove_places,
    rung_file,
    rungs_reached,
)


def test_rungs_are_kept_until_the_next_start(tmp_path: Path) -> None:
    directory = str(tmp_path / "machines" / "hurd")
    assert rungs_reached(directory) == frozenset()
    make_places(directory, os.getuid(), None)
    for rung in (Rung.MONITOR, Rung.SSH, Rung.SSH):
        note_reached(directory, rung)
    assert rungs_reached(directory) == {Rung.MONITOR, Rung.SSH}
    assert Path(rung_file(directory, Rung.SSH)).exists()
    make_places(directory, os.getuid(), None)
    assert rungs_reached(directory) == frozenset()


def test_only_the_account_reaches_the_sockets(tmp_path: Path) -> None:
    directory = tmp_path / "hurd"
    directory.mkdir(mode=0o777)
    make_places(str(directory), os.getuid(), None)
    assert directory.stat().st_mode & 0o7777 == 0o700


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives a directory to another group")
def test_a_group_that_is_named_reaches_the_sockets_that_qemu_makes(tmp_path: Path) -> None:
    directory = tmp_path / "hurd"
    make_places(str(directory), os.getuid(), 12345)
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(directory / "qmp"))
        assert (directory / "qmp").stat().st_gid == 12345
    assert (directory / "agent.lock").stat().st_gid == 12345
    assert directory.stat().st_mode & 0o777 == 0o750
    make_places(str(directory), os.getuid(), None)
    assert directory.stat().st_mode & 0o7777 == 0o700


def test_a_link_in_place_of_the_directory_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o755)
    (tmp_path / "hurd").symlink_to("elsewhere")
    with pytest.raises(OSError, match="hurd"):
        make_places(str(tmp_path / "hurd"), os.getuid(), None)
    assert (tmp_path / "elsewhere").stat().st_mode & 0o777 == 0o755


def test_what_the_guest_s_qemu_put_there_is_neither_followed_nor_written(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("kept")
    Path(rung_file(str(tmp_path), Rung.SSH)).symlink_to("precious")
    note_reached(str(tmp_path), Rung.SSH)
    forget_reached(str(tmp_path))
    assert (tmp_path / "precious").read_text() == "kept"
    assert rungs_reached(str(tmp_path)) == frozenset()


def test_nothing_is_to_forget_where_nothing_is(tmp_path: Path) -> None:
    forget_reached(str(tmp_path / "nowhere-yet"))


def test_nothing_is_left_of_a_machine_that_has_ended(tmp_path: Path) -> None:
    directory = tmp_path / "hurd"
    make_places(str(directory), os.getuid(), None)
    note_reached(str(directory), Rung.SSH)
    (directory / "agent.lock").touch()
    with socket.socket(socket.AF_UNIX) as killed:
        killed.bind(str(directory / "qmp"))
    remove_places(str(directory))
    assert not directory.exists()
    remove_places(str(directory))


def test_what_somebody_else_put_there_stays(tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("kept")
    remove_places(str(tmp_path))
    assert (tmp_path / "notes").read_text() == "kept"

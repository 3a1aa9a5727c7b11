"""What a virtsupd cannot begin with is known before it begins."""

import os
import socket
from pathlib import Path

import pytest
from tests.support.whole_daemon import write_host

from virtsupd.config.load import Loaded, load
from virtsupd.control.listener import Listener
from virtsupd.daemon.daemon import Daemon
from virtsupd.daemon.domains import Processes
from virtsupd.daemon.prerequisites import refusals
from virtsupd.errors import VirtsupdError
from virtsupd.process.clock import SystemClock
from virtsupd.process.lock import RunLock
from virtsupd.process.reaper import Reaper
from virtsupd.process.spawn import best_spawner
from virtsupd.services.registry import KINDS

pytestmark = pytest.mark.process


def loaded_in(directory: Path, text: str = "", **settings: str) -> Loaded:
    return load(write_host(directory, text, **settings), KINDS)


def seen(directory: Path) -> list[tuple[str, int]]:
    return sorted((str(path), path.lstat().st_mtime_ns) for path in directory.rglob("*"))


def begins(loaded: Loaded) -> bool:
    """Whether a virtsupd begins with it."""
    processes = Processes(best_spawner(), Reaper())
    try:
        daemon = Daemon(loaded, KINDS, processes=processes, clock=SystemClock())
    except (VirtsupdError, OSError):
        return False
    daemon._server.close()
    daemon._lock.release(remove=True)
    daemon._state_lock.release(remove=True)
    if daemon._tree is not None:
        daemon._tree.remove()
    return True


def plain_socket(root: Path) -> dict[str, str]:
    (root / "herd").touch()
    return {"herd_socket": str(root / "herd")}


def open_state(root: Path) -> dict[str, str]:
    (root / "state_dir").mkdir()
    (root / "state_dir").chmod(0o777)
    return {}


def linked_run(root: Path) -> dict[str, str]:
    (root / "real").mkdir()
    (root / "run_dir").symlink_to(root / "real")
    return {}


def log_below_a_file(root: Path) -> dict[str, str]:
    (root / "file").touch()
    return {"log_dir": str(root / "file/log")}


def odd_fifo_directory(root: Path) -> dict[str, str]:
    (root / "run_dir").mkdir()
    (root / "run_dir/ready").touch()
    return {}


def odd_lock(root: Path) -> dict[str, str]:
    (root / "run_dir/lock").mkdir(parents=True)
    return {}


def bad_state(root: Path) -> dict[str, str]:
    (root / "state_dir").mkdir(mode=0o700)
    (root / "state_dir/services.json").write_text("[]")
    return {}


def odd_generated_file(root: Path) -> dict[str, str]:
    (root / "run_dir/generated/virtlog/virtlogd.conf").mkdir(parents=True)
    return {}


@pytest.mark.parametrize(
    ("obstacle", "reason"),
    [
        (plain_socket, "cannot listen on {root}/herd: there is something that is not a socket"),
        (open_state, "others can write to it (mode 0777)"),
        (linked_run, "it is a symbolic link; name {root}/real instead"),
        (log_below_a_file, "cannot use {root}/file: not a directory"),
        (odd_fifo_directory, "cannot use {root}/run_dir/ready: something else is there"),
        (odd_lock, "cannot use {root}/run_dir/lock: it is no plain file"),
        (bad_state, "cannot use {root}/state_dir/services.json"),
        (odd_generated_file, "cannot use {root}/run_dir/generated/virtlog/virtlogd.conf: is a"),
    ],
)
def test_what_refuses_a_virtsupd_is_known_before(
    tmp_path: Path, obstacle: object, reason: str
) -> None:
    assert callable(obstacle)
    loaded = loaded_in(tmp_path, "[virtlog]\nautostart = false\n", **obstacle(tmp_path))
    before = seen(tmp_path)
    found = refusals(loaded)
    assert found
    assert all(line.startswith(f"{tmp_path}/host.toml: ") for line in found)
    assert any(reason.format(root=tmp_path) in line for line in found), found
    assert seen(tmp_path) == before
    assert not begins(loaded)


def test_nothing_is_said_of_a_host_with_room_and_nothing_is_made_there(tmp_path: Path) -> None:
    loaded = loaded_in(tmp_path, "[virtlog]\nautostart = false\n")
    before = seen(tmp_path)
    assert refusals(loaded) == ()
    assert seen(tmp_path) == before
    assert begins(loaded)
    assert refusals(loaded) == ()


def test_a_virtsupd_at_work_is_no_obstacle_but_any_other_program(tmp_path: Path) -> None:
    loaded = loaded_in(tmp_path)
    (tmp_path / "run_dir").mkdir()
    listener = Listener(loaded.host.socket, loaded.access)
    assert "another program already listens" in refusals(loaded)[0]
    lock = RunLock(tmp_path / "run_dir/lock")
    assert refusals(loaded) == ()
    listener.close()
    lock.release(remove=True)
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(loaded.host.socket))
    assert refusals(loaded) == ()


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")
def test_who_would_not_run_it_says_nothing_of_what_it_may_not_see(tmp_path: Path) -> None:
    loaded = loaded_in(tmp_path, **open_state(tmp_path))
    (tmp_path / "state_dir").chmod(0o755)
    (tmp_path / "run_dir").symlink_to(tmp_path)
    os.seteuid(1)
    try:
        assert refusals(loaded) == ()
        assert refusals(loaded, as_itself=True)
    finally:
        os.seteuid(0)
    assert refusals(loaded)

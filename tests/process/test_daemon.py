"""The composition root where it fails before it runs; all else of it is tested as a program, in tests/system."""

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from virtsupd.config.load import load
from virtsupd.daemon.daemon import Daemon
from virtsupd.daemon.domains import Processes
from virtsupd.errors import AlreadyRunningError, VirtsupdError
from virtsupd.process.cgroup import place_of
from virtsupd.process.clock import SystemClock
from virtsupd.process.lock import RunLock
from virtsupd.process.reaper import Reaper
from virtsupd.process.spawn import best_spawner
from virtsupd.services.registry import KINDS

CGROUP = f"virtsupd-test-{os.urandom(6).hex()}"


def begin(root: Path) -> None:
    """Make a daemon with a second socket for herd; `run` is never reached."""
    (root / "host.toml").write_text(
        f'[host]\nrun_dir = "{root}/run"\nstate_dir = "{root}/state"\nlog_dir = "{root}/log"\n'
        f'herd_socket = "{root}/herd"\nunit_dirs = []\ncgroup = "{CGROUP}"\n'
        f'[service.web]\ncommand = ["/bin/true"]\n[libvirt]\nautostart = false\n'
    )
    loaded = load(root / "host.toml", KINDS)
    Daemon(loaded, KINDS, processes=Processes(best_spawner(), Reaper()), clock=SystemClock())


def put_a_file(root: Path) -> None:
    (root / "herd").touch()


def put_broken_memory(root: Path) -> None:
    (root / "state/services.json").mkdir(parents=True)


def put_a_directory_for_a_generated_file(root: Path) -> None:
    (root / "run/generated/libvirtd.conf").mkdir(parents=True)
    (root / "run/generated/libvirt/libvirtd.conf").mkdir(parents=True)


@pytest.mark.parametrize(
    "spoil", [put_a_file, put_broken_memory, put_a_directory_for_a_generated_file]
)
def test_what_fails_late_holds_nothing(tmp_path: Path, spoil: Callable[[Path], None]) -> None:
    """That no descriptor stays open, the fixture of all tests sees."""
    spoil(tmp_path)
    with pytest.raises((VirtsupdError, OSError)):
        begin(tmp_path)
    assert not (tmp_path / "run/control").exists()
    assert not (tmp_path / "run/lock").exists()
    base = place_of(os.getpid())
    assert base is not None
    assert not (base / CGROUP).exists()
    RunLock(tmp_path / "run/lock").release(remove=True)


def test_a_socket_of_another_program_is_left_alone(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(tmp_path / "herd"))
        other.listen()
        with pytest.raises(AlreadyRunningError):
            begin(tmp_path)
        assert (tmp_path / "herd").is_socket()
    assert not (tmp_path / "run/control").exists()

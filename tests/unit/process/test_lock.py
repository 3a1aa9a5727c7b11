"""The lock that keeps two daemons apart, seen by other processes: a lock is the process's own."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from virtsupd.process.lock import RunLock, StateLock

pytestmark = pytest.mark.process

TRY = """
import sys
from pathlib import Path
from virtsupd.errors import AlreadyRunningError
from virtsupd.process.lock import RunLock
try:
    RunLock(Path(sys.argv[1]))
except AlreadyRunningError as error:
    print(error)
else:
    print("taken")
"""


def tried(path: Path) -> str:
    """Return what another process gets that tries to take the lock."""
    done = subprocess.run(
        [sys.executable, "-c", TRY, str(path)],
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
    )
    return done.stdout.strip()


def test_it_is_held_until_it_is_released(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    lock = RunLock(path)
    # Reading the file here would drop the lock.
    assert tried(path) == (
        f"another virtsupd runs in {tmp_path} (pid {os.getpid()}); "
        "give this one a run_dir of its own, or end the other"
    )
    lock.release(remove=False)
    assert path.exists()
    assert tried(path) == "taken"


def test_it_may_be_removed_with_its_release(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    RunLock(path).release(remove=True)
    assert not path.exists()
    lock = RunLock(path)
    path.unlink()
    lock.release(remove=True)


def test_what_a_longer_pid_left_is_not_kept(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    path.write_text("12345678901234567890\n")
    RunLock(path).release(remove=False)
    assert path.read_text().strip().isdecimal()
    assert len(path.read_text()) < 12


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic"):
        RunLock(tmp_path / "lock")


class Slow(RunLock):
    """Finds its file removed after it was locked, as by a holder that ended just then."""

    def __init__(self, path: Path) -> None:
        self.opened = 0
        super().__init__(path)

    def _open(self) -> int:
        descriptor = super()._open()
        self.opened += 1
        if self.opened == 1:
            self.path.unlink()
        if self.opened == 2:
            self.path.unlink()
            self.path.touch()
        return descriptor


def test_a_file_that_nobody_else_finds_is_no_lock(tmp_path: Path) -> None:
    lock = Slow(tmp_path / "lock")
    assert lock.opened == 3
    assert "another virtsupd" in tried(tmp_path / "lock")
    lock.release(remove=True)


def test_a_descriptor_that_was_inherited_holds_the_lock_on(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    lock = RunLock(path, inherited=RunLock(path).fileno())
    assert "another virtsupd runs" in tried(path)
    lock.release(remove=True)


def test_a_descriptor_of_another_file_is_replaced(tmp_path: Path) -> None:
    before = RunLock(tmp_path / "lock")
    lock = RunLock(tmp_path / "other", inherited=before.fileno())
    assert "another virtsupd runs" in tried(tmp_path / "other")
    assert tried(tmp_path / "lock") == "taken"
    lock.release(remove=True)


TRY_STATE = TRY.replace("RunLock", "StateLock")


def tried_state(directory: Path) -> str:
    """Return what another process gets that tries to take the lock of a state directory."""
    done = subprocess.run(
        [sys.executable, "-c", TRY_STATE, str(directory)],
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
    )
    return done.stdout.strip()


def test_a_state_directory_is_held(tmp_path: Path) -> None:
    lock = StateLock(tmp_path)
    assert tried_state(tmp_path) == (
        f"another virtsupd keeps its state in {tmp_path} (pid {os.getpid()}); "
        "give this one a state_dir of its own, or end the other"
    )
    lock.release(remove=True)
    assert list(tmp_path.iterdir()) == []
    assert tried_state(tmp_path) == "taken"
    with pytest.raises(FileNotFoundError):
        StateLock(tmp_path / "missing")


def test_a_state_directory_is_held_on_by_what_was_inherited(tmp_path: Path) -> None:
    lock = StateLock(tmp_path, inherited=StateLock(tmp_path).fileno())
    assert "another virtsupd keeps" in tried_state(tmp_path)
    lock.release(remove=False)
    (tmp_path / "other").mkdir()
    other = StateLock(tmp_path / "other", inherited=StateLock(tmp_path).fileno())
    assert "another virtsupd keeps" in tried_state(tmp_path / "other")
    assert tried_state(tmp_path) == "taken"
    other.release(remove=True)


@pytest.mark.parametrize("kind", ["RunLock", "StateLock"])
def test_a_child_that_outlives_its_parent_holds_no_lock(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "lock" if kind == "RunLock" else tmp_path
    holder = (
        f"import os, signal, sys; from pathlib import Path; from virtsupd.process.lock import {kind}\n"
        f"lock = {kind}(Path(sys.argv[1]))\n"
        "child = os.fork()\n"
        "if child: print(child, flush=True); os.kill(os.getpid(), signal.SIGKILL)\n"
        "sys.stdout = None; os.close(1); signal.pause()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", holder, str(path)],
        stdout=subprocess.PIPE,
        text=True,
        timeout=20,
        check=False,
    )
    child = int(done.stdout)
    try:
        assert (tried(path) if kind == "RunLock" else tried_state(path)) == "taken"
    finally:
        os.kill(child, signal.SIGKILL)


def test_what_an_earlier_version_locked_is_replaced(tmp_path: Path) -> None:
    before = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)  # it held the directory itself
    lock = StateLock(tmp_path, inherited=before)
    assert "another virtsupd keeps" in tried_state(tmp_path)
    lock.release(remove=True)


def test_a_lock_is_released_though_its_directory_was_taken_away(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    lock = RunLock(tmp_path / "run/lock")
    (tmp_path / "run/lock").unlink()
    (tmp_path / "run").rmdir()
    (tmp_path / "run").touch()
    lock.release(remove=True)

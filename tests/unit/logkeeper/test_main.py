"""The log keeper as a program: how it starts, what it says when it cannot, how it ends."""

import os
import signal
import sys
from pathlib import Path

import pytest

from virtsupd.process.keeper_link import PROGRAM


class Program:
    """A keeper that was started and has reported on descriptor 3, or ended."""

    def __init__(self, run_dir: Path, errors: Path) -> None:
        ready, ready_end = os.pipe()
        self._errors = errors
        self.pid = os.posix_spawn(
            sys.executable,
            [sys.executable, "-I", "-S", str(PROGRAM), str(run_dir), ""],
            {},
            file_actions=[
                (os.POSIX_SPAWN_DUP2, ready_end, 3),
                (os.POSIX_SPAWN_OPEN, 2, str(errors), os.O_WRONLY | os.O_CREAT, 0o600),
            ],
        )
        os.close(ready_end)
        os.read(ready, 1)
        os.close(ready)

    def end(self) -> tuple[int, str]:
        """Send TERM and return exit code and standard error."""
        os.kill(self.pid, signal.SIGTERM)
        code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return code, self._errors.read_text()


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    (tmp_path / "run").mkdir()
    return tmp_path / "run"


def test_term_ends_it_with_its_socket_removed(run_dir: Path, tmp_path: Path) -> None:
    keeper = Program(run_dir, tmp_path / "errors")
    assert (run_dir / "keeper").is_socket()
    assert keeper.end() == (0, "")
    assert not (run_dir / "keeper").exists()


def test_a_second_one_says_why_it_ends(run_dir: Path, tmp_path: Path) -> None:
    first = Program(run_dir, tmp_path / "errors")
    second = Program(run_dir, tmp_path / "more errors")
    os.waitid(os.P_PID, second.pid, os.WEXITED | os.WNOWAIT)
    expected = f"log keeper: {run_dir}: another log keeper works in this directory\n"
    assert second.end() == (1, expected)
    assert first.end() == (0, "")


def test_a_missing_directory_is_named(run_dir: Path, tmp_path: Path) -> None:
    keeper = Program(run_dir / "gone", tmp_path / "errors")
    os.waitid(os.P_PID, keeper.pid, os.WEXITED | os.WNOWAIT)
    code, errors = keeper.end()
    assert code == 1
    assert "No such file or directory" in errors

"""A command that ends with whoever is its parent."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.checks import eventually, text_of

from virtsupd.process.command import TIED

pytestmark = pytest.mark.process

STARTS_ONE = """
import os, subprocess, sys
words = [sys.executable, "-I", "-S", sys.argv[1], str(os.getpid()), *sys.argv[2:]]
sys.exit(subprocess.Popen(words, start_new_session=True).wait())
"""


def tied(*command: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", STARTS_ONE, TIED, *command], stderr=subprocess.PIPE, text=True
    )


@pytest.mark.parametrize(
    ("line", "code"), [("exit 0", 0), ("exit 42", 42), ("kill -TERM $$", -signal.SIGTERM)]
)
def test_it_ends_as_its_command_does(line: str, code: int) -> None:
    with tied("sh", "-c", line) as parent:
        assert parent.wait() == code % 256 if code >= 0 else parent.wait() != 0


def test_a_command_that_is_not_there_is_named() -> None:
    with tied("/nowhere/program") as parent:
        assert parent.stderr is not None
        assert parent.stderr.read() == "cannot run /nowhere/program: no such file or directory\n"
        assert parent.wait() == 127


def test_all_of_it_ends_with_its_parent(tmp_path: Path) -> None:
    note = tmp_path / "pids"
    line = f"sleep 1000 & echo $! $$ >{note}; wait"
    with tied("sh", "-c", line) as parent:
        pids = eventually(lambda: text_of(note).split(), "its processes")
        os.kill(parent.pid, signal.SIGKILL)
        eventually(lambda: not any(is_alive(pid) for pid in pids), "that none of them is left")


def is_alive(pid: str) -> bool:
    """Whether a process runs: one that nobody has waited for yet does not."""
    status = text_of(Path(f"/proc/{pid}/status"))
    return bool(status) and "State:\tZ" not in status

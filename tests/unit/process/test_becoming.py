import subprocess
import sys

import pytest

from virtsupd.process.becoming import become

BECOMES = """
from virtsupd.process.becoming import become
become("sh", ["sh", "-c", 'grep SigIgn /proc/self/status; exit "$0"', "42"])
"""


def test_a_program_begins_with_no_signal_ignored_and_its_exit_status_is_ours() -> None:
    done = subprocess.run(
        [sys.executable, "-c", BECOMES], capture_output=True, text=True, check=False
    )
    assert done.returncode == 42
    assert int(done.stdout.split()[1], 16) == 0


def test_a_program_that_is_not_there_is_an_error() -> None:
    with pytest.raises(FileNotFoundError):
        become("/nowhere/program", ["x"])

"""Output outlives virtsupd: kill -9 at any moment, and no line is lost."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.outputs import (
    WEB,
    assert_whole,
    capturing,
    content,
    has_ended,
    reap,
    settled,
    start_writer,
    until,
)

from virtsupd.core.spec import LogSpec

pytestmark = pytest.mark.process

SUPERVISOR = Path(__file__).parent.parent / "children" / "log_supervisor.py"


def killed_when_ready(run_dir: Path, file: Path) -> None:
    """Run a virtsupd until its keeper knows of the log, and kill it."""
    command = [sys.executable, str(SUPERVISOR), str(run_dir), WEB, str(file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as supervisor:
        assert supervisor.stdout is not None
        assert supervisor.stdout.readline() == b"ready\n"
        supervisor.send_signal(signal.SIGKILL)


async def test_ten_kills_of_virtsupd_lose_no_line(tmp_path: Path) -> None:
    run_dir, file = tmp_path / "run", tmp_path / "web.log"
    killed_when_ready(run_dir, file)
    fifo = os.open(run_dir / "fifo" / WEB, os.O_RDWR)
    writer = start_writer(fifo, 3000, 50, 1000)
    os.close(fifo)
    for _ in range(9):
        killed_when_ready(run_dir, file)
    await until(lambda: has_ended(writer), "the last line")
    reap(writer)
    async with capturing(run_dir) as outputs:
        outputs.open(WEB, LogSpec(str(file)), uid=0, gid=0)
        await settled(outputs)
        assert_whole(content(outputs), 3000, 50)

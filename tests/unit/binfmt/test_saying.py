"""What the process that holds entries says, and that nobody has to hear it."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from virtsupd.binfmt.saying import Saying
from virtsupd.process.own_notify import OwnNotify

SAYING = "from virtsupd.binfmt.saying import *; open_streams(); says = Saying(OwnNotify('')); "
PYTHON = [sys.executable, "-c"]


def said(tmp_path: Path, *statuses: str) -> list[str]:
    """Return what a supervisor hears of these statuses, and at the end READY=1."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as hearer:
        hearer.bind(str(tmp_path / "notify"))
        hearer.settimeout(5)
        saying = Saying(OwnNotify(str(tmp_path / "notify")))
        for status in statuses:
            saying.tell(status)
        saying.tell("end", "READY=1")
        messages = [hearer.recv(65536).decode()]
        while "READY=1" not in messages[-1]:
            messages.append(hearer.recv(65536).decode())
        return messages


def test_a_status_is_told_when_it_is_new(tmp_path: Path) -> None:
    assert said(tmp_path, "a", "a", "b") == ["STATUS=a", "STATUS=b", "READY=1\nSTATUS=end"]


def test_what_others_wrote_adds_no_line_and_no_bytes_that_are_no_text(tmp_path: Path) -> None:
    strange = b"/bin/\xff\nMAINPID=1".decode(errors="surrogateescape")
    assert said(tmp_path, strange)[0] == "STATUS=/bin/\\udcff\\nMAINPID=1"


def test_a_status_that_no_message_could_hold_is_cut(tmp_path: Path) -> None:
    [first, _] = said(tmp_path, "\u00fc" * 5000)
    assert first.endswith("\u00fc \u2026")
    assert 3000 < len(first.encode()) < 4096


def test_lines_have_a_time_and_are_single(capfd: pytest.CaptureFixture[str]) -> None:
    Saying(OwnNotify("")).log("one\ntwo")
    out, _ = capfd.readouterr()
    assert out.endswith(" one\\ntwo\n")
    assert out.startswith("20")


def test_a_log_that_nobody_reads_any_more_ends_nothing() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run([*PYTHON, f"{SAYING} says.log('x')"], stdout=writing, check=False)
    os.close(writing)
    assert done.returncode == 0


def test_without_standard_streams_no_other_file_is_written_to(tmp_path: Path) -> None:
    file = str(tmp_path / "file")
    opening = f"import os; file = os.open({file!r}, os.O_WRONLY | os.O_CREAT)"
    code = f"{SAYING} {opening}; says.log('x'); assert file > 2"
    script = f'exec {sys.executable} -c "$1" 0<&- 1>&- 2>&-'
    subprocess.run(["sh", "-c", script, "sh", code], check=True)
    assert (tmp_path / "file").read_bytes() == b""

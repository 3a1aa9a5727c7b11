"""Programs that are executed, as scripts: the kernel runs these too."""

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.support.checks import eventually, text_of

from virtsupd.binfmt.attempts import carried_out
from virtsupd.binfmt.proof import program

pytestmark = pytest.mark.process

GOOD = b"#!/bin/sh\nexit 42\n"
HANGING = b"#!/bin/sh\nexec sleep 1000\n"


def is_gone(pid: int) -> bool:
    stat = text_of(Path(f"/proc/{pid}/stat"))
    return not stat or stat.rsplit(")", 1)[1].split()[0] == "Z"


def test_each_is_told_how_it_ended() -> None:
    programs = {
        "good": GOOD,
        "seven": b"#!/bin/sh\nexit 7\n",
        "killed": b"#!/bin/sh\nkill -KILL $$\n",
        "foreign": b"\x7fELF" + b"\1" * 100,
        "missing": b"#!/no/such/interpreter\n",
        "closed": b"#!/etc/passwd\n",
    }
    answers = carried_out(programs, 10)
    assert list(answers) == list(programs)
    assert answers["good"] == ""
    assert answers["seven"] == "ended with 7 instead of 42"
    assert answers["killed"] == "killed by SIGKILL"
    assert answers["foreign"].startswith("no entry takes its programs: none is registered")
    assert answers["foreign"].endswith("(execve: ENOEXEC)")
    assert answers["missing"].startswith("the interpreter of its entry is not there")
    assert answers["closed"].startswith("not permitted: the interpreter of its entry")


def test_a_native_program_runs() -> None:
    assert carried_out({"own": program(os.uname().machine)}, 10) == {"own": ""}


def test_one_that_does_not_end_is_killed_and_takes_no_other_along(tmp_path: Path) -> None:
    told = tmp_path / "pid"
    hanging = f"#!/bin/sh\necho $$ >{told}\nexec sleep 1000\n".encode()
    begin = time.monotonic()
    answers = carried_out({"hanging": hanging, "good": GOOD, "another": HANGING}, 2)
    assert time.monotonic() - begin < 20
    killed = "no end within 2 s: killed"
    assert answers == {"hanging": killed, "good": "", "another": killed}
    assert is_gone(int(told.read_text()))


def test_a_program_gets_nothing_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "42")
    dumps = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (dumps[1], dumps[1]))
    found = tmp_path / "found"
    lines = ["env", "ulimit -c", "pwd", "for file in /proc/$$/fd/*; do readlink $file; done"]
    script = "".join(f"{line} >>{found}\n" for line in lines)
    with (tmp_path / "open").open("w") as ours:
        os.set_inheritable(ours.fileno(), True)
        try:
            answers = carried_out({"curious": f"#!/bin/sh\n{script}exit 42\n".encode()}, 10)
        finally:
            resource.setrlimit(resource.RLIMIT_CORE, dumps)
    assert answers == {"curious": ""}
    said = found.read_text().splitlines()
    assert "SECRET" not in found.read_text()
    assert said[said.index("0") + 1] == "/"
    assert str(tmp_path / "open") not in said


def test_what_was_begun_ends_with_us(tmp_path: Path) -> None:
    told = tmp_path / "pid"
    hanging = f"#!/bin/sh\necho $$ >{told}\nexec sleep 1000\n"
    code = "import sys; from virtsupd.binfmt.attempts import carried_out as run; "
    code += "run({'hanging': sys.argv[1].encode()}, 1000)"
    ours = subprocess.Popen([sys.executable, "-c", code, hanging])
    try:
        pid = int(eventually(lambda: text_of(told).strip(), "the program's pid"))
        os.kill(ours.pid, signal.SIGKILL)
    finally:
        ours.kill()
        ours.wait()
    assert eventually(lambda: is_gone(pid), "its end")

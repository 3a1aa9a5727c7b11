"""The text that is installed: it stands alone, imports next to nothing, and holds what it was given."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from virtsupd.ganeti.rendering import MARK, UnusableInterpreterError, rendering

CHEAP = {"posix", "sys", "_json", "_socket", "time"}


def test_it_imports_next_to_nothing_and_nothing_of_ours() -> None:
    found: set[str] = set()
    for node in ast.parse(rendering("/s", "")).body:
        if isinstance(node, ast.ImportFrom):
            found.add(str(node.module))
        elif isinstance(node, ast.Import):
            found.update(name.name for name in node.names)
    assert found == CHEAP


def test_what_is_so_on_this_host_is_written_into_it() -> None:
    text = rendering(
        "/run/ä's",
        "ssh d",
        certificate="/own.pem",
        programs="/opt/sbin",
        interpreter="/usr/bin/python3",
    )
    assert text.startswith(f"#!/usr/bin/python3 -IS\n{MARK}")
    values = {}
    for node in ast.parse(text).body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
            values[ast.unparse(node.targets[0])] = node.value.value
    assert (values["SOCKET"], values["SSH"]) == ("/run/ä's", "ssh d")
    assert (values["SERVER_PEM"], values["PROGRAMS"]) == ("/own.pem", "/opt/sbin")


@pytest.mark.parametrize("interpreter", ["/opt/my python", "/" + "x" * 130])
def test_an_interpreter_that_the_kernel_would_not_find_is_refused(interpreter: str) -> None:
    with pytest.raises(UnusableInterpreterError, match="first line of a program"):
        rendering("/s", "", interpreter=interpreter)


@pytest.mark.process
def test_it_runs_as_it_is(tmp_path: Path) -> None:
    program = tmp_path / "daemon-util"
    program.write_text(rendering(f"{tmp_path}/gone", ""))
    program.chmod(0o755)
    done = subprocess.run(
        [program, "check", "ganeti-noded"], capture_output=True, text=True, env={}, check=False
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert f"cannot be reached at {tmp_path}/gone" in done.stderr


@pytest.mark.process
def test_what_it_loads_is_what_it_names() -> None:
    """Beside what every Python has loaded before its first line."""
    shown = "import sys; before = {*sys.modules}; exec(sys.stdin.read()); print({*sys.modules} - before)"
    text = rendering("/s", "").replace("__main__", "")
    done = subprocess.run(
        [sys.executable, "-IS", "-c", shown], input=text, capture_output=True, text=True, check=True
    )
    assert ast.literal_eval(done.stdout) <= CHEAP

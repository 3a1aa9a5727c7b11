"""Which program virtsupd would become, and which it refuses to: asked of real programs."""

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from virtsupd.errors import ReexecError
from virtsupd.process.clock import SystemClock
from virtsupd.process.reaper import Reaper
from virtsupd.process.spawn import best_spawner
from virtsupd.process.successor import CHECK_OPTION, check_program, report

pytestmark = pytest.mark.process

SHOW = """
import json, sys
from virtsupd.process.successor import command_line
print(json.dumps(command_line()))
"""


def shown(*command: str | Path, cwd: Path, **environment: str) -> list[str]:
    """Return what a program that runs SHOW takes for its command line."""
    done = subprocess.run(
        [str(word) for word in command],
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
        cwd=cwd,
        env={**os.environ, **environment},
    )
    return list(json.loads(done.stdout))


def script(path: Path, first: str, rest: str) -> Path:
    """Write a program."""
    path.write_text(f"#!{first}\n{rest}")
    path.chmod(0o755)
    return path


def test_an_installed_script_is_run_itself_for_its_interpreter_may_be_another(
    tmp_path: Path,
) -> None:
    script(tmp_path / "virtsupd-1", sys.executable, SHOW)
    link = tmp_path / "virtsupd"
    link.symlink_to("virtsupd-1")
    assert shown(link, "--config", "x y", cwd=tmp_path) == [str(link), "--config", "x y"]
    assert shown("./virtsupd", cwd=tmp_path) == ["./virtsupd"]
    assert shown(sys.executable, "virtsupd", cwd=tmp_path) == ["./virtsupd"]


def test_options_of_the_interpreter_are_kept(tmp_path: Path) -> None:
    path = script(tmp_path / "virtsupd", f"{sys.executable} -s", SHOW)
    assert shown(path, "-c", "x", cwd=tmp_path) == [str(path), "-c", "x"]
    other = [sys.executable, "-O", str(path)]
    assert shown(*other, cwd=tmp_path) == other


def test_a_module_is_run_by_the_interpreter_that_is_found_now(tmp_path: Path) -> None:
    (tmp_path / "shows.py").write_text(SHOW)
    assert shown(sys.executable, "-m", "shows", "a", cwd=tmp_path) == [
        sys.executable,
        "-m",
        "shows",
        "a",
    ]
    (tmp_path / "python-new").symlink_to(sys.executable)
    path = f"{tmp_path}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    bare = [Path(sys.executable).name, "-c", SHOW]
    found = [str(Path(sys.executable).parent / bare[0]), "-c", SHOW]
    assert shown(*bare, cwd=tmp_path, PATH=path) == found


@pytest.mark.parametrize("is_executable", [True, False])
def test_a_script_that_cannot_run_itself_is_left_to_its_interpreter(
    tmp_path: Path, is_executable: bool
) -> None:
    path = tmp_path / "program.py"
    path.write_text(SHOW)
    path.chmod(0o755 if is_executable else 0o644)
    command = [sys.executable, str(path)]
    assert shown(*command, cwd=tmp_path) == command


def test_a_directory_is_left_to_its_interpreter(tmp_path: Path) -> None:
    (tmp_path / "program").mkdir()
    (tmp_path / "program/__main__.py").write_text(SHOW)
    command = [sys.executable, str(tmp_path / "program")]
    assert shown(*command, cwd=tmp_path) == command


async def answer_of(
    *command: str, written: Mapping[str, int], timeout_seconds: float = 10.0
) -> Mapping[str, object]:
    reaper = Reaper()
    async with reaper.running():
        return await check_program(
            command,
            written,
            spawner=best_spawner(),
            reaper=reaper,
            clock=SystemClock(),
            timeout_seconds=timeout_seconds,
        )


async def refusal_of(*command: str, timeout_seconds: float = 10.0) -> str:
    """Return why a program is refused that would have to read records of version 3."""
    with pytest.raises(ReexecError) as caught:
        await answer_of(*command, written={"records": 3}, timeout_seconds=timeout_seconds)
    return str(caught.value)


def says(path: Path, line: str, status: int = 0) -> str:
    """Make a program that prints a line, after a warning, if it is asked as it should be."""
    body = f'[ "$*" = "--config x {CHECK_OPTION}" ] || exit 9\necho warned >&2\n'
    return str(script(path, "/bin/sh", f"{body}echo {shlex.quote(line)}\nexit {status}\n"))


async def test_a_program_that_can_go_on_is_believed(tmp_path: Path) -> None:
    line = report("2.0", {"records": {2, 3}, "state": {1}}, run_dir="/run/x")
    answer = await answer_of(
        says(tmp_path / "new", line), "--config", "x", written={"records": 3, "state": 1}
    )
    assert (answer["version"], answer["run_dir"]) == ("2.0", "/run/x")


async def test_the_check_runs_where_we_are_with_our_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIRTSUPD_TEST", "of ours")
    monkeypatch.chdir(tmp_path)
    line = report("1", {})
    script(
        tmp_path / "new", "/bin/sh", f"pwd >where; echo \"$VIRTSUPD_TEST\" >>where; echo '{line}'"
    )
    await answer_of("./new", written={})
    assert (tmp_path / "where").read_text() == f"{tmp_path}\nof ours\n"


async def test_one_that_cannot_read_our_records_is_refused(tmp_path: Path) -> None:
    old = says(tmp_path / "old", report("0.9", {"records": {1, 2}}))
    assert await refusal_of(old, "--config", "x") == (
        f"{old} (version 0.9) cannot read the records of this one, version 3; it reads 1, 2"
    )
    older = says(tmp_path / "older", report("0.8", {}))
    assert (await refusal_of(older, "--config", "x")).endswith("version 3; it reads none")


async def test_one_that_refuses_is_quoted(tmp_path: Path) -> None:
    new = says(tmp_path / "new", "host.toml: service.web: nonsense", status=2)
    assert await refusal_of(new, "--config", "x") == (
        f"{new} exited with code 2\nwarned\nhost.toml: service.web: nonsense"
    )


@pytest.mark.parametrize("line", ["", "supervising", "[]", "{}", '{"reads": 1}'])
async def test_one_that_does_not_know_the_question_is_refused(tmp_path: Path, line: str) -> None:
    other = says(tmp_path / "other", line)
    assert "does not say what it can read" in await refusal_of(other, "--config", "x")


async def test_one_that_is_missing_is_named(tmp_path: Path) -> None:
    missing = str(tmp_path / "missing")
    assert await refusal_of(missing) == f"cannot run {missing}: no such program"


async def test_one_that_does_not_answer_is_ended(tmp_path: Path) -> None:
    new = str(script(tmp_path / "new", "/bin/sh", "sleep 1000"))
    assert (
        await refusal_of(new, timeout_seconds=0.2) == f"{new} did not say in time whether it fits"
    )

"""What a service finds in its environment, and in which order it is put together."""

import os
from pathlib import Path
from typing import Any

import pytest

from virtsupd.core.spec import LogSpec, ProcessSpec
from virtsupd.errors import SpawnError
from virtsupd.process.environment import DEFAULT_PATH, service_environment
from virtsupd.process.identity import Credentials

WEB = Credentials(33, 33, (), "/srv/web", "/bin/false", "www")


def environment(**options: Any) -> dict[str, str]:
    return service_environment(ProcessSpec(("true",), LogSpec(""), **options), WEB)


def test_the_defaults_are_few_and_ours_are_not_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "1")
    monkeypatch.setenv("LANG", "de_DE.UTF-8")
    assert environment() == {
        "PATH": DEFAULT_PATH,
        "LANG": "de_DE.UTF-8",
        "HOME": "/srv/web",
        "USER": "www",
        "LOGNAME": "www",
        "SHELL": "/bin/false",
    }


def test_files_win_over_the_definition_and_later_files_over_earlier(tmp_path: Path) -> None:
    (tmp_path / "a").write_text(
        "# comment\n; another\n\nA=file\nB = \"two words\" \nexport C='x'\n"
    )
    (tmp_path / "b").write_bytes(b'B=later\nD=a=b#c\nE=\nF="open\nG=\xff\n')
    files = (str(tmp_path / "a"), str(tmp_path / "b"), f"-{tmp_path}/missing")
    found = environment(environment=(("A", "spec"), ("HOME", "/")), environment_files=files)
    assert {name: found[name] for name in "ABCDEF"} == {
        "A": "file",
        "B": "later",
        "C": "x",
        "D": "a=b#c",
        "E": "",
        "F": '"open',
    }
    assert found["G"] == "\udcff"
    assert found["HOME"] == "/"


@pytest.mark.parametrize("line", ["no equals sign", "1A=b", "=x", "A B=c", "A=nul\0"])
def test_a_line_that_is_no_variable_is_refused_with_its_place(tmp_path: Path, line: str) -> None:
    file = tmp_path / "env"
    file.write_text(f"GOOD=1\n{line}\n")
    with pytest.raises(SpawnError, match=f"{file}:2") as caught:
        environment(environment_files=(str(file),))
    assert (caught.value.stage, caught.value.is_permanent) == ("environment", True)
    assert line not in str(caught.value)


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    for file in (tmp_path / "missing", tmp_path):
        with pytest.raises(SpawnError, match="cannot read environment file"):
            environment(environment_files=(str(file),))
    with pytest.raises(SpawnError, match="not a regular file"):
        environment(environment_files=(f"-{tmp_path}",))


def test_what_is_no_file_is_refused_without_waiting_for_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for file in (tmp_path / "fifo", Path("/dev/zero"), Path("/dev/tty")):
        with pytest.raises(SpawnError, match="cannot read environment file") as caught:
            environment(environment_files=(str(file),))
        assert (caught.value.stage, caught.value.is_permanent) == ("environment", True)
    with pytest.raises(SpawnError, match="not a regular file"):
        environment(environment_files=(f"-{tmp_path}/fifo",))


def test_a_file_is_taken_up_to_its_limit(tmp_path: Path) -> None:
    file = tmp_path / "env"
    file.write_bytes(b"A=" + b"x" * (1024 * 1024 - 2))
    assert len(environment(environment_files=(str(file),))["A"]) == 1024 * 1024 - 2
    file.write_bytes(b"A=" + b"x" * (1024 * 1024 - 1))
    with pytest.raises(SpawnError, match="more than 1048576 bytes"):
        environment(environment_files=(str(file),))

"""What is said of host files; supervising is tested with the program."""

import os
from pathlib import Path

import pytest

from virtsupd.cli.supervise import DONE, REFUSED, check, supervise


def test_a_sound_host_file_is_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    host = tmp_path / "host.toml"
    host.write_text('[service.web]\ncommand = ["/bin/true"]\nrequires = ["loopback"]\n')
    assert check(host) == DONE
    assert capsys.readouterr() == (f"{host} is sound: 1 services, 1 targets\n", "")


def test_every_problem_is_a_line_and_their_count_the_last(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    host = tmp_path / "host.toml"
    host.write_text("[hosd]\n[service.web]\ncomand = 1\n")
    for refused in (check, supervise):
        assert refused(host) == REFUSED
        *problems, last = capsys.readouterr().err.splitlines()
        assert len(problems) >= 2
        assert last == f"virtsupd: {host} is refused: {len(problems)} problems"
    assert check(tmp_path / "none.toml") == REFUSED
    assert capsys.readouterr().err.endswith("is refused: 1 problem\n")


def written(tmp_path: Path, **settings: str) -> Path:
    """Write a host file whose directories lie in `tmp_path`."""
    names = {key: f"{tmp_path}/{key}" for key in ("run_dir", "state_dir", "log_dir")} | settings
    lines = "\n".join(f'{key} = "{value}"' for key, value in names.items())
    config = tmp_path / "host.toml"
    config.write_text(f'[host]\n{lines}\n[service.web]\ncommand = ["/bin/true"]\n')
    return config


@pytest.mark.parametrize("key", ["run_dir", "state_dir", "log_dir"])
def test_a_directory_that_cannot_be_made_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], key: str
) -> None:
    blocker = tmp_path / "file"
    blocker.touch()
    config = written(tmp_path, **{key: f"{blocker}/below"})
    before = set(os.listdir("/proc/self/fd"))  # noqa: PTH208  (names are enough)
    assert supervise(config) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"virtsupd: cannot use {blocker}: file exists; ")
    assert said.endswith(f"check the directories in [host] of {config}\n")
    assert set(os.listdir("/proc/self/fd")) == before  # noqa: PTH208  (names are enough)


def test_a_state_that_cannot_be_used_is_an_error_of_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = written(tmp_path)
    (tmp_path / "state_dir").mkdir()
    (tmp_path / "state_dir/services.json").write_text("nonsense")
    assert supervise(config) == 1
    assert capsys.readouterr().err.count("\n") == 1

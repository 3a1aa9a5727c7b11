"""What is said of host files; supervising is tested with the program."""

from pathlib import Path

import pytest

from virtsupd.cli.supervise import DONE, REFUSED, check, supervise


def test_a_sound_host_file_is_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    host = tmp_path / "host.toml"
    host.write_text('[service.web]\ncommand = ["/bin/true"]\nrequires = ["loopback"]\n')
    assert check(host) == DONE
    assert capsys.readouterr() == (f"{host} is sound: 1 service, 1 target\n", "")


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


def test_what_a_daemon_would_refuse_on_this_host_is_refused_with_file_and_key(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    host = tmp_path / "host.toml"
    host.write_text('[libvirt]\nlisten = false\nunix_sock_group = "no-such-group"\n')
    assert check(host) == REFUSED
    problem, _ = capsys.readouterr().err.splitlines()
    assert problem == f"{host}: libvirt.unix_sock_group: no group is named 'no-such-group'"

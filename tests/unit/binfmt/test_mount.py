"""Whether binfmt_misc is mounted, and what is said where it cannot be."""

import sys
from pathlib import Path

import pytest

from virtsupd.binfmt.mount import is_first_namespace, is_mounted, main


def test_the_table_is_known_by_the_file_that_takes_entries(tmp_path: Path) -> None:
    assert not is_mounted(tmp_path)
    (tmp_path / "register").touch()
    assert is_mounted(tmp_path)


def test_what_cannot_be_done_ends_with_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "absent"
    monkeypatch.setattr(sys, "argv", ["mount", str(place)])
    assert main() == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(f"cannot mount binfmt_misc at {place}: ")


def test_the_first_namespace_is_known_by_its_number() -> None:
    number = Path("/proc/self/ns/user").readlink()
    assert is_first_namespace() is (str(number) == "user:[4026531837]")

"""The program that holds entries: what it says where it cannot begin."""

import subprocess
import sys
from pathlib import Path


def ended(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", "-m", "virtsupd.binfmt", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=15)


def test_a_file_of_settings_that_is_missing_or_damaged_is_named(tmp_path: Path) -> None:
    absent = ended(str(tmp_path / "absent"))
    assert absent.returncode == 1
    assert absent.stdout.endswith(f" {tmp_path}/absent: no such file or directory\n")
    (tmp_path / "bad").write_text("x")
    bad = ended(str(tmp_path / "bad"))
    assert bad.returncode == 1
    assert "bad: not settings of this version" in bad.stdout

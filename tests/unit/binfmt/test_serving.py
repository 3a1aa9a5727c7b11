"""The process that holds entries, before there is anything to hold; the rest is tried on the kernel."""

import subprocess
import sys
from pathlib import Path

from tests.support.binfmt_settings import settings_file


def ended(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", "-m", "virtsupd.binfmt", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=15)


def test_where_nothing_is_mounted_the_start_fails_with_that(tmp_path: Path) -> None:
    done = ended(settings_file(tmp_path, "s390x", table=str(tmp_path / "absent")))
    assert done.returncode == 1
    assert "absent" in done.stdout

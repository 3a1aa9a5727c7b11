"""The programs of all platforms, run by Debian's emulators."""

import subprocess
from pathlib import Path

import pytest

from virtsupd.binfmt.platforms import NAMES, lookup_qemu_platforms
from virtsupd.binfmt.proof import ENDS_WITH, program

pytestmark = pytest.mark.component


@pytest.mark.parametrize("name", NAMES)
def test_debians_emulator_runs_it(name: str, tmp_path: Path) -> None:
    file = tmp_path / name
    file.write_bytes(program(name))
    file.chmod(0o700)
    [platform] = lookup_qemu_platforms(name)
    emulator = f"/usr/bin/qemu-{platform.qemu}-static"
    done = subprocess.run([emulator, str(file)], capture_output=True, check=False, timeout=10)
    assert (done.returncode, done.stdout, done.stderr) == (ENDS_WITH, b"", b"")

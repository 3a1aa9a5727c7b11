import os
import subprocess
import sys
from pathlib import Path

from virtsupd.core.machine import Rung
from virtsupd.machine.reached import note_reached


def ask(tmp_path: Path, *words: str, viewers: str) -> subprocess.CompletedProcess[str]:
    note_reached(str(tmp_path), Rung.MONITOR)
    return subprocess.run(
        [sys.executable, "-m", "virtsupd.services.machine_vnc", "m", str(tmp_path), "3", *words],
        env=os.environ | {"PATH": viewers},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_first_viewer_that_is_there_is_told_the_display(tmp_path: Path) -> None:
    for name in ("remote-viewer", "vinagre"):
        (tmp_path / name).write_text(f'#!/bin/sh\necho {name} "$@"\n')
        (tmp_path / name).chmod(0o755)
    found = ask(tmp_path, "--open", viewers=str(tmp_path))
    assert (found.returncode, found.stdout) == (0, "remote-viewer vnc://127.0.0.1:5903\n")


def test_without_a_viewer_the_packages_that_have_one_are_named(tmp_path: Path) -> None:
    found = ask(tmp_path, "--open", viewers="/nowhere")
    assert found.returncode == 1
    assert "Debian: tigervnc-viewer" in found.stderr
    assert "it is at 127.0.0.1:5903" in found.stderr

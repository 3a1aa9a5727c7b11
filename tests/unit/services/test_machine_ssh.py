"""What the system's ssh is told, seen by a program in its place that writes its words down."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from virtsupd.core.machine import Rung
from virtsupd.machine.reached import note_reached

SAYS_ITS_WORDS = '#!/bin/sh\nfor word in "$@"; do printf "%s\\n" "$word"; done\nexit 7\n'


def connect(
    tmp_path: Path, secrets: Path | str, *words: str, rung: Rung | None = Rung.SSH
) -> subprocess.CompletedProcess[str]:
    programs, directory = tmp_path / "bin", tmp_path / "machine"
    for made in (programs, directory):
        made.mkdir(exist_ok=True)
    (programs / "ssh").write_text(SAYS_ITS_WORDS)
    (programs / "ssh").chmod(0o755)
    if rung is not None:
        note_reached(str(directory), rung)
    place = ["m", str(directory), "10022", str(secrets)]
    return subprocess.run(
        [sys.executable, "-m", "virtsupd.services.machine_ssh", *place, *words],
        env={"PATH": f"{programs}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_words_and_the_exit_status_are_passed_on(tmp_path: Path) -> None:
    done = connect(tmp_path, "-", "-l", "demo", "uname", "a b")
    assert done.returncode == 7
    words = done.stdout.splitlines()
    assert words[:2] == ["-p", "10022"]
    assert words[-5:] == ["127.0.0.1", "-l", "demo", "uname", "a b"]
    assert not any("StrictHostKeyChecking" in word for word in words), "no key is known"


def test_the_keys_of_its_secrets_are_the_only_ones_that_are_taken(tmp_path: Path) -> None:
    keys = tmp_path / 'odd "100%" \\ place' / "etc/ssh"
    keys.mkdir(parents=True)
    (keys / "ssh_host_ed25519_key.pub").write_text("ssh-ed25519 AAAA host\n")
    (keys / "ssh_host_ed25519_key").write_text("secret")
    words = connect(tmp_path, keys.parent.parent).stdout.splitlines()
    assert {"StrictHostKeyChecking=yes", "UserKnownHostsFile=none", "HostKeyAlias=m"} <= set(words)
    [command] = [word for word in words if word.startswith("KnownHostsCommand=")]
    assert command.endswith('etc/ssh/ssh_host_ed25519_key.pub"')
    assert '\\"100%%\\" \\\\ place' in command


@pytest.mark.parametrize(
    ("rung", "why"), [(None, "it is not running"), (Rung.MONITOR, "it has only reached monitor")]
)
def test_a_machine_that_is_not_so_far_is_not_tried(
    tmp_path: Path, rung: Rung | None, why: str
) -> None:
    done = connect(tmp_path, "-", rung=rung)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"cannot reach m: {why}; virtsupctl status m\n"

"""The account that QEMU runs as."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from virtsupd.machine.account import AccountError, see_to_account

ASK = (
    "import sys; from virtsupd.machine.account import see_to_account;"
    "print(*see_to_account('childhurd-test', 'kvm-test'), sep='\\n')"
)


def test_one_that_is_there_stays_as_it_is() -> None:
    assert list(see_to_account("root", "root")) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root can make it")
def test_who_is_not_root_is_told_what_to_type() -> None:
    with pytest.raises(AccountError, match=r"as root: (groupadd|addgroup)"):
        list(see_to_account("nobody-of-that-name", "no-group-of-that-name"))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes accounts")
def test_a_missing_one_is_made_without_a_login(tmp_path: Path) -> None:
    """In a copy of /etc that only the test sees."""
    script = (
        f"mkdir {tmp_path}/etc; cp -a /etc/. {tmp_path}/etc/ 2>/dev/null;"
        f'mount --bind {tmp_path}/etc /etc && {sys.executable} -c "{ASK}" &&'
        f'{sys.executable} -c "{ASK}" && getent passwd childhurd-test && id -gn childhurd-test'
    )
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script], capture_output=True, text=True, check=True
    )
    text = done.stdout
    assert "made the group kvm-test\n" in text
    assert text.count("made the account") == 1, "the second look finds it"
    entry = next(line for line in text.splitlines() if line.startswith("childhurd-test:"))
    assert entry.split(":")[5] == "/var/empty"
    assert entry.endswith(("nologin", "false"))
    assert text.splitlines()[-1] == "kvm-test"

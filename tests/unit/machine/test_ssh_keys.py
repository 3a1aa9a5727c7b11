"""SSH host keys, as the real ssh-keygen takes them."""

import subprocess
from pathlib import Path

import pytest

from virtsupd.machine.ssh_keys import KINDS, KeyFileError, host_key, public_line


@pytest.mark.parametrize("kind", KINDS)
def test_ssh_keygen_finds_the_public_key_in_the_private_one(tmp_path: Path, kind: str) -> None:
    private = host_key(kind)
    file = tmp_path / "key"
    file.write_bytes(private)
    file.chmod(0o600)
    told = subprocess.run(["ssh-keygen", "-y", "-f", file], capture_output=True, check=True)
    ours = public_line(private, "childhurd").split()
    assert told.stdout.split()[:2] == ours[:2]
    assert ours[2] == b"childhurd"


@pytest.mark.parametrize("content", [b"", b"nonsense\n"])
def test_what_is_no_key_is_refused(content: bytes) -> None:
    with pytest.raises(KeyFileError):
        public_line(content, "childhurd")

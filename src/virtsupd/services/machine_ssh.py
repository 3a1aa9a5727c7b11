"""`virtsupctl ssh NAME`: the SSH client of the system, to a machine whose host keys are known.

Its keys are those that the machine got with its secrets, so that whoever took its port is not taken for it.
"""

import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from virtsupd.core.machine import Rung
from virtsupd.errors import VirtsupdError
from virtsupd.machine.reached import require_reached
from virtsupd.process.becoming import become
from virtsupd.services.action_program import USAGE, told

_KEYS: Final = "etc/ssh/ssh_host_*_key.pub"
"""Below the secrets (Guix's childhurd, hurd-vm-populate-secrets)."""
_NO_SECRETS: Final = "-"


class _SshError(VirtsupdError):
    """A machine cannot be reached; the message says what to do."""

    code = "ssh"


def main(words: Sequence[str]) -> int:
    """Become the client; return the exit code if that cannot be done."""
    name, directory, port, secrets, *asked = words
    return told(
        f"reach {name}",
        lambda: _connect(name, directory, [port, secrets], asked),
        wrong_usage=USAGE,
    )


def _connect(name: str, directory: str, place: Sequence[str], asked: Sequence[str]) -> str:
    port, secrets = place
    require_reached(name, directory, Rung.SSH)
    client = shutil.which("ssh")
    if client is None:
        raise _SshError("there is no ssh here (Debian: openssh-client)")
    command = [
        client,
        "-p",
        port,
        "-o",
        "User=root",
        "-o",
        f"HostKeyAlias={name}",
        *_keys(name, secrets),
    ]
    become(client, [*command, "127.0.0.1", *asked])


def _keys(name: str, secrets: str) -> list[str]:
    """Return how the client knows the machine; a client older than OpenSSH 8.5 knows no such command."""
    found = _readable_keys(secrets)
    sed = shutil.which("sed")
    if not found or sed is None:
        return []
    # No file of ours is left behind: the client asks for the lines of a known_hosts file.
    words = [sed, "-e", f"s/^/{name} /", "--", *map(str, found)]
    return [
        *("-o", f"KnownHostsCommand={' '.join(map(_quoted, words))}"),
        *("-o", "UserKnownHostsFile=none", "-o", "GlobalKnownHostsFile=none"),
        *("-o", "StrictHostKeyChecking=yes", "-o", "UpdateHostKeys=no"),
    ]


def _readable_keys(secrets: str) -> list[Path]:
    if secrets == _NO_SECRETS:
        return []
    try:
        return [key for key in sorted(Path(secrets).glob(_KEYS)) if os.access(key, os.R_OK)]
    except OSError:
        return []


def _quoted(word: str) -> str:
    """Return a word as the client splits its commands (ssh_config(5)): quoted, and % doubled."""
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{escaped}"'


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

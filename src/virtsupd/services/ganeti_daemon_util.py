"""The actions install-daemon-util and remove-daemon-util of the target `ganeti`.

A program of its own, which virtsupd runs: `python -m virtsupd.services.ganeti_daemon_util install|remove
--socket PATH [--ssh NAME] [--certificate PATH] [--programs PATH] [--path PATH]`.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from virtsupd.ganeti.installing import install, is_installed, remove
from virtsupd.ganeti.rendering import CERTIFICATE, PROGRAMS, rendering
from virtsupd.services.action_program import ActionParser, UsageError, told

_PATH = Path("/usr/lib/ganeti/daemon-util")
"""As Ganeti has it compiled in (3.0)."""


def main(words: Sequence[str]) -> int:
    """Put our daemon-util in the place of Ganeti's, or Ganeti's back; return the exit code."""
    return told("change Ganeti's daemon-util", lambda: _carry_out(words))


def _carry_out(words: Sequence[str]) -> str:
    parser = ActionParser(
        "virtsupctl install-daemon-util ganeti",
        "Have Ganeti start and stop its daemons by virtsupd. Its own program is kept beside"
        " ours; remove-daemon-util puts it back.",
    )
    parser.add_argument("verb", choices=("install", "remove"))
    parser.add_argument(
        "--socket", required=True, metavar="PATH", help="control socket of virtsupd"
    )
    parser.add_argument("--ssh", default="", metavar="NAME", help="service of the SSH server")
    parser.add_argument("--certificate", default=CERTIFICATE, help="noded's: every node has it")
    parser.add_argument("--programs", default=PROGRAMS, help="the directory of the daemons")
    parser.add_argument("--path", type=Path, default=_PATH, help="Ganeti's daemon-util")
    found = parser.parse_args(words)
    if not (found.path.is_absolute() and Path(found.socket).is_absolute()):
        raise UsageError("--socket and --path must be absolute paths")
    if found.verb == "remove":
        remove(found.path)
        return f"{found.path} is Ganeti's own"
    text = rendering(
        found.socket, found.ssh, certificate=found.certificate, programs=found.programs
    )
    was_there = is_installed(found.path, text)
    install(found.path, text)
    return f"{found.path} {'was already' if was_there else 'is now'} virtsupd's"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

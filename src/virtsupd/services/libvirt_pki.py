"""The action make-pki of libvirtd: a CA and certificates, where libvirt looks for them.

A program of its own, which virtsupd runs: `python -m virtsupd.services.libvirt_pki KEY CERTIFICATE
CA LISTEN-ADDRESS TLS-PORT TO-SET [OPTION…]`. What the table says comes first and by its position, so that
the options, which whoever asks adds, cannot change it.
"""

import argparse
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from virtsupd.errors import VirtsupdError
from virtsupd.process.clock import SystemClock
from virtsupd.services.action_program import ActionParser, UsageError, told
from virtsupd.services.libvirt_names import is_host_name
from virtsupd.services.libvirt_places import Places

_MOST_DAYS: Final = 36500
_ACTION: Final = "virtsupctl make-pki libvirtd"
_CLIENT_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}\Z")


class MissingPackageError(VirtsupdError):
    """What makes certificates is not installed."""

    code = "missing-package"


def options(words: Sequence[str]) -> argparse.Namespace:
    """Read what whoever asks has added; `--help` is printed, and ends the program.

    Raises:
        UsageError: it is not allowed.
    """
    parser = ActionParser(
        _ACTION,
        "Make what is missing of a CA, a server's certificate and a client's for TLS"
        " where [libvirt], or libvirt itself, looks for them. What is there is not touched.",
    )
    add = parser.add_argument
    add(
        "--host",
        nargs="+",
        action="extend",
        default=[],
        metavar="NAME",
        help="more names and addresses of this host, for the server's certificate",
    )
    add("--client", metavar="NAME", help="make one more client's certificate, and nothing else")
    add(
        "--to",
        metavar="DIR",
        help="directory for it, with all that ?pkipath=DIR needs, in one of root's",
    )
    add("--days", type=int, metavar="N", help="days that certificates are valid (default: 1095)")
    found = parser.parse_args(words)
    for fault in _faults(found):
        raise UsageError(fault)
    return found


def _faults(found: argparse.Namespace) -> Iterator[str]:
    if (found.client is None) != (found.to is None):
        yield "--client NAME and --to DIR go together"
    if found.client is not None and found.host:
        yield "--host is for the server's certificate, and --client makes a client's alone"
    if found.client is not None and not _CLIENT_NAME.match(found.client):
        yield (
            f"--client: found {found.client!r}, must be 1 to 64 letters, digits, '.', '_', '@', '-'"
        )
    if found.to is not None and not Path(found.to).is_absolute():
        yield f"--to: found {found.to!r}, must be an absolute path: virtsupd has its own directory"
    if found.days is not None and not 1 <= found.days <= _MOST_DAYS:
        yield f"--days: found {found.days}, must be 1 to {_MOST_DAYS}"
    for name in found.host:
        if not is_host_name(name):
            yield f"--host: found {name!r}, must be an IP address or a name as in the DNS"


def main(words: Sequence[str]) -> int:
    """Make them and say what was made; return the exit code. A failure is told in one line."""
    return told("make certificates", lambda: "\n".join(_carry_out(words)))


def _carry_out(words: Sequence[str]) -> list[str]:
    places, found = Places.of(words[:6]), options(words[6:])
    try:
        from virtsupd.services import libvirt_issue as issue  # noqa: PLC0415 - may be missing
    except ModuleNotFoundError as error:
        raise MissingPackageError(
            f"the Python package {error.name} is missing; install it where virtsupd is:"
            f" {sys.executable} -m pip install cryptography"
        ) from error
    term = issue.Term(SystemClock().now().wall, found.days)
    if found.client is not None:
        return issue.make_client(places, found.client, Path(found.to), term)
    return issue.make_all(places, found.host, term)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

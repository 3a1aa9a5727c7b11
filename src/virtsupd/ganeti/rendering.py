"""The text of the program that is installed as Ganeti's daemon-util."""

import sys
from pathlib import Path
from typing import Final

from virtsupd import __version__
from virtsupd.errors import VirtsupdError

MARK: Final = "# Made by virtsupd"
"""How the second line of every such text begins, whatever the version."""
_LONGEST_SHEBANG: Final = 127
"""Bytes that every Linux takes."""
_HERE: Final = Path(__file__).parent
_JOINT: Final = "from virtsupd.ganeti.asking import "
_HEAD: Final = ("SOCKET = ", "SSH = ", "SERVER_PEM = ", "PROGRAMS = ")
CERTIFICATE: Final = "/var/lib/ganeti/server.pem"
PROGRAMS: Final = "/usr/sbin"


class UnusableInterpreterError(VirtsupdError):
    """A program cannot name this interpreter in its first line."""

    code = "unusable-interpreter"


def rendering(
    socket: str,
    ssh: str,
    *,
    certificate: str = CERTIFICATE,
    programs: str = PROGRAMS,
    interpreter: str = sys.executable,
) -> str:
    """Return the program for a control socket and the service of the host's SSH server ("": none).

    A host is a node if it has the certificate; the daemons are in the directory `programs`.
    Equal arguments give an equal text in each version of virtsupd.

    Raises:
        UnusableInterpreterError: the kernel could not start it with this interpreter.
    """
    shebang = f"#!{interpreter} -IS"
    if any(letter.isspace() for letter in interpreter) or len(shebang) > _LONGEST_SHEBANG:
        raise UnusableInterpreterError(
            f"{interpreter} cannot stand in the first line of a program: it has a space or is too long"
        )
    mark = (
        f"{MARK} {__version__}: virtsupctl remove-daemon-util ganeti puts the package's file back."
    )
    asking, verbs = ((_HERE / name).read_text() for name in ("asking.py", "daemon_util.py"))
    values = dict(zip(_HEAD, (socket, ssh, certificate, programs), strict=True))
    lines = [line for line in verbs.splitlines() if not line.startswith(_JOINT)]
    return "\n".join([shebang, mark, asking, *(_filled(line, values) for line in lines), ""])


def _filled(line: str, values: dict[str, str]) -> str:
    return next((f"{key}{value!a}" for key, value in values.items() if line.startswith(key)), line)

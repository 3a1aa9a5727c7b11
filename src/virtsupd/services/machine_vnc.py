"""`virtsupctl vnc NAME`: where the display of a machine is, and a viewer of it."""

import shutil
import sys
from collections.abc import Sequence
from typing import Final

from virtsupd.core.machine import Rung
from virtsupd.errors import VirtsupdError
from virtsupd.machine.reached import require_reached
from virtsupd.process.becoming import become
from virtsupd.services.action_program import USAGE, ActionParser, json_text, told

FIRST_PORT: Final = 5900
"""Of display 0 (RFC 6143, and QEMU's -vnc)."""
_VIEWERS: Final = (
    ("vncviewer", "127.0.0.1:{display}"),
    ("gvncviewer", "127.0.0.1:{display}"),
    ("remote-viewer", "vnc://127.0.0.1:{port}"),
    ("vinagre", "vnc://127.0.0.1:{port}"),
    ("krdc", "vnc://127.0.0.1:{port}"),
)
"""Programs, and how each is told of a display."""


class _VncError(VirtsupdError):
    """A display cannot be shown; the message says what to do."""

    code = "vnc"


def main(words: Sequence[str]) -> int:
    """Say where the display is, or become a viewer of it; return the exit code."""
    name, directory, display, *asked = words
    return told(
        f"show {name}", lambda: _show(name, directory, int(display), asked), wrong_usage=USAGE
    )


def _show(name: str, directory: str, display: int, asked: Sequence[str]) -> str:
    parser = ActionParser(
        f"virtsupctl vnc {name}",
        "Say where the display is. It has no password, and only this host reaches it.",
    )
    parser.add_argument("--open", action="store_true", help="run the first viewer that is there")
    parser.add_argument("--json", action="store_true", help="as JSON")
    options = parser.parse_args(asked)
    require_reached(name, directory, Rung.MONITOR)
    port = FIRST_PORT + display
    if options.open:
        _view(display, port)
    if options.json:
        return json_text({"host": "127.0.0.1", "port": port, "display": display, "password": False})
    return f"127.0.0.1:{port}, display :{display}, no password; from elsewhere: ssh -L {port}:127.0.0.1:{port} HOST"


def _view(display: int, port: int) -> None:
    """Become a viewer.

    Raises:
        _VncError: there is none.
    """
    for program, address in _VIEWERS:
        found = shutil.which(program)
        if found is not None:
            become(found, [found, address.format(display=display, port=port)])
    names = ", ".join(program for program, _ in _VIEWERS)
    raise _VncError(
        f"none of {names} is here (Debian: tigervnc-viewer, virt-viewer); it is at 127.0.0.1:{port}"
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

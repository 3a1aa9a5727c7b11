"""What virtsupd says to the program that supervises it, with sd_notify(3)."""

import contextlib
import os
import socket


class OwnNotify:
    """Speaks to the NOTIFY_SOCKET that virtsupd was started with; without one, to nobody.

    The variable is taken out of the environment, so that no child speaks in our name.
    """

    def __init__(self) -> None:
        self._path = os.environ.pop("NOTIFY_SOCKET", "")

    def say(self, *lines: str) -> None:
        """Send lines such as READY=1. Nobody listening is no error: the message is for them."""
        if not self._path:
            return
        address = "\0" + self._path[1:] if self._path.startswith("@") else self._path
        with (
            contextlib.suppress(OSError),
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender,
        ):
            sender.setblocking(False)
            sender.sendto("\n".join(lines).encode(), address)

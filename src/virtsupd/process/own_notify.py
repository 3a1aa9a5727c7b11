"""What virtsupd says to the program that supervises it, with sd_notify(3)."""

import contextlib
import os
import socket
import time


class OwnNotify:
    """Speaks to the NOTIFY_SOCKET that virtsupd was started with; without one, to nobody.

    The variable is taken out of the environment, so that no child speaks in our name.
    """

    def __init__(self, path: str | None = None) -> None:
        """Speak to `path` instead, if it is given: what the variable said before an exec."""
        variable = os.environ.pop("NOTIFY_SOCKET", "")
        self.path = variable if path is None else path

    def say_reloading(self, status: str) -> None:
        """Say that READY=1 will come again: a deadline of the program begins, not a new start.

        `status` says what happens until then.
        """
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self.say("RELOADING=1", f"MONOTONIC_USEC={now}", f"STATUS={status}")

    def say(self, *lines: str) -> None:
        """Send lines such as READY=1. Nobody listening is no error: the message is for them."""
        if not self.path:
            return
        address = "\0" + self.path[1:] if self.path.startswith("@") else self.path
        with (
            contextlib.suppress(OSError),
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender,
        ):
            sender.setblocking(False)
            sender.sendto("\n".join(lines).encode(), address)

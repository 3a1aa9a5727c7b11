"""What the process that holds entries is told by signals: to stop, and to read its settings again.

They are blocked and read from descriptors (signalfd(2)). A handler of Python's would not do: it runs
between two instructions, so that one which comes just before poll(2) begins is noticed when that ends.
"""

import ctypes
import os
import signal
from typing import Final

from virtsupd.errors import VirtsupdError

_SET_BYTES: Final = 128
"""Of a sigset_t, with glibc and with musl."""
_INFO_BYTES: Final = 128
"""What is read of each signal."""

_libc = ctypes.CDLL(None, use_errno=True)


class CutShortError(VirtsupdError):
    """Something was ended before it was done, since the process is to stop."""

    code = "cut-short"


class Hearing:
    """From its making on TERM, INT and HUP have no other effect than that they are heard here."""

    def __init__(self) -> None:
        """Take the signals over. What is forked inherits that they are blocked.

        Raises:
            OSError: there is no descriptor left.
        """
        self.stop = _descriptor(signal.SIGTERM, signal.SIGINT)
        """Readable from the first TERM or INT on, for ever: nobody reads it."""
        self.reload = _descriptor(signal.SIGHUP)
        """Readable until `was_told_to_reload`."""

    def was_told_to_reload(self) -> bool:
        """Whether there was a HUP since this was asked last."""
        try:
            return bool(os.read(self.reload, _INFO_BYTES))
        except BlockingIOError:
            return False


def _descriptor(*numbers: signal.Signals) -> int:
    signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    wanted = ctypes.create_string_buffer(_SET_BYTES)
    _libc.sigemptyset(wanted)
    for number in numbers:
        _libc.sigaddset(wanted, int(number))
    found: int = _libc.signalfd(-1, wanted, os.O_NONBLOCK | os.O_CLOEXEC)
    if found < 0:
        raise OSError(ctypes.get_errno(), "signalfd")
    return found

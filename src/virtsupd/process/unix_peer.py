"""Who is at the other end of a Unix connection."""

import socket
import struct
from typing import Final

_CREDENTIALS: Final = struct.Struct("iII")
"""struct ucred of unix(7)."""


def credentials_of(connection: socket.socket) -> tuple[int, int, int]:
    """Return pid, uid and gid of the process that made this Unix connection, or listened for it.

    Raises:
        OSError: the kernel does not tell.
    """
    found = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, uid, gid = _CREDENTIALS.unpack(found)
    return pid, uid, gid

"""Connecting to a socket of a machine, and to nobody else's.

Its directory belongs to QEMU's account, which may put a link there to what another account listens on: root
would reach that, and tell it to quit.
"""

import asyncio
import errno
import os
import socket

from virtsupd.process.unix_peer import credentials_of


async def connected(path: str) -> socket.socket:
    """Return a connection to whoever listens at a path, if that is the account that the directory belongs to.

    Raises:
        OSError: nobody listens there, or another account.
    """
    peer = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        peer.setblocking(False)
        await asyncio.get_running_loop().sock_connect(peer, path)
        demand_owner(peer, path)
    except BaseException:
        peer.close()
        raise
    return peer


def demand_owner(peer: socket.socket, path: str) -> None:
    """Check that the one who listens at a path, connected to, is the account that the directory belongs to.

    Raises:
        PermissionError: it is another.
        OSError: there is no directory any more.
    """
    pid, uid, _ = credentials_of(peer)
    owner = os.lstat(os.path.dirname(path)).st_uid  # noqa: PTH120 - a str is what there is
    if uid != owner:
        text = f"process {pid} of uid {uid} listens there, and the machine's is uid {owner}"
        raise PermissionError(errno.EACCES, text)

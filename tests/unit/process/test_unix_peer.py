"""Who is at the other end of a Unix connection."""

import os
import socket

from virtsupd.process.unix_peer import credentials_of


def test_the_kernel_tells_who_the_peer_is() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX)
    with ours, theirs:
        assert credentials_of(ours) == (os.getpid(), os.geteuid(), os.getegid())

"""One question to the kernel over netlink(7), answered by a dump."""

import socket
import struct
from collections.abc import Iterator

_HEADER = struct.Struct("=IHHII")  # nlmsghdr
_NLMSG_ERROR = 2
_NLMSG_DONE = 3
_NLM_F_REQUEST_DUMP = 0x1 | 0x300
_ERRNO = struct.Struct("=i")
_SECONDS = 1.0


def dump(protocol: int, kind: int, body: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield kind and content of each message of the answer; it ends early where the kernel has no more.

    Raises:
        OSError: the kernel does not know the protocol or the kind, or refuses.
    """
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, protocol) as kernel:
        kernel.settimeout(_SECONDS)
        length = _HEADER.size + len(body)
        kernel.send(_HEADER.pack(length, kind, _NLM_F_REQUEST_DUMP, 1, 0) + body)
        while True:
            for found, content in messages(kernel.recv(65536)):
                if found == _NLMSG_DONE:
                    return
                if found == _NLMSG_ERROR:
                    raise OSError(-_ERRNO.unpack_from(content)[0], "netlink refuses")
                yield found, content


def messages(packet: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield kind and content of the messages in a packet, up to the first that is none."""
    at = 0
    while at + _HEADER.size <= len(packet):
        length, kind, _, _, _ = _HEADER.unpack_from(packet, at)
        if length < _HEADER.size:
            return
        yield kind, packet[at + _HEADER.size : at + length]
        at += (length + 3) & ~3

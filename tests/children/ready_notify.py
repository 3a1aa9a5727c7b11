"""Say READY=1, then wait behind a barrier as systemd-notify does; report what came of it."""

import array
import os
import select
import socket
import sys

with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
    sender.connect(sys.argv[1])
    sender.send(b"READY=1\nSTATUS=Serving")
    kept, passed = os.pipe()
    rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [passed]))
    sender.sendmsg([b"BARRIER=1"], [rights])
    os.close(passed)
    closed = select.poll()
    closed.register(kept, 0)
    os.write(1, b"passed\n" if closed.poll(5000) else b"stuck\n")

"""A client of another user: `control_peer.py UID GROUP SOCKET HOLD TEXT`, started by root.

Becomes the user, with GROUP beside its own group. Connects HOLD times, sends TEXT (with NUL for each "^") on the last connection and prints what comes
until the server closes; with "^" only the first reply. Prints "refused" when it cannot connect.
"""

import os
import socket
import sys

uid, group, path, hold, text = sys.argv[1:]
os.setgroups([int(group)])
os.setgid(int(uid))
os.setuid(int(uid))
held = []
try:
    for _ in range(int(hold)):
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(path)
        held.append(connection)
except OSError:
    sys.stdout.write("refused\n")
    sys.exit(1)
held[-1].sendall(text.replace("^", "\0").encode())
received = b""
while chunk := held[-1].recv(1 << 16):
    received += chunk
    if b"\0" in received:
        break
sys.stdout.write(received.decode().replace("\0", "\n"))

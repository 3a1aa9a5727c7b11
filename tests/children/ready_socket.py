"""Bind a Unix socket at the first line of input, listen at the second, end at the third."""

import os
import socket
import sys

with socket.socket(socket.AF_UNIX) as server:
    os.write(1, b"started\n")
    sys.stdin.readline()
    server.bind(sys.argv[1])
    os.write(1, b"bound\n")
    sys.stdin.readline()
    server.listen()
    os.write(1, b"listening\n")
    sys.stdin.readline()

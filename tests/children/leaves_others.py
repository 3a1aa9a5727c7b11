"""Leave a process in the same group and a daemonised one in a session of its own, then stay or end.

Both ignore nothing. argv[1]: "stays", or "ends" once all is set up. Prints the pids of both: first
the one in the group, then the other.
"""

import os
import signal
import sys


def idle() -> None:
    os.close(1)
    signal.pause()
    os._exit(0)


in_group = os.fork()
if in_group == 0:
    idle()
reading, writing = os.pipe()
first = os.fork()
if first == 0:
    os.setsid()
    second = os.fork()
    if second == 0:
        idle()
    os.write(writing, str(second).encode())
    os._exit(0)
os.waitpid(first, 0)
os.write(1, f"{in_group} {os.read(reading, 20).decode()}\n".encode())
if sys.argv[1] == "stays":
    signal.pause()

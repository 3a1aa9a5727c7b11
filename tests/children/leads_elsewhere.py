"""Make a process that leads a session of its own, with one more in its group; print both pids; stay."""

import os
import signal

reading, writing = os.pipe()
if os.fork() == 0:
    os.setsid()
    other = os.fork()
    if other:
        os.write(writing, f"{os.getpid()} {other}".encode())
    os.close(1)
    signal.pause()
    os._exit(0)
os.write(1, os.read(reading, 40) + b"\n")
signal.pause()

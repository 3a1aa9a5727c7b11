"""Start a command as another process's child would be; print its pid; do what standard input says.

The command leads a session and has a pipe as its standard input, in which a line comes at "go". At
"reap" its wait status is printed. At "ignore" children are reaped by nobody, at "leave" it is orphaned.
"""

import os
import signal
import sys

reading, writing = os.pipe()
pid = os.fork()
if pid == 0:
    os.setsid()
    os.dup2(reading, 0)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.execv(sys.argv[1], sys.argv[1:])
os.write(1, b"%d\n" % pid)
for line in sys.stdin:
    order = line.strip()
    if order == "leave":
        break
    if order == "ignore":
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    elif order == "go":
        os.write(writing, b"\n")
    answer = os.waitpid(pid, 0)[1] if order == "reap" else 0
    os.write(1, b"%d\n" % answer)

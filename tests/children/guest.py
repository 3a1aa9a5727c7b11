"""A guest of tests/support/guest_kind.py: guest.py DIRECTORY NAME obeys|holds|deaf.

It notes its end in DIRECTORY/order. One that holds has to get USR1 as well as TERM; a deaf one ends on
KILL alone.
"""

import os
import signal
import sys
from pathlib import Path

directory, name, manner = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
signals = {signal.SIGTERM, signal.SIGUSR1}
signal.pthread_sigmask(signal.SIG_BLOCK, signals)
made = directory / f"{name}.new"
made.write_text(str(os.getpid()))
pid_file = made.rename(directory / f"{name}.pid")
awaited = {"obeys": {signal.SIGTERM}, "holds": signals, "deaf": {signal.SIGUSR1}}[manner]
while awaited:
    awaited = awaited - {signal.sigwait(signals)}
with (directory / "order").open("a") as order:
    order.write(f"{name}\n")
pid_file.unlink()

"""As an ordinary user, watch another one's process: argv has its pid and a pidfd; print its end.

"seen" is printed once its death has been noticed.
"""

import asyncio
import os
import sys

from virtsupd.core.exits import ExitStatus
from virtsupd.process.exit_watch import ExitWatch

UNUSED = 54321


async def main(pid: int, pidfd: int) -> None:
    loop, done = asyncio.get_running_loop(), asyncio.Event()

    def ended(status: ExitStatus) -> None:
        sys.stdout.write(f"{status}\n")
        done.set()

    def seen() -> None:
        loop.remove_reader(other)
        loop.call_soon(os.write, 1, b"seen\n")

    other = os.dup(pidfd)
    loop.add_reader(other, seen)
    ExitWatch(pid, pidfd, ended)
    os.write(1, b"watching\n")
    await done.wait()


os.setgroups([])
os.setresgid(UNUSED, UNUSED, UNUSED)
os.setresuid(UNUSED, UNUSED, UNUSED)
asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))

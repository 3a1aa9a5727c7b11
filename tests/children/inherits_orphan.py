"""Become a subreaper, inherit one orphan, print how it ended."""

import os
import sys

import anyio

from virtsupd.core.exits import ExitStatus
from virtsupd.process.reaper import Reaper, become_subreaper


async def main() -> None:
    become_subreaper()
    reaper, done = Reaper(), anyio.Event()
    reading, writing = os.pipe()
    telling, told = os.pipe()
    if os.fork() == 0:
        orphan = os.fork()
        if orphan == 0:
            os.close(writing)
            os.read(reading, 1)  # until every other end is closed: the parent's too
            os._exit(9)
        os.write(told, b"%d" % orphan)
        os._exit(0)

    def ended(status: ExitStatus) -> None:
        sys.stdout.write(f"{status}\n")
        done.set()

    reaper.watch(int(os.read(telling, 20)), ended)
    os.close(reading)
    os.close(writing)
    async with reaper.running():
        with anyio.fail_after(10):
            await done.wait()


anyio.run(main)

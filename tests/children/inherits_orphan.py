"""Become a subreaper, inherit one orphan, print how it ended."""

import os
import sys

import anyio

from virtsupd.core.exits import ExitStatus
from virtsupd.process.reaper import Reaper, become_subreaper


async def main() -> None:
    become_subreaper()
    reaper, done = Reaper(), anyio.Event()

    def stranger(pid: int, status: ExitStatus) -> None:
        if pid != parent:
            sys.stdout.write(f"{status}\n")
            done.set()

    reaper.on_stranger(stranger)
    reading, writing = os.pipe()
    parent = os.fork()
    if parent == 0:
        if os.fork() == 0:
            os.close(writing)
            os.read(reading, 1)  # until every other end is closed: the parent's too
            os._exit(9)
        os._exit(0)
    os.close(reading)
    os.close(writing)
    async with reaper.running():
        with anyio.fail_after(10):
            await done.wait()


anyio.run(main)

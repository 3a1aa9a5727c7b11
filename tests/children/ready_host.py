"""Wait for a fact of the host in private namespaces, and bring it about by commands.

Arguments: a probe ("mount PATH TYPE" or a host check), then shell commands. Each command runs when
the probe has said once more why the fact does not hold; "listen PATH" binds a Unix socket of our
own, and a first "name NAME" gives this process another name before it begins. Prints "ready" at the end.
"""

import os
import socket
import subprocess
import sys
from pathlib import Path

import anyio

from virtsupd.core.names import Name
from virtsupd.core.spec import HostCheck, HostProbe, MountProbe
from virtsupd.process.clock import SystemClock
from virtsupd.process.readiness import ProbeContext, wait_ready

kind, *commands = sys.argv[1:]
words = kind.split()
probe = MountProbe(words[1], words[2]) if words[0] == "mount" else HostProbe(HostCheck(words[0]))
if commands and commands[0].startswith("name "):
    Path("/proc/self/comm").write_text(commands.pop(0).removeprefix("name "))
pending = iter(commands)
listener = socket.socket(socket.AF_UNIX)


def carry_out(command: str) -> None:
    if command.startswith("listen "):
        path = Path(command.removeprefix("listen "))
        path.parent.mkdir()
        listener.bind(str(path))
        listener.listen()
    else:
        subprocess.run(command, shell=True, check=True)


async def main() -> None:
    noted, notes = anyio.create_memory_object_stream[str](100)
    async with anyio.create_task_group() as tasks:

        async def act() -> None:
            async for note in notes:
                os.write(1, f"{note}\n".encode())
                command = next(pending, None)
                if command is not None:
                    await anyio.to_thread.run_sync(carry_out, command)

        tasks.start_soon(act)
        context = ProbeContext(name=Name("host"), clock=SystemClock(), note=noted.send_nowait)
        with anyio.fail_after(10):
            await wait_ready(probe, context)
        os.write(1, b"ready\n")
        tasks.cancel_scope.cancel()
    noted.close()
    notes.close()


anyio.run(main)

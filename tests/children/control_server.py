"""A control server over made-up services: `control_server.py SOCKET COUNT`; ends with its standard input."""

import sys
from pathlib import Path

import anyio
from tests.support.control import running_server
from tests.support.hand_backend import HandBackend, snapshot_of, spec_of


async def main() -> None:
    path, count = sys.argv[1:]
    services = [
        snapshot_of(spec_of(f"service-{number}", description="One of many.", requires=("web",)))
        for number in range(int(count) - 1)
    ]
    backend = HandBackend(snapshot_of(spec_of("web")), *services)
    backend.holds = anyio.Event()
    async with running_server(backend, Path(path)):
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await anyio.wait_readable(sys.stdin)


anyio.run(main)

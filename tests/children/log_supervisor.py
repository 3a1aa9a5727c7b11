"""Stands for a virtsupd to kill: log_supervisor.py RUN_DIR NAME FILE runs Outputs with one log.

Writes a line to standard output once the log keeper knows of the log; then it waits for ever.
"""

import sys
from pathlib import Path

import anyio

from virtsupd.core.names import Name
from virtsupd.core.spec import LogSpec
from virtsupd.process.clock import SystemClock
from virtsupd.process.output import Outputs
from virtsupd.process.reaper import Reaper


async def main() -> None:
    """Run."""
    run_dir, name, file = sys.argv[1:]
    reaper = Reaper()
    outputs = Outputs(
        Path(run_dir), children=reaper, clock=SystemClock(), on_trouble=lambda _name, _text: None
    )
    async with reaper.running(), outputs.running():
        outputs.open(Name(name), LogSpec(file), uid=0, gid=0)
        await outputs._link.connected.wait()
        await outputs.drained(Name(name))
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await anyio.sleep_forever()


anyio.run(main)

"""A whole daemon in the test's own process: every part as in the program, but no command line."""

import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import anyio.lowlevel

from virtsupd.config.kinds import Registry
from virtsupd.config.load import load
from virtsupd.core.events import Verb
from virtsupd.core.names import Name
from virtsupd.daemon.backend import DaemonBackend
from virtsupd.daemon.daemon import Daemon
from virtsupd.daemon.domains import Processes
from virtsupd.process.clock import SystemClock
from virtsupd.process.reaper import Reaper
from virtsupd.process.spawn import best_spawner
from virtsupd.services.registry import KINDS

SECONDS = 10.0
WEB = Name("web")
SERVICE = '[service.web]\ncommand = ["/bin/sleep", "1000"]\n'


def write_host(directory: Path, services: str, **settings: str) -> Path:
    """Write `host.toml` with everything it names below `directory`; return its path."""
    names = {key: f"{directory}/{key}" for key in ("run_dir", "state_dir", "log_dir")} | settings
    lines = "\n".join(f'{key} = "{value}"' for key, value in names.items())
    config = directory / "host.toml"
    config.write_text(f"[host]\n{lines}\n{services}")
    return config


@asynccontextmanager
async def whole_daemon(
    directory: Path, services: str = SERVICE, kinds: Registry = KINDS
) -> AsyncIterator[DaemonBackend]:
    """Yield what the control socket asks of a daemon whose `web` runs; it ends with a shutdown."""
    loaded = load(write_host(directory, services), kinds)
    reaper = Reaper()
    has_ended = anyio.Event()

    async def run() -> None:
        await daemon.run()
        has_ended.set()

    async with reaper.running(), anyio.create_task_group() as tasks:
        daemon = Daemon(
            loaded, kinds, processes=Processes(best_spawner(), reaper), clock=SystemClock()
        )
        tasks.start_soon(run)
        with anyio.fail_after(SECONDS):
            while not hasattr(daemon, "_backend"):
                await anyio.lowlevel.checkpoint()
            await daemon._backend.ask(Verb.WAIT, [WEB], who="a test")
        try:
            yield daemon._backend
        finally:
            # Waited for here: a failed test would cancel the shutdown on its way out.
            daemon._backend.end("shutdown", who="a test")
            with anyio.move_on_after(SECONDS):
                await has_ended.wait()
    gc.unfreeze()
    assert not (directory / "run_dir").exists()

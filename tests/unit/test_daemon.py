"""The composition root by itself: what it refuses, and what it gives back when it does."""

import gc
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest

from virtsupd.config.load import load
from virtsupd.core.events import Verb
from virtsupd.core.names import Name
from virtsupd.core.snapshot import State
from virtsupd.daemon import Daemon
from virtsupd.errors import (
    ActionError,
    ConfigError,
    UnknownActionError,
    UnknownServiceError,
)
from virtsupd.process.clock import SystemClock
from virtsupd.process.reaper import Reaper
from virtsupd.process.spawn import best_spawner
from virtsupd.services.registry import KINDS

pytestmark = pytest.mark.process

WEB = Name("web")
SERVICE = '[service.web]\ncommand = ["/bin/sleep", "1000"]\n'


def write(tmp_path: Path, services: str, **settings: str) -> Path:
    names = {key: f"{tmp_path}/{key}" for key in ("run_dir", "state_dir", "log_dir")} | settings
    lines = "\n".join(f'{key} = "{value}"' for key, value in names.items())
    config = tmp_path / "host.toml"
    config.write_text(f"[host]\n{lines}\n{services}")
    return config


@asynccontextmanager
async def daemon_of(tmp_path: Path, services: str = SERVICE) -> AsyncIterator[Daemon]:
    """Yield a daemon at work in the test's own process; it ends with a shutdown."""
    loaded = load(write(tmp_path, services), KINDS)
    reaper = Reaper()
    async with reaper.running(), anyio.create_task_group() as tasks:
        daemon = Daemon(loaded, KINDS, spawner=best_spawner(), reaper=reaper, clock=SystemClock())
        tasks.start_soon(daemon.run)
        with anyio.fail_after(10):
            while not hasattr(daemon, "_supervisor"):
                await anyio.lowlevel.checkpoint()
            await daemon.ask(Verb.WAIT, [WEB], who="a test")
        try:
            yield daemon
        finally:
            daemon.end("shutdown", who="a test")
    gc.unfreeze()
    assert not (tmp_path / "run_dir").exists()


async def test_it_answers_for_everything_it_holds(tmp_path: Path) -> None:
    async with daemon_of(tmp_path) as daemon:
        assert daemon.facts().pid == os.getpid()
        assert daemon.facts().phase == "running"
        assert daemon.resolve("web") == WEB
        assert daemon.snapshot(WEB).state is State.RUNNING
        assert [found.spec.name for found in daemon.snapshots()] == [WEB]
        assert daemon.pids(WEB) == (daemon.snapshot(WEB).pid,)
        # The log keeper makes the file as soon as it has begun.
        assert set(daemon.log_files(WEB)) <= {f"{tmp_path}/log_dir/web.log"}
        assert 'command = ["/bin/sleep"' in daemon.definition(WEB)
        with pytest.raises(UnknownServiceError):
            daemon.resolve("wep")


async def test_a_shutdown_that_has_begun_stays_one(tmp_path: Path) -> None:
    async with daemon_of(tmp_path) as daemon:
        daemon.end("shutdown", who="one")
        daemon.end("quit", who="another")
        assert daemon.facts().phase == "shutting-down"


async def test_actions_that_are_none(tmp_path: Path) -> None:
    services = (
        f'{SERVICE}[service.web.actions.bad]\ndescription = "x"\ncommand = ["/nonexistent/x"]\n'
    )
    async with daemon_of(tmp_path, services) as daemon:
        with pytest.raises(UnknownActionError):
            await daemon.act(WEB, "nothing", ())
        with pytest.raises(ActionError, match="cannot run bad of web"):
            await daemon.act(WEB, "bad", ())


async def test_a_reload_that_is_refused_changes_nothing(tmp_path: Path) -> None:
    async with daemon_of(tmp_path) as daemon:
        before = daemon.snapshot(WEB)
        write(tmp_path, SERVICE + "colour = 1\n")
        with pytest.raises(ConfigError):
            await daemon.reload_configuration()
        write(tmp_path, SERVICE, run_dir=f"{tmp_path}/other", cgroup="other")
        with pytest.raises(ConfigError) as refused:
            await daemon.reload_configuration()
        assert len(refused.value.problems) == 3  # run_dir, the socket in it, cgroup
        assert daemon.snapshot(WEB) == before
        assert not (tmp_path / "other").exists()


async def test_reload_tells_the_difference(tmp_path: Path) -> None:
    async with daemon_of(tmp_path) as daemon:
        write(tmp_path, SERVICE.replace("1000", "2000") + SERVICE.replace("web", "app"))
        outcome = await daemon.reload_configuration()
        assert (outcome.added, outcome.changed, outcome.pending, outcome.removed) == (
            ("app",),
            ("web",),
            ("web",),
            (),
        )

"""When virtsupd refuses to become another program, and that it then goes on as it was."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
import structlog.testing
from tests.support.control import connected
from tests.support.hand_backend import HandBackend
from tests.support.supervising import SECONDS, Supervising, service, supervising

from virtsupd.config.settings import AccessSettings
from virtsupd.control.server import ControlServer
from virtsupd.core.events import Verb
from virtsupd.core.snapshot import State
from virtsupd.daemon.ending import Ending
from virtsupd.daemon.reexecution import Estate, Reexecution, same_directories
from virtsupd.errors import ReexecError
from virtsupd.process.clock import SystemClock
from virtsupd.process.own_notify import OwnNotify

pytestmark = pytest.mark.process


async def fits(command: Sequence[str]) -> str:
    assert command
    return "2.0"


def defect() -> Estate:
    raise ValueError("a defect")


@asynccontextmanager
async def reexecution(s: Supervising, tmp_path: Path) -> AsyncIterator[Reexecution]:
    """Yield one that never gets as far as the exec: what there is to leave cannot be told."""
    server = ControlServer(AccessSettings(), clock=SystemClock())
    server.listen(tmp_path / "control")
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(server.serve, HandBackend())
            yield Reexecution(
                supervisor=s.supervisor,
                commands=s.machine.commands,
                server=server,
                ending=Ending(s.supervisor, OwnNotify(), SystemClock()),
                own_notify=OwnNotify(""),
                tasks=tasks,
                check=fits,
                estate=defect,
            )
            tasks.cancel_scope.cancel()
    finally:
        server.close()


async def ended(found: Reexecution) -> None:
    with anyio.fail_after(SECONDS):
        while found._is_under_way:
            await anyio.lowlevel.checkpoint()


async def test_one_that_fails_leaves_everything_at_work(tmp_path: Path) -> None:
    async with supervising(service()) as s, reexecution(s, tmp_path) as found:
        with structlog.testing.capture_logs() as logs:
            assert await found.begin("a test") == "2.0"
            await ended(found)
        assert found.failure == "virtsupd could not re-execute itself: a defect"
        assert [entry["event"] for entry in logs][-1] == "virtsupd goes on as it was"
        assert not s.supervisor.is_interrupted
        assert (await s.ask(Verb.STOP, "web")).reports
        assert s.snapshot().state is State.STOPPED
        async with connected(tmp_path / "control") as caller:
            assert await caller.call("Status", {"names": []})
        assert await found.begin("a test") == "2.0"
        await ended(found)


async def test_what_ends_becomes_nothing_else(tmp_path: Path) -> None:
    async with supervising(service()) as s, reexecution(s, tmp_path) as found:
        found.ending.begin("quit", who="a test")
        with pytest.raises(ReexecError, match=r"about to end \(quit\)"):
            await found.begin("a test")


async def test_there_is_one_at_a_time(tmp_path: Path) -> None:
    async with supervising(service()) as s, reexecution(s, tmp_path) as found:
        found._is_under_way = True
        with pytest.raises(ReexecError, match="already"):
            await found.begin("a test")


async def test_what_could_not_be_written_down_would_be_lost(tmp_path: Path) -> None:
    async with supervising(service()) as s, reexecution(s, tmp_path) as found:
        s.records.trouble = "no space"
        with pytest.raises(ReexecError, match="a successor would not know all: no space"):
            await found.begin("a test")


async def test_a_refusal_that_nobody_waits_for_is_logged(tmp_path: Path) -> None:
    async with supervising(service()) as s, reexecution(s, tmp_path) as found:
        found._is_under_way = True
        with structlog.testing.capture_logs() as logs:
            await found.begin_unasked("SIGUSR1")
        assert logs[0]["event"] == "virtsupd does not re-execute itself"


def test_the_directories_are_the_same_by_what_they_are(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    same_directories({"run_dir": f"{tmp_path}/link"}, {"run_dir": str(tmp_path)})
    with pytest.raises(ReexecError, match=r"host.run_dir: /elsewhere instead of"):
        same_directories({"run_dir": "/elsewhere"}, {"run_dir": str(tmp_path)})

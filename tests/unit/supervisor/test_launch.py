"""What a process is given before it exists, and that nothing of it stays when the start fails."""

import os
from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.checks import eventually
from tests.support.supervising import WEB, Parts, Supervising, many, service, supervising

from virtsupd.core.events import Verb
from virtsupd.core.snapshot import State
from virtsupd.core.spec import (
    FdProbe,
    Health,
    LogSpec,
    NotifyProbe,
    PathProbe,
    Readiness,
    SocketSpec,
    Stop,
    StopMode,
)
from virtsupd.process.lives import epoch, life_of
from virtsupd.process.plan import Child, SpawnPlan
from virtsupd.process.spawn import best_spawner
from virtsupd.process.store import DirectoryStore
from virtsupd.supervisor.launch import watchdog_seconds
from virtsupd.supervisor.record import Record
from virtsupd.supervisor.records import Records

pytestmark = pytest.mark.process


def variables(s: Supervising) -> dict[str, str]:
    """Return the environment of the service's process.

    The parent goes on a moment before exec has put the new one in place.
    """
    text = eventually(Path(f"/proc/{s.snapshot().pid}/environ").read_text, "an environment")
    return dict(item.split("=", 1) for item in text.split("\0") if item)


async def test_a_plain_service_gets_three_descriptors_and_no_variables_of_ours() -> None:
    async with supervising(service()) as s:
        folder = Path(f"/proc/{s.snapshot().pid}/fd")
        eventually(lambda: {fd.name for fd in folder.iterdir()} == {"0", "1", "2"}, "only three")
        found = variables(s)
        assert not {"NOTIFY_SOCKET", "LISTEN_FDS", "LISTEN_PID", "WATCHDOG_USEC"} & set(found)


async def test_its_environment_says_of_which_start_a_process_is() -> None:
    async with supervising(service()) as s:
        found, record = variables(s), s.records.record(WEB)
        assert record is not None
        assert found["VIRTSUPD_START"] == record.mark
        assert record.mark.startswith(f"{s.run_dir}:web:{record.generation}:")
        assert found["VIRTSUPD_START_PID"] == str(s.snapshot().pid)


async def test_sockets_come_with_three_variables() -> None:
    sockets = (SocketSpec("front", f"@vs-{os.getpid()}-a"), SocketSpec("back", "127.0.0.1:0"))
    async with supervising(service(process={"sockets": sockets})) as s:
        found = variables(s)
        assert found["LISTEN_FDS"] == "2"
        assert found["LISTEN_FDNAMES"] == "front:back"
        assert found["LISTEN_PID"] == str(s.snapshot().pid)


async def test_readiness_descriptors_follow_the_sockets() -> None:
    sockets = (SocketSpec("front", f"@vs-{os.getpid()}-b"),)
    ready = Readiness(FdProbe(variable="READY_FD"))
    spec = service("web", *many("newline", "READY_FD"), process={"sockets": sockets}, ready=ready)
    async with supervising(spec) as s:
        await s.until(lambda: s.snapshot().state is State.RUNNING)
        assert variables(s)["READY_FD"] == "4"
        assert (s.run_dir / "ready/web").is_fifo()
        await s.ask(Verb.STOP, "web")
        assert not (s.run_dir / "ready/web").exists()


async def test_a_stale_readiness_fifo_is_replaced() -> None:
    spec = service("web", *many("newline", "5"), ready=Readiness(FdProbe(fd=5)))
    async with supervising(spec, parts=Parts(has_booted=False)) as s:
        (s.run_dir / "ready/web").write_text("\n")
        await s.ask(Verb.START, "web")
        assert s.snapshot().state is State.RUNNING


async def test_a_failed_start_leaves_nothing() -> None:
    sockets = (SocketSpec("front", f"@vs-{os.getpid()}-c"),)
    spec = service(process={"sockets": sockets}, ready=Readiness(FdProbe(fd=3)))
    async with supervising(spec) as s:
        text = "descriptor: cannot pass readiness as descriptor 3: 0 to 3 are taken"
        assert s.reason() == text
        assert list((s.run_dir / "ready").iterdir()) == []
        assert s.records.record(WEB) is None
        assert s.launcher.tree is not None
        assert s.launcher.tree.services() == ()


@pytest.mark.parametrize("mode", list(StopMode))
async def test_a_start_that_nothing_would_tell_a_successor_of_is_not_made(mode: StopMode) -> None:
    spec = service(stop=Stop(mode=mode))
    async with supervising(spec, parts=Parts(has_booted=False)) as s:
        (s.run_dir / "records").write_text("a file where the directory should be")
        [report] = (await s.ask(Verb.START, "web")).reports
        if mode is StopMode.CGROUP:  # in which a successor finds it
            assert s.snapshot().state is State.RUNNING
        else:
            assert report.message.startswith("web: record: cannot record the start: ")
            assert s.launcher.tree is not None
            assert s.launcher.tree.services() == ()


async def test_a_record_is_begun_before_the_spawn_and_names_the_cgroup() -> None:
    class Looking:
        def spawn(self, plan: SpawnPlan) -> Child:
            seen.append(read().record(WEB))
            states.append(read().kept()[WEB].state)
            return best_spawner().spawn(plan)

    def read() -> Records:
        return Records(DirectoryStore(s.run_dir / "records"), epoch())

    seen: list[Record | None] = []
    states: list[State] = []
    async with supervising(service(), parts=Parts(spawner=Looking(), has_booted=False)) as s:
        await s.ask(Verb.START, "web")
        [begun] = seen
        after = read().record(WEB)
        assert begun is not None
        assert after is not None
        assert begun.leader is None
        assert begun.cgroup == after.cgroup == s.interpreter._runs[WEB].cgroup.path  # type: ignore[union-attr]  # it has one
        assert after.leader == life_of(s.snapshot().pid or 0)
        assert states == [State.STARTING]


async def test_a_record_tells_where_the_output_goes_and_where_it_begins(tmp_path: Path) -> None:
    log = LogSpec(str(tmp_path / "web.log"), keep=3)
    (tmp_path / "web.log").write_text("of an earlier start\n")
    spec = service()
    assert spec.process is not None
    async with supervising(replace(spec, process=replace(spec.process, log=log))) as s:
        record = Records(DirectoryStore(s.run_dir / "records"), epoch()).record(WEB)
        assert record is not None
        assert (record.log, record.log_offset, record.uid) == (log, 20, os.getuid())


async def test_a_watchdog_is_told_its_interval() -> None:
    health = Health(NotifyProbe(), interval_seconds=2.5)
    async with supervising(service(health=health)) as s:
        found = variables(s)
        assert found["WATCHDOG_USEC"] == "2500000"
        assert found["NOTIFY_SOCKET"] == str(s.run_dir / "notify/web")


def test_only_notify_is_a_watchdog() -> None:
    assert watchdog_seconds(service()) is None
    assert watchdog_seconds(service(health=Health(PathProbe("/")))) is None
    assert watchdog_seconds(service(health=Health(NotifyProbe(), 3.0))) == 3.0


async def test_what_is_kept_over_restarts_goes_with_the_service() -> None:
    sockets = (SocketSpec("front", f"@vs-{os.getpid()}-d"),)
    async with supervising(service(process={"sockets": sockets}, transient=True)) as s:
        assert WEB in s.launcher._sockets
        await s.ask(Verb.STOP, "web")
        assert WEB not in s.launcher._sockets
        s.launcher.release(WEB)


async def test_a_service_without_a_log_has_no_offset() -> None:
    async with supervising(service(stop=Stop(mode=StopMode.GROUP))) as s:
        run = s.interpreter._runs[WEB]
        assert run.log_offset == 0
        assert s.launcher.plan_beside(run, ("/bin/true",)).argv == ("/bin/true",)

"""Attending to a machine: up its rungs, down its stop ladder, and why it ended."""

import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import pytest
from tests.support.hand_clock import HandClock
from tests.support.hand_machine import HandMachine

from virtsupd.core.machine import (
    LastWords,
    MachineEnd,
    MachineSpec,
    MachineStopHow,
    Rung,
    RungSpec,
    SecretsSpec,
    StopStep,
)
from virtsupd.core.names import Name
from virtsupd.errors import NotReadyError
from virtsupd.machine import kvm
from virtsupd.machine.attendance import Attendance, Subject
from virtsupd.machine.kvm import with_kvm
from virtsupd.machine.reached import make_places, note_reached, rungs_reached

STEPS = tuple(StopStep(how, 10) for how in MachineStopHow)


@dataclass(eq=False)
class Scene:
    """One machine and its attendance."""

    directory: Path
    rungs: tuple[Rung, ...] = (Rung.MONITOR,)
    is_adopted: bool = False
    ssh_port: int | None = None
    ports: tuple[int, ...] = ()
    qemu: HandMachine = field(default_factory=HandMachine)
    clock: HandClock = field(default_factory=HandClock)
    said: list[tuple[str, str]] = field(default_factory=list)

    @asynccontextmanager
    async def attended(self, leader: int | None = None) -> AsyncIterator[Attendance]:
        machine = MachineSpec(
            str(self.directory),
            "/run/qmp",
            "/run/agent",
            SecretsSpec(11004),
            self.ssh_port,
            self.ports,
        )
        subject = Subject(
            name=Name("hurd"),
            machine=machine,
            rungs=tuple(RungSpec(rung, 60) for rung in self.rungs),
            leader=lambda: leader,
            tell=lambda kind, text: self.said.append((kind, text)),
            is_adopted=self.is_adopted,
        )
        if not self.is_adopted:
            make_places(str(self.directory), self.directory.stat().st_uid, -1)
        attendance = Attendance(subject, self.qemu, self.clock)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(attendance.run)
            await anyio.wait_all_tasks_blocked()
            yield attendance
            tasks.cancel_scope.cancel()

    def reached(self) -> frozenset[Rung]:
        return rungs_reached(str(self.directory))


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


async def test_the_monitor_is_reached_when_the_processors_run(scene: Scene) -> None:
    scene.qemu.runs, scene.qemu.status = False, "prelaunch"
    async with scene.attended() as attendance:
        assert scene.said[-1] == ("waiting", "monitor: QEMU says that the machine is 'prelaunch'")
        scene.qemu.runs = True
        await scene.clock.pass_time(1)
        await attendance.climbed()
    assert scene.reached() == {Rung.MONITOR}


@pytest.fixture
def trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    """KVM is trusted at first, and again after the test."""
    monkeypatch.setattr(kvm._Trust, "is_lost", False)


@pytest.mark.usefixtures("trusted")
async def test_a_guest_that_kvm_cannot_run_fails_and_is_started_without(scene: Scene) -> None:
    scene.rungs = (Rung.MONITOR, Rung.SECRETS)
    scene.qemu.has_kvm = True
    async with scene.attended() as attendance:
        await anyio.wait_all_tasks_blocked()
        scene.qemu.runs, scene.qemu.status = False, "internal-error"
        scene.qemu.lines[-1].says(("STOP", {}))
        with pytest.raises(NotReadyError, match=r"internal-error.*it is started without"):
            await attendance.climbed()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(attendance.end, STEPS[:3], lambda: None)
            await anyio.wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()
    assert scene.qemu.told[-1] == "quit"
    assert not {"system_powerdown", "guest-shutdown"} & set(scene.qemu.told), "nobody there to hear"
    assert with_kvm(("qemu",), kvm="auto", account=(0, frozenset())) == ("qemu",)


@pytest.mark.usefixtures("trusted")
async def test_one_that_was_halted_before_anybody_listened_is_told_too(scene: Scene) -> None:
    scene.qemu.runs, scene.qemu.status = False, "internal-error"
    async with scene.attended() as attendance:
        with pytest.raises(NotReadyError, match=r"for a fault \(internal-error\)$"):
            await attendance.climbed()
    assert not kvm._Trust.is_lost, "it had none"


async def test_one_that_somebody_has_paused_is_waited_for(scene: Scene) -> None:
    scene.rungs = (Rung.MONITOR, Rung.SECRETS)
    async with scene.attended() as attendance:
        scene.qemu.runs, scene.qemu.status = False, "paused"
        scene.qemu.lines[-1].says(("STOP", {}))
        await anyio.wait_all_tasks_blocked()
        scene.qemu.runs, scene.qemu.status = True, "running"
        scene.qemu.lines[-1].says(("RESUME", {}))
        scene.qemu.secrets.set()
        await attendance.climbed()


async def test_secrets_that_the_guest_cannot_take_end_the_start(scene: Scene) -> None:
    scene.rungs = (Rung.MONITOR, Rung.SECRETS)
    scene.qemu.wants_none = "it said 'SSH-2.0' in place of a greeting"
    async with scene.attended() as attendance:
        with pytest.raises(NotReadyError, match=r"secrets: it said 'SSH-2\.0'"):
            await attendance.climbed()


async def test_secrets_go_to_nobody_but_our_qemu(scene: Scene) -> None:
    scene.rungs = (Rung.SECRETS,)
    async with scene.attended(leader=1):
        assert scene.qemu.is_ours is not None
        assert not scene.qemu.is_ours(), "nobody listens, or somebody else"


async def test_an_adopted_machine_whose_ssh_answers_has_had_its_secrets(tmp_path: Path) -> None:
    """An earlier virtsupd died between the last byte and its note of it: nobody listens any more."""
    note_reached(str(tmp_path), Rung.MONITOR)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        scene = Scene(tmp_path, (Rung.MONITOR, Rung.SECRETS), is_adopted=True, ssh_port=port)
        server.setblocking(False)
        async with scene.attended() as attendance:
            await anyio.wait_readable(server)
            connection, _ = server.accept()
            with connection:
                connection.sendall(b"SSH-2.0-dropbear\r\n")
                with anyio.fail_after(5):
                    await attendance.climbed()
    assert scene.reached() == {Rung.MONITOR, Rung.SECRETS}


async def test_the_agent_is_asked_until_it_answers(scene: Scene) -> None:
    scene.rungs, scene.qemu.agent = (Rung.AGENT,), "no answer"
    async with scene.attended() as attendance:
        assert ("waiting", "agent: no answer") in scene.said
        scene.qemu.agent = None
        await scene.clock.pass_time(5)
        await attendance.climbed()


async def test_nobody_is_asked_while_the_guest_has_the_channel_closed(scene: Scene) -> None:
    scene.rungs, scene.qemu.agent = (Rung.AGENT,), "no answer"
    async with scene.attended() as attendance:
        scene.qemu.lines[0].says(("VSERPORT_CHANGE", {"open": False}))
        await scene.clock.pass_time(60 - 1)
        assert scene.said[-1] == ("waiting", "agent: the guest has closed its channel")
        scene.qemu.agent = None
        scene.qemu.lines[0].says(("VSERPORT_CHANGE", {"open": True}))
        await attendance.climbed()


async def test_a_stop_goes_down_the_ladder(scene: Scene) -> None:
    signals: list[str] = []
    async with scene.attended() as attendance, anyio.create_task_group() as tasks:
        tasks.start_soon(attendance.end, STEPS, lambda: signals.append("TERM"))
        await scene.clock.pass_time(1)
        assert scene.qemu.told[-1] == "guest-shutdown"
        await scene.clock.pass_time(10)
        assert scene.qemu.told[-1] == "system_powerdown"
        await scene.clock.pass_time(10)
        assert scene.qemu.told[-1] == "quit"
        assert signals == []
        await scene.clock.pass_time(10)
        assert signals == ["TERM"]
        tasks.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("is_open", "asked"), [(False, "system_powerdown"), (True, "guest-shutdown")]
)
async def test_an_agent_whose_channel_the_guest_never_opened_is_not_asked(
    scene: Scene, *, is_open: bool, asked: str
) -> None:
    where = "unix:/run/agent,server=on"
    scene.qemu.channels = [
        {"label": "serial", "filename": "disconnected:unix:/run/agent2,server=on"},
        {"label": "a", "filename": f"disconnected:{where}", "frontend-open": is_open},
    ]
    async with scene.attended() as attendance, anyio.create_task_group() as tasks:
        tasks.start_soon(attendance.end, STEPS, lambda: None)
        await scene.clock.pass_time(0)
        assert scene.qemu.told[-1] == asked
        tasks.cancel_scope.cancel()


async def test_without_agent_and_monitor_the_signal_comes_at_once(scene: Scene) -> None:
    signals: list[str] = []
    scene.qemu.has_monitor, scene.qemu.agent = False, "no answer"
    async with scene.attended() as attendance, anyio.create_task_group() as tasks:
        tasks.start_soon(attendance.end, STEPS, lambda: signals.append("TERM"))
        await scene.clock.pass_time(0.1)
        assert signals == ["TERM"]
        tasks.cancel_scope.cancel()


async def test_at_its_end_it_is_told_why_and_which_step_it_was(scene: Scene) -> None:
    async with scene.attended() as attendance, anyio.create_task_group() as tasks:
        tasks.start_soon(attendance.end, STEPS, lambda: None)
        await scene.clock.pass_time(2)
        scene.qemu.lines[0].says(("SHUTDOWN", {"guest": True, "reason": "guest-shutdown"}))
        scene.qemu.lines[0].says(None)
        text = "powered off by its guest agent, 2.0 s after the stop began"
        assert await attendance.last_words() == LastWords(MachineEnd.POWER_OFF, text)
        tasks.cancel_scope.cancel()


async def test_an_end_of_its_own_is_told_as_such(scene: Scene) -> None:
    async with scene.attended() as attendance:
        scene.qemu.lines[0].says(("SHUTDOWN", {"guest": True, "reason": "guest-reset"}))
        scene.qemu.lines[0].says(None)
        words = LastWords(MachineEnd.REBOOT, "its guest restarted itself")
        assert await attendance.last_words() == words


async def test_a_qemu_that_never_came_to_its_monitor_since_a_port_is_taken_says_by_whom(
    scene: Scene,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        scene.ports, scene.qemu.has_monitor = (port,), False
        async with scene.attended() as attendance:
            words = await attendance.last_words()
        assert words.text.startswith(f"could not have port {port}, which pid {os.getpid()} (")
        scene.qemu.has_monitor = True
        async with scene.attended() as attendance:
            scene.qemu.lines[0].says(None)
            assert (await attendance.last_words()).text == "", "it ran: the port was its own"

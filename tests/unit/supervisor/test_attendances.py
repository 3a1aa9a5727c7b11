"""Machines among the services: a real child in place of QEMU, whose monitor a test drives by hand."""

import os
import re
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest
from tests.support.hand_machine import HandMachine
from tests.support.supervising import WEB, Parts, Supervising, many, service, supervising

from virtsupd.core.events import Verb
from virtsupd.core.machine import MachineSpec, MachineStopHow, Rung, RungSpec, StopStep
from virtsupd.core.snapshot import State
from virtsupd.core.spec import MachineProbe, Readiness, Respawn, ServiceSpec, Stop
from virtsupd.errors import SpawnError
from virtsupd.machine.reached import rungs_reached
from virtsupd.supervisor.attendances import equip

pytestmark = pytest.mark.process

LONG = 60.0
SECONDS = 10.0


def machine(directory: Path, *steps: StopStep, ignores_term: bool = False) -> ServiceSpec:
    command = many("deaf") if ignores_term else ()
    sockets = MachineSpec(str(directory), "/run/qmp", kvm=False)
    probe = MachineProbe((RungSpec(Rung.MONITOR, LONG),))
    return service(
        "web",
        *command,
        process={"machine": sockets},
        ready=Readiness(probe, 0.0),
        stop=Stop(delay_seconds=sum(s.seconds for s in steps) or 5.0, steps=steps),
        is_guest=True,
        respawn=Respawn(delay_seconds=0.01, only_failures=True),
    )


@asynccontextmanager
async def attended(
    directory: Path, *steps: StopStep, qemu: HandMachine | None = None
) -> AsyncIterator[tuple[Supervising, HandMachine]]:
    there = qemu or HandMachine()
    async with supervising(machine(directory, *steps), parts=Parts(qemu=there)) as host:
        yield host, there


async def holds(claim: Callable[[], bool]) -> None:
    """Return once a claim holds that no change of a service may tell of."""
    with anyio.fail_after(SECONDS):
        while not claim():
            await anyio.lowlevel.checkpoint()


async def until_reached(host: Supervising, state: State, pid: int | None = None) -> int:
    """Return the pid once the machine is in a state, and another process than before."""
    await holds(lambda: host.snapshot().state is state and host.snapshot().pid not in (None, pid))
    found = host.snapshot().pid
    assert found is not None
    return found


async def test_it_runs_when_it_has_climbed_and_what_it_reached_is_told(tmp_path: Path) -> None:
    async with attended(tmp_path / "m", qemu=HandMachine(runs=False, status="paused")) as (
        host,
        qemu,
    ):
        service = host.supervisor.engine.service(WEB)
        await holds(lambda: "paused" in service.not_ready_because)
        assert host.snapshot().state is State.STARTING
        qemu.runs = True
        await until_reached(host, State.RUNNING)
        assert host.snapshot().status_text == "reached monitor"
        assert rungs_reached(str(tmp_path / "m")) == {Rung.MONITOR}


async def test_a_stop_asks_before_it_signals(tmp_path: Path) -> None:
    steps = (StopStep(MachineStopHow.QUIT, 0.05), StopStep(MachineStopHow.SIGNAL, LONG))
    async with attended(tmp_path / "m", *steps) as (host, qemu):
        await until_reached(host, State.RUNNING)
        await host.ask(Verb.STOP, "web")
        assert qemu.told[-1] == "quit"
        last = host.snapshot().last_exit
        assert last is not None
        assert str(last.status).startswith("ended by a signal, ")
        assert last.status.signal == 15


async def test_one_that_is_deaf_to_all_is_killed_when_all_steps_are_over(tmp_path: Path) -> None:
    steps = (StopStep(MachineStopHow.POWERDOWN, 0.05), StopStep(MachineStopHow.SIGNAL, 0.05))
    spec = machine(tmp_path / "m", *steps, ignores_term=True)
    async with supervising(spec, parts=Parts(qemu=HandMachine())) as host:
        pid = await until_reached(host, State.RUNNING)
        await holds(lambda: ignores(pid, signal.SIGTERM))
        await host.ask(Verb.STOP, "web")
        last = host.snapshot().last_exit
        assert last is not None
        assert last.status.signal == 9


async def test_why_it_ended_is_heard_before_its_end_is_judged(tmp_path: Path) -> None:
    async with attended(tmp_path / "m") as (host, qemu):
        first = await until_reached(host, State.RUNNING)
        qemu.lines[-1].says(("SHUTDOWN", {"guest": True, "reason": "guest-reset"}))
        qemu.lines[-1].says(None)
        os.kill(first, signal.SIGTERM)
        await until_reached(host, State.RUNNING, first)
        last = host.snapshot().last_exit
        assert last is not None
        assert str(last.status) == "its guest restarted itself"
        second = host.snapshot().pid
        assert second is not None
        qemu.lines[-1].says(("SHUTDOWN", {"guest": True, "reason": "guest-shutdown"}))
        qemu.lines[-1].says(None)
        os.kill(second, signal.SIGTERM)
        await holds(lambda: host.snapshot().state is State.STOPPED)
        assert host.reason() == "its guest powered itself off"


def ignores(pid: int, number: int) -> bool:
    """Whether a process ignores a signal by now."""
    status = Path(f"/proc/{pid}/status").read_text()
    return bool(int(re.findall(r"SigIgn:\t(\w+)", status)[0], 16) & 1 << number - 1)


def test_what_is_no_machine_is_left_as_it_is() -> None:
    process = service("web").process
    assert process is not None
    assert equip(process) is process


def test_a_machine_whose_place_cannot_be_made_is_not_started(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    process = machine(tmp_path / "file" / "m").process
    assert process is not None
    with pytest.raises(SpawnError, match="cannot make"):
        equip(process)


def test_a_user_that_is_not_known_is_told_before_anything_is_made(tmp_path: Path) -> None:
    process = machine(tmp_path / "m").process
    assert process is not None
    with pytest.raises(SpawnError, match="cannot find user"):
        equip(replace(process, user="nobody-of-that-name"))
    assert not (tmp_path / "m").exists()

"""Holding a monitor: what QEMU says before it ends, and connections that are lost."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest
from tests.support.hand_clock import HandClock
from tests.support.hand_machine import HandMachine

from virtsupd.core.machine import MachineEnd
from virtsupd.machine.listening import Listener


@asynccontextmanager
async def listening(machine: HandMachine, clock: HandClock) -> AsyncIterator[Listener]:
    listener = Listener("/run/qmp", machine.connect, clock)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(listener.run)
        await anyio.wait_all_tasks_blocked()
        yield listener
        tasks.cancel_scope.cancel()
    assert all(line.is_closed for line in machine.lines)


@pytest.mark.parametrize(
    ("reason", "end"),
    [
        ("guest-reset", MachineEnd.REBOOT),
        ("guest-shutdown", MachineEnd.POWER_OFF),
        ("host-qmp-quit", MachineEnd.QUIT),
        ("host-signal", MachineEnd.SIGNAL),
        ("guest-panic", MachineEnd.PANIC),
        ("something newer", MachineEnd.ERROR),
    ],
)
async def test_why_it_ends_is_known_by_its_last_words(reason: str, end: MachineEnd) -> None:
    machine, clock = HandMachine(), HandClock()
    async with listening(machine, clock) as listener:
        machine.lines[0].says(("SHUTDOWN", {"guest": True, "reason": reason}))
        machine.lines[0].says(None)
        assert await listener.last_words() == end


async def test_one_that_was_killed_says_nothing() -> None:
    machine, clock = HandMachine(), HandClock()
    async with listening(machine, clock) as listener:
        machine.lines[0].says(None)
        assert await listener.last_words() is None


async def test_a_monitor_that_is_not_there_yet_is_tried_again() -> None:
    machine, clock = HandMachine(has_monitor=False), HandClock()
    async with listening(machine, clock) as listener:
        assert (listener.line, listener.why_not) == (None, "nobody listens")
        machine.has_monitor = True
        await clock.pass_time(0.05)
        assert listener.line is machine.lines[0]


async def test_a_lost_connection_is_made_again() -> None:
    machine, clock = HandMachine(), HandClock()
    async with listening(machine, clock) as listener:
        machine.lines[0].says(None)
        await clock.pass_time(1)
        assert listener.line is machine.lines[1]


async def test_it_is_seen_when_the_guest_opens_the_agent_s_channel() -> None:
    machine, clock = HandMachine(), HandClock()
    async with listening(machine, clock) as listener:
        assert listener.is_agent_there is None
        machine.lines[0].says(("VSERPORT_CHANGE", {"id": "agent", "open": True}))
        await listener.until(lambda: listener.is_agent_there is True)
        machine.lines[0].says(("VSERPORT_CHANGE", {"id": "agent", "open": False}))
        await listener.until(lambda: listener.is_agent_there is False)

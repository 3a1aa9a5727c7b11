"""The stop ladder: one way after the other, each with its time; what cannot be tried costs none."""

import anyio
from tests.support.hand_clock import HandClock

from virtsupd.core.machine import MachineStopHow, StopStep
from virtsupd.errors import NotReadyError
from virtsupd.machine.descending import Descent

STEPS = (
    StopStep(MachineStopHow.AGENT, 20),
    StopStep(MachineStopHow.POWERDOWN, 30),
    StopStep(MachineStopHow.QUIT, 5),
    StopStep(MachineStopHow.SIGNAL, 5),
)


class Steps:
    """What a descent does, in order; a way in `refused` raises, one in `stuck` never returns."""

    def __init__(self) -> None:
        self.clock = HandClock()
        self.done: list[str] = []
        self.said: list[str] = []
        self.refused: set[MachineStopHow] = set()
        self.stuck: set[MachineStopHow] = set()
        self.defective: set[MachineStopHow] = set()
        ways = {how: self._way(how) for how in MachineStopHow}
        self.descent = Descent(STEPS, ways, self.clock, self.said.append)

    def _way(self, how: MachineStopHow):  # type: ignore[no-untyped-def]  # noqa: ANN202 - a closure
        async def take() -> None:
            if how in self.refused:
                raise NotReadyError("nobody is there")
            if how in self.defective:
                raise RecursionError("too deep")
            self.done.append(how)
            if how in self.stuck:
                await anyio.sleep_forever()

        return take


async def test_each_step_has_its_time() -> None:
    it = Steps()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(it.descent.run)
        await it.clock.pass_time(1)
        assert it.done == ["agent"]
        assert it.said == ["asked its guest agent to power it off; 20 s for that"]
        await it.clock.pass_time(20)
        assert it.done == ["agent", "powerdown"]
        await it.clock.pass_time(30)
        assert it.done == ["agent", "powerdown", "quit"]
        await it.clock.pass_time(5)
        assert it.done == ["agent", "powerdown", "quit", "signal"]
        await it.clock.pass_time(5)
    assert it.descent.result == "ended by a signal, 61.0 s after the stop began"


async def test_a_step_that_cannot_be_taken_costs_no_time() -> None:
    it = Steps()
    it.refused = {MachineStopHow.AGENT, MachineStopHow.POWERDOWN}
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(it.descent.run)
        await it.clock.pass_time(0.5)
        assert it.done == ["quit"]
        tasks.cancel_scope.cancel()
    assert it.descent.result == "quit through its monitor, 0.5 s after the stop began"


async def test_a_monitor_that_does_not_answer_does_not_hold_up_the_next_step() -> None:
    it = Steps()
    it.refused, it.stuck = {MachineStopHow.AGENT}, {MachineStopHow.POWERDOWN}
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(it.descent.run)
        await it.clock.pass_time(31)
        assert it.done == ["powerdown", "quit"]
        tasks.cancel_scope.cancel()


def test_before_any_step_there_is_nothing_to_tell() -> None:
    assert Steps().descent.result == ""


async def test_a_defect_of_one_way_does_not_keep_from_the_harder_ones() -> None:
    it = Steps()
    it.defective = {MachineStopHow.AGENT}
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(it.descent.run)
        await it.clock.pass_time(1)
        assert it.done == ["powerdown"]
        assert it.said[0].startswith(
            "agent could not be done, a defect of virtsupd: RecursionError"
        )
        tasks.cancel_scope.cancel()

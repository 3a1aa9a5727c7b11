"""The stop ladder of a machine: each way to end it in its turn, until QEMU has gone."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from virtsupd.core.machine import MachineStopHow, StopStep
from virtsupd.errors import VirtsupdError
from virtsupd.machine.deadline import ends_within
from virtsupd.process.clock import Clock

Way = Callable[[], Awaitable[None]]
"""Asks for the end of the machine; raises a `VirtsupdError` if nothing can come of it."""
_ASKED: Final = {
    MachineStopHow.AGENT: "asked its guest agent to power it off",
    MachineStopHow.POWERDOWN: "pressed its power button",
    MachineStopHow.QUIT: "told QEMU to quit",
    MachineStopHow.SIGNAL: "sent QEMU the stop signal",
}
_ENDED: Final = {
    MachineStopHow.AGENT: "powered off by its guest agent",
    MachineStopHow.POWERDOWN: "powered off at its power button",
    MachineStopHow.QUIT: "quit through its monitor",
    MachineStopHow.SIGNAL: "ended by a signal",
}


class Descent:
    """One walk down, which its end cancels."""

    def __init__(
        self,
        steps: tuple[StopStep, ...],
        ways: Mapping[MachineStopHow, Way],
        clock: Clock,
        say: Callable[[str], None],
    ) -> None:
        self._steps = steps
        self._ways = ways
        self._clock = clock
        self._say = say
        self._began = clock.now().monotonic
        self._done: list[MachineStopHow] = []

    async def run(self) -> None:
        """Take one step after the other; returns when the last one's time is over, and KILL is due.

        A step that cannot be taken costs no time.
        """
        for step in self._steps:
            began = self._clock.now().monotonic
            try:
                in_time = await ends_within(step.seconds, self._ways[step.how], self._clock)
            except VirtsupdError:
                continue
            except Exception as error:  # noqa: BLE001 - a defect of one way must not keep from the harder ones
                self._say(f"{step.how} could not be done, a defect of virtsupd: {error!r}")
                continue
            if in_time:
                self._done.append(step.how)
                self._say(f"{_ASKED[step.how]}; {step.seconds:g} s for that")
                left = step.seconds - (self._clock.now().monotonic - began)
                await self._clock.sleep(max(0.0, left))

    @property
    def result(self) -> str:
        """Say how the machine ended, for when it has gone; "" if no step was taken."""
        if not self._done:
            return ""
        seconds = self._clock.now().monotonic - self._began
        return f"{_ENDED[self._done[-1]]}, {seconds:.1f} s after the stop began"

"""Holding a machine's monitor: connected as long as QEMU lives, and hearing why it ends."""

from collections.abc import Callable, Mapping
from typing import Final, Protocol

import anyio

from virtsupd.core.machine import MachineEnd
from virtsupd.errors import VirtsupdError
from virtsupd.process.clock import Clock
from virtsupd.process.wakeups import Pause

_FIRST_PAUSE_SECONDS = 0.02
_LONGEST_PAUSE_SECONDS = 1.0
_LAST_WORDS_SECONDS = 1.0
"""What QEMU wrote before it ended is there already; only a monitor that somebody else holds open waits."""
_ENDS: Final[Mapping[str, MachineEnd]] = {
    "guest-reset": MachineEnd.REBOOT,
    "subsystem-reset": MachineEnd.REBOOT,
    "host-qmp-system-reset": MachineEnd.REBOOT,
    "guest-shutdown": MachineEnd.POWER_OFF,
    "host-ui": MachineEnd.QUIT,
    "host-qmp-quit": MachineEnd.QUIT,
    "host-signal": MachineEnd.SIGNAL,
    "guest-panic": MachineEnd.PANIC,
    "host-error": MachineEnd.ERROR,
}
"""By the reason of a SHUTDOWN event (ShutdownCause in QEMU's qapi/run-state.json, as of 7.2). With
--no-reboot a reset ends QEMU too."""


class MonitorLine(Protocol):
    """A connection to a monitor; what it raises is a `VirtsupdError`."""

    async def execute(
        self,
        command: str,
        arguments: Mapping[str, object] | None = None,
        *,
        timeout_seconds: float = ...,
    ) -> object:
        """Run a command and return what it returns."""
        ...

    async def next_event(self) -> tuple[str, Mapping[str, object]] | None:
        """Return the next event, its name and its data; None once QEMU has closed the connection."""
        ...

    async def close(self) -> None:
        """Close the connection; never raises."""
        ...


class Connect(Protocol):
    """Connects to the monitor at a path; raises a `VirtsupdError` if it cannot."""

    async def __call__(self, path: str) -> MonitorLine:
        """Return the connection."""
        ...


class Listener:
    """Holds the monitor of one machine; `run` lives as long as the machine does."""

    def __init__(self, path: str, connect: Connect, clock: Clock) -> None:
        self._path = path
        self._connect = connect
        self._clock = clock
        self._news = anyio.Event()
        self.line: MonitorLine | None = None
        """None while there is no connection."""
        self.why_not = "QEMU has not opened its monitor"
        """Why there is none."""
        self.has_connected = False
        """Whether there ever was one."""
        self.end: MachineEnd | None = None
        """Why the machine ends, once QEMU has said so."""
        self.is_agent_there: bool | None = None
        """Whether the guest has opened the agent's channel; None: QEMU has not told."""
        self.has_stopped = False
        """Whether QEMU has stopped the guest's processors, for whatever reason."""

    async def run(self) -> None:
        """Connect, and connect again if the connection is lost; until cancelled."""
        pause = Pause(_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS)
        while True:
            try:
                self.line = await self._connect(self._path)
            except VirtsupdError as error:
                self.why_not = str(error)
            else:
                pause.reset()
                self.has_connected = True
                await self._listen(self.line)
            await self._clock.sleep(pause.take())

    async def _listen(self, line: MonitorLine) -> None:
        try:
            self._tell()
            while (event := await line.next_event()) is not None:
                self._take(*event)
        finally:
            self.line, self.why_not = None, "QEMU has closed its monitor"
            self._tell()
            with anyio.CancelScope(shield=True):
                await line.close()

    def _take(self, name: str, facts: Mapping[str, object]) -> None:
        if name == "SHUTDOWN":
            self.end = _ENDS.get(str(facts.get("reason")), MachineEnd.ERROR)
        elif name == "VSERPORT_CHANGE":
            self.is_agent_there = facts.get("open") is True
        elif name in ("STOP", "RESUME"):
            self.has_stopped = name == "STOP"
        self._tell()

    def _tell(self) -> None:
        self._news.set()
        self._news = anyio.Event()

    async def until(self, holds: Callable[[], bool]) -> None:
        """Return once something holds that news of the monitor can change."""
        while not holds():
            await self._news.wait()

    async def last_words(self) -> MachineEnd | None:
        """Return why QEMU ended, once all that it said before was heard; None: it did not say."""
        with anyio.move_on_after(_LAST_WORDS_SECONDS):
            await self.until(lambda: self.line is None)
        return self.end

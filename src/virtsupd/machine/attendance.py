"""Attending to a machine: one for each run of its QEMU, on virtsupd's event loop.

It holds the monitor, climbs the rungs, and walks down the stop ladder; what it sees becomes events
of the service like those of any other. A successor attends anew, and knows by the rungs' files how
far the machine had come.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

import anyio

from virtsupd.core.frozen import frozen
from virtsupd.core.machine import (
    LastWords,
    MachineSpec,
    MachineStopHow,
    Rung,
    RungSpec,
    SecretsSpec,
    StopStep,
)
from virtsupd.core.names import Name
from virtsupd.core.spec import BannerProbe
from virtsupd.errors import NotReadyError, VirtsupdError
from virtsupd.machine.climbing import Climb, Note, Tell
from virtsupd.machine.deadline import first_of
from virtsupd.machine.descending import Descent
from virtsupd.machine.kvm import distrust_kvm
from virtsupd.machine.listening import Listener, MonitorLine
from virtsupd.machine.reached import note_reached, rungs_reached
from virtsupd.process.attempts import retry
from virtsupd.process.clock import Clock
from virtsupd.process.holders import holder_of, holds, port_holders
from virtsupd.process.probe_context import ProbeContext
from virtsupd.process.wakeups import Pause

_BANNER_PAUSE_SECONDS = 0.25
_MONITOR_SECONDS = 5.0
"""What one command of the monitor may take: a QEMU that takes longer is stuck."""
_HALTED = "internal-error"
"""The state of a machine that QEMU or KVM could not go on with (RunState in qapi/run-state.json)."""
_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 2.0


class Ports(Protocol):
    """The ways to a machine; what they raise is a `VirtsupdError`."""

    async def connect(self, path: str) -> MonitorLine:
        """Connect to the monitor at a path."""
        ...

    async def ask_agent(self, path: str) -> None:
        """Return if the guest agent behind a socket answers, soon."""
        ...

    async def shut_down(self, path: str) -> None:
        """Have the guest agent behind a socket begin to power its guest off."""
        ...

    async def deliver(
        self, secrets: SecretsSpec, is_ours: Callable[[], bool], note: Callable[[str], None]
    ) -> None:
        """Return once the guest has its secrets, which are given to nobody unless the port `is_ours`.

        Raises:
            NotReadyError: it never will have them.
        """
        ...


@frozen
class Subject:
    """What an attendance is about: one run of a machine."""

    name: Name
    machine: MachineSpec
    rungs: tuple[RungSpec, ...]
    leader: Callable[[], int | None]
    """The pid of its QEMU; None once that has ended."""
    tell: Tell
    is_adopted: bool = False
    """An earlier virtsupd started it: it has reached the rungs that its files tell."""


class HaltedError(NotReadyError):
    """QEMU has stopped the guest's processors for a fault, and only a new QEMU helps."""


class Attendance:
    """What virtsupd does for one run of a machine, from its spawn or adoption on."""

    def __init__(self, subject: Subject, ports: Ports, clock: Clock) -> None:
        self._subject = subject
        self._machine = subject.machine
        self._ports = ports
        self._clock = clock
        self._tell = subject.tell
        self._listener = Listener(subject.machine.qmp, ports.connect, clock)
        self._descent: Descent | None = None
        self._is_halted = False
        self._climbing = anyio.CancelScope()
        self._climb = Climb(
            subject.rungs,
            {
                Rung.MONITOR: self._reach_monitor,
                Rung.SECRETS: self._reach_secrets,
                Rung.AGENT: self._reach_agent,
                Rung.SSH: self._reach_ssh,
            },
            clock,
            tell=subject.tell,
            keep=self._keep,
            reached=rungs_reached(self._machine.directory) if subject.is_adopted else frozenset(),
        )

    async def run(self) -> None:
        """Attend to it until cancelled."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._listener.run)
            tasks.start_soon(self._watch_processors)
            with self._climbing:
                await self._climb.run()

    async def climbed(self) -> None:
        """Return once it has reached all rungs that count.

        Raises:
            NotReadyError: it has not in time, or never will.
        """
        await self._climb.wait()

    async def last_words(self) -> LastWords:
        """Return why its QEMU, which has ended, did so, and which step of a stop it was."""
        end = await self._listener.last_words()
        self._tell("status", "")
        done = self._descent.result if self._descent is not None else ""
        return LastWords(end, done or str(end or "") or self._missed_port())

    def _missed_port(self) -> str:
        """Return which of its ports somebody else holds, if QEMU has ended without coming to its monitor."""
        if self._listener.has_connected or self._subject.is_adopted:
            return ""
        for port in self._machine.ports:
            if inodes := port_holders(port):
                holder = holder_of(inodes) or "somebody else"
                return f"could not have port {port}, which {holder} holds"
        return ""

    async def end(self, steps: tuple[StopStep, ...], send_signal: Callable[[], None]) -> None:
        """Walk down the stop ladder, until cancelled or at its end."""

        async def signal() -> None:
            send_signal()

        ways = {
            MachineStopHow.AGENT: self._shut_down,
            MachineStopHow.POWERDOWN: self._press_button,
            MachineStopHow.QUIT: lambda: self._tell_monitor("quit"),
            MachineStopHow.SIGNAL: signal,
        }
        self._climbing.cancel()
        descent = Descent(steps, ways, self._clock, lambda text: self._tell("status", text))
        self._descent = descent
        await descent.run()

    def _keep(self, rung: Rung) -> None:
        """Leave a file for a rung; where that cannot be, a successor climbs it once more."""
        with suppress(OSError):
            note_reached(self._machine.directory, rung)

    # Up

    async def _reach_monitor(self, note: Note) -> None:
        pause = Pause(_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS)
        while True:
            if self._listener.line is None:
                note(self._listener.why_not)
                await self._listener.until(lambda: self._listener.line is not None)
            try:
                await self._demand_running()
            except HaltedError:
                raise
            except VirtsupdError as error:
                note(str(error))
                await self._clock.sleep(pause.take())
            else:
                return

    async def _demand_running(self) -> None:
        """Return if the guest's processors run.

        Raises:
            HaltedError: they never will again.
            NotReadyError: they do not.
            VirtsupdError: QEMU does not answer.
        """
        answer = await self._ask_monitor("query-status")
        if isinstance(answer, dict) and answer.get("running") is True:
            return
        status = answer.get("status") if isinstance(answer, dict) else answer
        if status == _HALTED:
            self._is_halted = True
            raise HaltedError(await self._why_halted())
        raise NotReadyError(f"QEMU says that the machine is {status!r}")

    async def _why_halted(self) -> str:
        """Return why its processors were stopped; KVM is not tried again where it is for virtsupd to choose."""
        text = "QEMU has stopped its processors for a fault (internal-error)"
        answer = await self._ask_monitor("query-kvm")
        if not (isinstance(answer, dict) and answer.get("enabled") is True):
            return text
        if self._machine.kvm == "auto":
            distrust_kvm()
            return f"{text}: KVM cannot run it on this host; it is started without"
        return f"{text}: KVM cannot run it on this host; say kvm = false"

    async def _watch_processors(self) -> None:
        """See when QEMU stops the guest's processors for a fault, however far it has come."""
        while not self._is_halted:
            await self._listener.until(lambda: self._listener.has_stopped)
            try:
                await self._demand_running()
            except HaltedError as error:
                self._climb.give_up(str(error))
                self._tell("status", str(error))
            except VirtsupdError:
                await self._listener.until(lambda: not self._listener.has_stopped)

    async def _reach_secrets(self, note: Note) -> None:
        """Deliver the secrets; a guest that went on to its SSH server had them from an earlier virtsupd."""
        secrets = self._machine.secrets
        if secrets is None:
            return
        has_ssh = self._machine.ssh_port is not None
        if not (self._subject.is_adopted and has_ssh):
            await self._deliver(secrets, note)
            return
        await first_of(lambda: self._deliver(secrets, note), lambda: self._reach_ssh(_ignore))

    async def _deliver(self, secrets: SecretsSpec, note: Note) -> None:
        await self._ports.deliver(secrets, lambda: self._is_ours(secrets.port), note)

    def _is_ours(self, port: int) -> bool:
        """Whether it is our QEMU, and nobody else, that listens on a port of this host."""
        leader, listeners = self._subject.leader(), port_holders(port)
        return bool(listeners) and leader is not None and all(holds(leader, [i]) for i in listeners)

    async def _reach_agent(self, note: Note) -> None:
        path = self._machine.agent
        if path is None:
            return
        pause = Pause(_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS)
        while True:
            if self._listener.is_agent_there is False:
                note("the guest has closed its channel")
                await self._listener.until(lambda: self._listener.is_agent_there is not False)
                pause.reset()
            try:
                await self._ports.ask_agent(path)
            except VirtsupdError as error:
                note(str(error))
            else:
                return
            await self._clock.sleep(pause.take())

    async def _reach_ssh(self, note: Note) -> None:
        port = self._machine.ssh_port
        if port is None:
            return
        context = ProbeContext(
            name=self._subject.name,
            clock=self._clock,
            note=note,
            interval_seconds=_BANNER_PAUSE_SECONDS,
        )
        await retry(BannerProbe(expect=r"^SSH-", port=port), context)

    # Down

    async def _press_button(self) -> None:
        self._demand_not_halted()
        await self._tell_monitor("system_powerdown")

    def _demand_not_halted(self) -> None:
        if self._is_halted:
            raise NotReadyError("its processors are stopped")

    async def _shut_down(self) -> None:
        self._demand_not_halted()
        path = self._machine.agent
        if path is None or not await self._may_have_agent(path):
            raise NotReadyError("there is no guest agent")
        await self._ports.shut_down(path)

    async def _may_have_agent(self, path: str) -> bool:
        """Whether the guest has opened the agent's channel, as far as QEMU tells.

        It tells of each change, and a guest that never opens it changes nothing: so it is asked.
        """
        if self._listener.is_agent_there is not None:
            return self._listener.is_agent_there
        with suppress(VirtsupdError):
            answer = await self._ask_monitor("query-chardev")
            for channel in answer if isinstance(answer, list) else []:
                found = channel if isinstance(channel, dict) else {}
                if f"unix:{path}," in str(found.get("filename")):
                    return found.get("frontend-open") is not False
        return True

    async def _tell_monitor(self, command: str) -> None:
        await self._ask_monitor(command)

    async def _ask_monitor(self, command: str) -> object:
        line = self._listener.line
        if line is None:
            raise NotReadyError(self._listener.why_not)
        return await line.execute(command, timeout_seconds=_MONITOR_SECONDS)


def _ignore(_: str) -> None:
    """Take a note that nobody needs."""

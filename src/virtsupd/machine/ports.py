"""The ways to a machine that runs here: its monitor, its guest agent, its secret service."""

from collections.abc import Callable

from virtsupd.core.machine import SecretsSpec
from virtsupd.machine.agent import GuestAgent
from virtsupd.machine.listening import MonitorLine
from virtsupd.machine.monitor import Monitor
from virtsupd.machine.secrets import deliver, payload
from virtsupd.process.clock import Clock

_AGENT_SECONDS = 3.0


class MachinePorts:
    """Speaks with QEMU and its guest (`Ports`)."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def connect(self, path: str) -> MonitorLine:
        """Connect to the monitor at a path."""
        return await Monitor.connect(path)

    async def ask_agent(self, path: str) -> None:
        """Return if the guest agent behind a socket answers, soon."""
        agent = await GuestAgent.open(path, timeout_seconds=_AGENT_SECONDS)
        await agent.close()

    async def shut_down(self, path: str) -> None:
        """Have the guest agent behind a socket begin to power its guest off."""
        agent = await GuestAgent.open(path, timeout_seconds=_AGENT_SECONDS)
        try:
            await agent.send("guest-shutdown", {"mode": "powerdown"})
        finally:
            await agent.close()

    async def deliver(
        self, secrets: SecretsSpec, is_ours: Callable[[], bool], note: Callable[[str], None]
    ) -> None:
        """Return once the guest has its secrets, as they are when it is first asked for them."""
        await deliver(
            secrets.port, payload(secrets.root), is_ours=is_ours, clock=self._clock, note=note
        )

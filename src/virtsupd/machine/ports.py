"""The ways to a machine that runs here: its monitor, its guest agent, its secret service."""

from collections.abc import Callable

from virtsupd.core.machine import SecretsSpec
from virtsupd.machine.agent import SHORT_BYTES, GuestAgent
from virtsupd.machine.listening import MonitorLine
from virtsupd.machine.monitor import Monitor
from virtsupd.machine.secrets import SecretsError, deliver, payload
from virtsupd.process.aside import aside
from virtsupd.process.clock import Clock

_AGENT_SECONDS = 3.0
_READING_SECONDS = 60.0
"""What lies below a secret root is small, but may lie on a file server."""


class MachinePorts:
    """Speaks with QEMU and its guest (`Ports`)."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def connect(self, path: str) -> MonitorLine:
        """Connect to the monitor at a path."""
        return await Monitor.connect(path)

    async def ask_agent(self, path: str) -> None:
        """Return if the guest agent behind a socket answers, soon."""
        agent = await _agent(path)
        await agent.close()

    async def shut_down(self, path: str) -> None:
        """Have the guest agent behind a socket begin to power its guest off."""
        agent = await _agent(path)
        try:
            await agent.send("guest-shutdown", {"mode": "powerdown"})
        finally:
            await agent.close()

    async def deliver(
        self, secrets: SecretsSpec, is_ours: Callable[[], bool], note: Callable[[str], None]
    ) -> None:
        """Return once the guest has its secrets, as they are when it is first asked for them."""
        try:
            content = await aside(lambda: payload(secrets.root), _READING_SECONDS)
        except TimeoutError:
            text = f"cannot read {secrets.root} within {_READING_SECONDS:g} s"
            raise SecretsError(text) from None
        await deliver(secrets.port, content, is_ours=is_ours, clock=self._clock, note=note)


async def _agent(path: str) -> GuestAgent:
    return await GuestAgent.open(path, timeout_seconds=_AGENT_SECONDS, longest_bytes=SHORT_BYTES)

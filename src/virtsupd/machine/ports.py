"""The ways to a machine that runs here: its monitor, its guest agent, its secret service."""

from collections.abc import Callable

from virtsupd.core.machine import SecretsSpec
from virtsupd.errors import NotReadyError
from virtsupd.machine.listening import MonitorLine
from virtsupd.machine.monitor import Monitor


class MachinePorts:
    """Speaks with QEMU and its guest (`Ports`)."""

    async def connect(self, path: str) -> MonitorLine:
        """Connect to the monitor at a path."""
        return await Monitor.connect(path)

    async def ask_agent(self, path: str) -> None:
        """Return if the guest agent behind a socket answers, soon."""
        raise NotReadyError(f"{path}: the guest agent cannot be asked")

    async def shut_down(self, path: str) -> None:
        """Have the guest agent behind a socket begin to power its guest off."""
        raise NotReadyError(f"{path}: the guest agent cannot be asked")

    async def deliver(
        self, secrets: SecretsSpec, is_ours: Callable[[], bool], note: Callable[[str], None]
    ) -> None:
        """Return once the guest has its secrets."""
        raise NotReadyError(f"port {secrets.port}: {is_ours()}, {note}")

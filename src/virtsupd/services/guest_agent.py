"""`[qemu_guest_agent]`: QEMU's guest agent, on a virtsupd that runs inside a virtual machine."""

from typing import Final

from pydantic import field_validator

from virtsupd.config.kinds import Built, KindContext, KindParts
from virtsupd.config.model import KindTable
from virtsupd.config.values import AbsolutePath
from virtsupd.services.package import program

UNIT: Final = "qemu-guest-agent"
DEVICE: Final = "qemu-guest-agent-device"
DEFAULT_DEVICE: Final = "/dev/virtio-ports/org.qemu.guest_agent.0"
"""What qemu-ga takes without --path (qemu-ga(8))."""
_STATE_DIR: Final = "/var/run"


class GuestAgentTable(KindTable):
    """The fields of qemu-guest-agent."""

    qemu: AbsolutePath | None = None
    """Prefix of the QEMU whose agent is run; default: PATH."""
    device: str = ""
    """The channel to the host; default: /dev/virtio-ports/org.qemu.guest_agent.0. The agent starts once it is there."""

    @field_validator("device")
    @classmethod
    def _check_device(cls, value: str) -> str:
        if value and (not value.startswith("/") or "\0" in value):
            raise ValueError("must be an absolute path, or empty for the agent's own default")
        return value


def build(table: GuestAgentTable, _: KindContext) -> Built:
    """Return what the table changes in the agent and in the condition that waits for its device."""
    path = ["--path", table.device] if table.device else []
    command = [program("qemu-ga", table.qemu), "--statedir", _STATE_DIR, *path]
    ready = {"kind": "path", "path": table.device or DEFAULT_DEVICE, "timeout": 0}
    return Built(
        {UNIT: {"command": command, "autostart": table.autostart}, DEVICE: {"ready": ready}}
    )


GUEST_AGENT = KindParts(GuestAgentTable, build)

"""The ways to a machine that runs here, where nobody is at their other ends."""

from pathlib import Path

import anyio
import pytest

from virtsupd.core.machine import SecretsSpec
from virtsupd.errors import VirtsupdError
from virtsupd.machine.ports import MachinePorts
from virtsupd.machine.secrets import SecretsError
from virtsupd.process.clock import SystemClock

PORTS = MachinePorts(SystemClock())


async def test_where_no_qemu_listens_each_way_says_so(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    for way in (PORTS.connect, PORTS.ask_agent, PORTS.shut_down):
        with pytest.raises(VirtsupdError, match=r"(?i)no such file"):
            await way(path)


async def test_secrets_that_cannot_be_sent_are_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "key").symlink_to("nowhere")
    with pytest.raises(SecretsError, match="leads nowhere"):
        await PORTS.deliver(SecretsSpec(1, str(tmp_path)), lambda: True, lambda _: None)


async def test_secrets_wait_for_a_qemu_of_ours() -> None:
    notes: list[str] = []
    with anyio.move_on_after(0.2):
        await PORTS.deliver(SecretsSpec(1), lambda: False, notes.append)
    assert set(notes) == {"the QEMU of this machine does not listen on port 1"}

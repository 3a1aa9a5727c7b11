from pathlib import Path

import pytest
from tests.support.config_folder import Folder

from virtsupd.core.spec import PathProbe
from virtsupd.errors import ConfigError


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """Give each test a folder of its own."""
    return Folder(tmp_path)


TABLE = "[qemu_guest_agent]\n"


def test_by_default_the_agent_chooses_its_device_and_that_is_what_is_waited_for(
    folder: Folder,
) -> None:
    agent = folder.service(TABLE, "qemu-guest-agent")
    assert agent.process is not None
    assert agent.process.command == ("qemu-ga", "--statedir", "/var/run")
    assert {"user-processes", "udev", "qemu-guest-agent-device"} <= set(agent.requires)
    device = folder.service(TABLE, "qemu-guest-agent-device")
    assert device.ready.probe == PathProbe("/dev/virtio-ports/org.qemu.guest_agent.0")
    assert not device.ready.timeout_seconds, "it waits for as long as it takes"


def test_another_device_and_another_qemu_are_taken(folder: Folder) -> None:
    table = f'{TABLE}device = "/dev/vport0p1"\nqemu = "/opt/qemu"\n'
    agent = folder.service(table, "qemu-guest-agent")
    assert agent.process is not None
    assert agent.process.command[0] == "/opt/qemu/sbin/qemu-ga"
    assert agent.process.command[-2:] == ("--path", "/dev/vport0p1")
    device = folder.service(table, "qemu-guest-agent-device")
    assert device.ready.probe == PathProbe("/dev/vport0p1")


def test_a_device_that_is_no_path_is_refused(folder: Folder) -> None:
    with pytest.raises(ConfigError, match="must be an absolute path, or empty"):
        folder.load(f'{TABLE}device = "org.qemu.guest_agent.0"\n')


def test_a_channel_that_is_away_for_days_is_no_reason_to_give_up(folder: Folder) -> None:
    agent = folder.service(TABLE, "qemu-guest-agent")
    assert agent.respawn is not None
    assert not agent.respawn.limit
    assert agent.respawn.max_delay_seconds == 10

from pathlib import Path

from virtsupd.config import units
from virtsupd.core.names import Name, file_name


def test_units_are_found_by_the_name_of_their_service() -> None:
    assert {"libvirtd", "virtlogd", "networking", "file-system-/proc/sys/fs/binfmt_misc"} <= (
        units.unit_names()
    )
    for name in units.unit_names():
        assert units.unit_path(name).is_file()
        assert units.read_unit(name)["description"]


def test_file_names_read_back_as_names() -> None:
    for name in ("a", "a/b", "a%2Fb", "50%/x"):
        assert units.name_of(Path(f"/etc/{file_name(Name(name))}.toml")) == name


def test_the_daemons_of_libvirt_are_never_ended_with_their_guests() -> None:
    for name, signal in (("libvirtd", "HUP"), ("virtlogd", "USR1")):
        unit = units.read_unit(name)
        assert unit["stop"]["mode"] == "process"
        assert unit["reload"] == signal
        assert unit["ready"]["kind"] == "notify"


MADE_FROM = {"hurd-vm", "build-vm"}
"""Units that tables make machines from; the tables set their commands."""


COMES_WHEN_THE_HOST_LIKES = {
    "qemu-guest-agent-device",
    "ganeti-certificate",
    "ganeti-hmac-key",
    "ganeti-config-data",
    "ganeti-rapi-certificate",
}
"""A device that may be plugged in on any later day, a cluster that the host may join."""


def test_every_condition_has_a_deadline_and_a_reason() -> None:
    for name in units.unit_names() - MADE_FROM:
        unit = units.read_unit(name)
        if "ready" in unit:
            assert (unit["ready"]["timeout"] != 0) is (name not in COMES_WHEN_THE_HOST_LIKES)
        assert "command" in unit or "ready" in unit or name in {"user-processes", "ganeti"}

from dataclasses import replace
from pathlib import Path

from virtsupd.config.kinds import KindContext
from virtsupd.config.settings import HostSettings
from virtsupd.core.machine import Rung
from virtsupd.services.machine_actions import machine_actions
from virtsupd.services.machine_parts import Parts, Places

PARTS = Parts(
    places=Places("/run/machines/m"),
    secrets_port=None,
    secret_root=None,
    ssh_port=11022,
    has_agent=True,
    kvm="auto",
    access_group=None,
    ready_at=Rung.SSH,
    boot_seconds=60.0,
    ports=(11022,),
)
CONTEXT = KindContext(HostSettings(log_dir=Path("/log")), {})


def test_a_machine_has_the_ways_in_that_it_has_something_behind() -> None:
    assert set(machine_actions("m", PARTS, 3, CONTEXT)) == {
        "console",
        "info",
        "qmp",
        "screenshot",
        "ssh",
        "vnc",
    }
    bare = replace(PARTS, ssh_port=None)
    assert set(machine_actions("m", bare, None, CONTEXT)) == {
        "console",
        "info",
        "qmp",
        "screenshot",
    }


def test_all_of_them_are_for_the_terminal_of_whoever_asks() -> None:
    found = machine_actions("m", PARTS, 3, CONTEXT)
    assert all(isinstance(action, dict) and action["interactive"] for action in found.values())

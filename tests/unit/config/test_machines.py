"""The key machine: what it becomes, and what does not go with it."""

from typing import Any

import pytest

from virtsupd.config.build import build_service, service_problems
from virtsupd.config.machines import machine_faults
from virtsupd.config.model import ServiceTable
from virtsupd.config.settings import HostSettings
from virtsupd.config.show import definition_text
from virtsupd.core.machine import (
    MachineSpec,
    MachineStopHow,
    Rung,
    RungSpec,
    SecretsSpec,
    StopStep,
)
from virtsupd.core.names import Name
from virtsupd.core.spec import MachineProbe, Respawn, ServiceSpec, Stop

WHOLE: dict[str, Any] = {
    "command": ["qemu-system-i386"],
    "machine": {
        "directory": "/run/m",
        "qmp": "/run/m/qmp",
        "agent": "/run/m/agent",
        "secrets": {"port": 11004, "root": "/etc/childhurd"},
        "ssh_port": 10022,
        "kvm": False,
    },
    "ready": {
        "kind": "machine",
        "rungs": [
            {"rung": "monitor", "timeout": "30s"},
            {"rung": "agent", "timeout": 5, "counts": False},
            {"rung": "ssh"},
        ],
    },
    "stop": {"steps": [{"how": "agent", "time": "20s"}, {"how": "signal", "time": 5}]},
}


def built(data: dict[str, Any]) -> ServiceSpec:
    table = ServiceTable.model_validate(data)
    assert list(service_problems(table)) == []
    return build_service(Name("hurd"), table, HostSettings(), "")


def test_a_machine_is_a_guest_with_rungs_and_steps() -> None:
    spec = built(WHOLE)
    assert spec.is_guest
    assert spec.process is not None
    assert spec.process.machine == MachineSpec(
        "/run/m",
        "/run/m/qmp",
        "/run/m/agent",
        SecretsSpec(11004, "/etc/childhurd"),
        10022,
        kvm=False,
    )
    assert spec.ready.probe == MachineProbe(
        (
            RungSpec(Rung.MONITOR, 30.0),
            RungSpec(Rung.AGENT, 5.0, counts=False),
            RungSpec(Rung.SSH, 120.0),
        )
    )
    assert spec.ready.timeout_seconds == 0, "each rung has a time of its own"
    steps = (StopStep(MachineStopHow.AGENT, 20.0), StopStep(MachineStopHow.SIGNAL, 5.0))
    assert spec.stop == Stop(delay_seconds=25.0, steps=steps)
    assert spec.respawn == Respawn(delay_seconds=1.0, window_seconds=300.0, only_failures=True)


def test_what_is_shown_of_a_machine_makes_it_again() -> None:
    text = definition_text(built(WHOLE), ())
    assert 'secrets = { port = 11004, root = "/etc/childhurd" }' in text
    assert '{ rung = "agent", timeout = 5.0, counts = false }' in text
    assert '{ how = "agent", time = 20.0 }' in text


@pytest.mark.parametrize(
    ("change", "keys"),
    [
        ({"one_shot": True, "ready": None}, ("one_shot",)),
        ({"transient": True}, ("transient",)),
        ({"timer": "daily", "ready": None}, ("timer",)),
        ({"machine": None}, ("ready",)),
        ({"machine": None, "ready": None}, ("stop", "steps")),
        ({"machine": {"directory": "/m", "qmp": "/m/q"}}, ("ready", "rungs", 1)),
        ({"machine": {"directory": "/m", "qmp": "/m/q"}, "ready": None}, ("stop", "steps", 0)),
        ({"stop": {"delay": 5, "steps": [{"how": "quit", "time": 1}]}}, ("stop", "delay")),
        ({"ready": {"kind": "machine", "rungs": [{"rung": "ssh"}] * 2}}, ("ready", "rungs", 1)),
    ],
)
def test_what_cannot_go_together_is_refused(change: dict[str, Any], keys: tuple[Any, ...]) -> None:
    data = {key: value for key, value in (WHOLE | change).items() if value is not None}
    assert keys in [found for found, _ in machine_faults(ServiceTable.model_validate(data))]


def test_without_a_command_there_is_no_machine() -> None:
    table = ServiceTable.model_validate({"machine": WHOLE["machine"]})
    assert ("machine",) in [keys for keys, _ in service_problems(table)]


def test_every_machine_with_a_guest_agent_has_the_action_that_asks_it() -> None:
    [agent] = built(WHOLE).actions
    assert (agent.name, agent.command[-2:]) == ("agent", ("hurd", "/run/m/agent"))
    assert agent.is_interactive
    assert agent.needs_admin
    own = {"agent": {"command": ["mine"]}}
    assert [action.command for action in built(WHOLE | {"actions": own}).actions] == [("mine",)]
    without = {key: value for key, value in WHOLE["machine"].items() if key != "agent"}
    steps = {"stop": {"steps": [{"how": "quit", "time": 1}]}, "ready": "none"}
    assert built(WHOLE | {"machine": without} | steps).actions == ()

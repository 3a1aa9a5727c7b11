"""`domain`: a service that is a guest of libvirt's."""

from collections.abc import Mapping

import pytest

from virtsupd.config.build import build_service, service_problems
from virtsupd.config.domains import DEFAULT_RESPAWN, domain_faults, domain_spec
from virtsupd.config.model import DomainTable, ServiceTable
from virtsupd.config.settings import HostSettings
from virtsupd.core.domain import DomainSpec, GuestStop
from virtsupd.core.names import Name
from virtsupd.core.shutdown_policy import ShutdownPolicy
from virtsupd.core.spec import (
    AgentProbe,
    Health,
    Readiness,
    Respawn,
    ServiceSpec,
    Stop,
    TcpProbe,
)

HOST = HostSettings(shutdown=ShutdownPolicy(guest_timeout_seconds=77.0))


def build(data: dict[str, object]) -> ServiceSpec:
    table = ServiceTable.model_validate({"domain": "web1"} | data)
    assert list(service_problems(table)) == []
    return build_service(Name("web"), table, HOST, "web.toml")


def faults(data: Mapping[str, object]) -> dict[str, str]:
    """Return what is wrong by the key that is blamed; each key is blamed once."""
    found = list(service_problems(ServiceTable.model_validate(data)))
    by_key = {".".join(map(str, keys)): text for keys, text in found}
    assert len(by_key) == len(found)
    return by_key


def test_a_domain_alone_is_a_guest_with_all_defaults() -> None:
    assert build({}) == ServiceSpec(
        name=Name("web"),
        provides=(Name("web"),),
        source="web.toml",
        domain=DomainSpec("web1", "qemu:///system"),
        ready=Readiness(None, 300.0),
        respawn=DEFAULT_RESPAWN,
        stop=Stop(delay_seconds=77.0, how=GuestStop.SHUTDOWN),
        is_guest=True,
    )


def test_a_domain_may_be_a_table() -> None:
    assert domain_spec(DomainTable(name="web1")) == DomainSpec("web1")
    assert build({"domain": {"name": "web2", "uri": "qemu:///system"}}).domain == DomainSpec("web2")


def test_every_policy_of_a_guest_reaches_its_definition() -> None:
    made = build(
        {
            "ready": {"kind": "agent", "timeout": "10min"},
            "health": {"kind": "tcp", "port": 22, "host": "192.0.2.7"},
            "respawn": {"delay": 5, "on": "end"},
            "stop": {"how": "save", "delay": "2min"},
            "autostart": False,
        }
    )
    assert made.ready == Readiness(AgentProbe(), 600.0)
    assert made.health == Health(TcpProbe(22, "192.0.2.7"), on_failure="degrade")
    assert made.respawn == Respawn(delay_seconds=5.0, window_seconds=300.0)
    assert made.stop == Stop(delay_seconds=120.0, how=GuestStop.SAVE)
    assert not made.autostart


def test_an_unhealthy_guest_is_restarted_only_where_that_is_written() -> None:
    made = build({"health": {"kind": "agent", "on_failure": "restart"}})
    assert made.health is not None
    assert made.health.on_failure == "restart"


def test_a_part_of_a_policy_leaves_the_rest_as_it_is_for_guests() -> None:
    assert build({"stop": {"delay": 3}}).stop == Stop(delay_seconds=3.0, how=GuestStop.SHUTDOWN)
    assert build({"stop": {"how": "acpi"}}).stop.delay_seconds == 77.0
    assert build({"respawn": {"limit": 2}}).respawn == Respawn(
        delay_seconds=1.0, limit=2, window_seconds=300.0, only_failures=True
    )
    assert build({"respawn": False}).respawn is None
    assert build({"ready": "agent"}).ready.timeout_seconds == 300.0


MEANT = {
    "description": "d",
    "provides": ["a"],
    "requires": ["b"],
    "wants": ["c"],
    "after": ["d"],
    "before": ["e"],
    "conflicts": ["f"],
    "part_of": ["g"],
    "domain": "web1",
    "ready": "agent",
    "health": {"kind": "agent"},
    "respawn": True,
    "stop": {"how": "leave"},
    "autostart": True,
    "actions": {"greet": {"command": ["x"]}},
}
OTHERS = {
    "binds_to": ["a"],
    "command": ["x"],
    "machine": {"directory": "/x", "qmp": "/x/qmp"},
    "user": "a",
    "group": "a",
    "supplementary_groups": ["a"],
    "directory": "/x",
    "umask": "022",
    "environment": {"A": "b"},
    "environment_file": "/x",
    "limits": {"nofile": 1},
    "capabilities": [],
    "no_new_privileges": True,
    "oom_score_adjust": 1,
    "nice": 1,
    "log": False,
    "one_shot": True,
    "transient": True,
    "guest": True,
    "success_exit": [0],
    "not_needed_exit": [1],
    "sockets": ["/x"],
    "reload": "HUP",
    "prepare": ["before"],
    "clean_up": ["away"],
    "timer": "daily",
}


def test_every_key_is_either_meant_or_refused() -> None:
    assert MEANT.keys() | OTHERS.keys() == ServiceTable.model_fields.keys()
    assert faults(MEANT) == {}


@pytest.mark.parametrize("key", OTHERS)
def test_what_means_nothing_for_a_guest_is_refused_with_its_reason(key: str) -> None:
    table = ServiceTable.model_validate({"domain": "web1", key: OTHERS[key]})
    ((keys, text),) = domain_faults(table)
    assert keys == (key,)
    assert text.startswith("does not go with domain: ")
    assert (key,) in [keys for keys, _ in service_problems(table)]


@pytest.mark.parametrize(
    ("data", "key", "text"),
    [
        (
            {"ready": "notify"},
            "ready",
            "notify cannot be asked of a guest; for guests there are agent, tcp, banner and http",
        ),
        (
            {"ready": {"kind": "exec", "command": ["x"]}},
            "ready",
            "exec cannot be asked of a guest; for guests there are agent, tcp, banner and http",
        ),
        (
            {"health": {"kind": "path", "path": "/x"}},
            "health",
            "path cannot be asked of a guest; for guests there are agent, tcp, banner and http",
        ),
        (
            {"health": "none"},
            "health",
            "none happens once and cannot be asked again; for ready only",
        ),
        (
            {"respawn": {"delay": "500ms"}},
            "respawn.delay",
            "found 0.5 seconds, must be at least 1 second for a guest of libvirt",
        ),
        (
            {"stop": {"signal": "INT"}},
            "stop.signal",
            "means nothing for a guest of libvirt, which how says how to end",
        ),
        (
            {"stop": {"mode": "group"}},
            "stop.mode",
            "means nothing for a guest of libvirt, which how says how to end",
        ),
        (
            {"health": {"kind": "agent", "on_failure": "restart"}, "stop": {"how": "leave"}},
            "health.on_failure",
            "found 'restart', which cannot end a guest with stop.how = 'leave'; use 'degrade'",
        ),
    ],
)
def test_policies_of_processes_are_refused(data: dict[str, object], key: str, text: str) -> None:
    assert faults({"domain": "web1"} | data) == {key: text}


@pytest.mark.parametrize(
    ("data", "key"),
    [
        ({"command": ["x"], "ready": "agent"}, "ready"),
        ({"command": ["x"], "health": {"kind": "agent"}}, "health"),
        ({"command": ["x"], "stop": {"how": "save"}}, "stop.how"),
    ],
)
def test_what_is_for_guests_is_refused_elsewhere(data: dict[str, object], key: str) -> None:
    found = faults(data)
    assert list(found) == [key]
    assert "for guests of libvirt, which have the key domain" in found[key]


def test_a_condition_has_no_end_to_be_started_after() -> None:
    data = {"ready": {"kind": "path", "path": "/x"}, "respawn": {"on": "failure"}}
    text = "means nothing without command: there is no process that ends"
    assert faults(data) == {"respawn.on": text}


def test_a_service_with_a_process_may_rest_when_it_ended_well() -> None:
    table = ServiceTable.model_validate({"command": ["x"], "respawn": {"on": "failure"}})
    assert not list(service_problems(table))
    made = build_service(Name("job"), table, HOST, "")
    assert made.respawn == Respawn(only_failures=True)

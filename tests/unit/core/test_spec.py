"""Definitions are values: frozen, comparable, and with the defaults that the design promises."""

from dataclasses import FrozenInstanceError, fields

import pytest
from tests.support.pure_host import process, service, target, timer

from virtsupd.core.names import Name
from virtsupd.core.spec import (
    Health,
    NotifyProbe,
    PidFileProbe,
    Readiness,
    Respawn,
    ServiceSpec,
    Stop,
    StopMode,
    TcpProbe,
)


def test_a_definition_without_a_process_is_a_stage() -> None:
    assert target("net").is_stage
    assert not service("db").is_stage


def test_only_a_pid_file_says_that_the_first_process_ends() -> None:
    assert service("db", ready=Readiness(PidFileProbe("/run/db.pid"))).forks
    assert not service("db", ready=Readiness(NotifyProbe())).forks
    assert not service("db").forks


def test_equal_definitions_make_equal_processes() -> None:
    assert process("a") == process("a")
    assert process("a") != process("b")
    assert hash(service("db")) == hash(service("db"))


def test_a_definition_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        service("db").name = Name("other")  # type: ignore[misc]
    assert not hasattr(service("db"), "__dict__")


def test_the_process_of_a_one_shot_or_a_timer_is_to_end() -> None:
    assert service("db", one_shot=True).is_to_end
    assert timer("db").is_to_end
    assert not service("db").is_to_end


def test_the_defaults_are_those_of_the_design() -> None:
    spec = ServiceSpec(Name("db"), (Name("db"),))
    assert spec.stop == Stop("SIGTERM", 5.0, StopMode.CGROUP)
    assert spec.respawn == Respawn(0.1, 2.0, 30.0, limit=5, window_seconds=30.0)
    assert (spec.autostart, spec.one_shot, spec.transient, spec.is_guest) == (
        True,
        False,
        False,
        False,
    )
    assert spec.success_exit == {0}
    assert Health(TcpProbe(80)).on_failure == "restart"


def test_every_edge_is_empty_unless_it_is_given() -> None:
    spec = ServiceSpec(Name("db"), (Name("db"),))
    edges = {"requires", "binds_to", "wants", "after", "before", "conflicts"}
    assert edges <= {field.name for field in fields(spec)}
    assert all(getattr(spec, edge) == () for edge in edges)

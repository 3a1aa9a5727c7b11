"""What status shows is frozen, and answers the simple questions itself."""

from dataclasses import FrozenInstanceError

import pytest
from tests.support.pure_host import FAILED, KILLED, service

from virtsupd.core.snapshot import ExitRecord, Reason, ReasonKind, ServiceSnapshot, State
from virtsupd.core.spec import ServiceSpec


def snapshot(spec: ServiceSpec, state: State, **fields: object) -> ServiceSnapshot:
    return ServiceSnapshot(spec, state, True, "boot", 0.0, True, 0.0, **fields)  # type: ignore[arg-type]  # any field


def test_states_are_those_of_the_wire() -> None:
    assert [str(state) for state in State] == ["stopped", "starting", "running", "stopping"]


def test_the_last_exit_is_the_newest() -> None:
    exits = (ExitRecord(KILLED, 2.0), ExitRecord(FAILED, 1.0))
    assert snapshot(service("db"), State.STOPPED, exits=exits).last_exit == exits[0]
    assert snapshot(service("db"), State.STOPPED).last_exit is None


@pytest.mark.parametrize(
    ("one_shot", "state", "pid", "done"),
    [
        (True, State.RUNNING, None, True),
        (True, State.STARTING, 7, False),
        (True, State.STOPPED, None, False),
        (False, State.RUNNING, None, False),
    ],
)
def test_only_a_one_shot_that_ran_is_done(
    one_shot: bool, state: State, pid: int | None, done: bool
) -> None:
    assert snapshot(service("job", one_shot=one_shot), state, pid=pid).is_done is done


@pytest.mark.parametrize("kind", ReasonKind)
def test_only_a_failure_has_failed(kind: ReasonKind) -> None:
    found = snapshot(service("db"), State.STOPPED, reason=Reason(kind, "why"))
    assert found.has_failed is (kind is ReasonKind.FAILED)
    assert not snapshot(service("db"), State.STOPPED).has_failed


def test_a_snapshot_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        snapshot(service("db"), State.STOPPED).pid = 7  # type: ignore[misc]

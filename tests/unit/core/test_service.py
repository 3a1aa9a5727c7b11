"""What is remembered of one service: bounded, and begun anew with each start."""

from dataclasses import replace

import pytest
from tests.support.pure_host import FAILED, NOTIFY, process, service

from virtsupd.core.events import Instant
from virtsupd.core.made import made_from
from virtsupd.core.restart import RespawnRecord
from virtsupd.core.service import Rest, RestKind, Service
from virtsupd.core.snapshot import ExitRecord, State
from virtsupd.core.spec import Stop

SPEC = service("db")


def pends(found: Service) -> bool:
    return found.has_replacement


def at(wall: float) -> Instant:
    return Instant(wall, wall)


def test_it_is_alive_until_it_is_stopped_and_up_until_it_stops() -> None:
    found = {state: Service(SPEC, state=state) for state in State}
    assert [s for s, service_ in found.items() if service_.is_alive] == [
        State.STARTING,
        State.RUNNING,
        State.STOPPING,
    ]
    assert [s for s, service_ in found.items() if service_.is_up] == [State.STARTING, State.RUNNING]


def test_lists_are_newest_first_and_bounded() -> None:
    found = Service(SPEC)
    for wall in range(100):
        found.enter(State.RUNNING, at(wall))
        found.note_exit(ExitRecord(FAILED, wall))
        found.note_start_failure(at(wall))
        found.note_respawn(at(wall))
    assert [len(x) for x in (found.changes, found.exits, found.start_failures, found.respawns)] == [
        30,
        10,
        10,
        20,
    ]
    assert list(found.changes[0]) == [State.RUNNING, 99.0]
    assert {found.exits[0].at, found.start_failures[0], found.respawns[0]} == {99}
    assert found.restarts == 100


def test_a_replacement_is_pending_only_while_another_process_runs() -> None:
    found = Service(SPEC)
    found.begin_start(1)
    assert not pends(found)
    found.spec = replace(SPEC, stop=Stop("SIGINT"))
    assert not pends(found), "a policy is in force at once"
    for change in (replace(SPEC, process=process("new")), replace(SPEC, ready=NOTIFY)):
        found.spec = change
        assert pends(found)
    assert found.origin == made_from(SPEC)
    found.begin_start(2)
    assert not pends(found)


def test_a_start_begins_with_nothing_of_the_last_one() -> None:
    found = Service(SPEC, status_text="ready", unhealthy="slow", warnings=("nice",), kills=2)
    found.ready_at = 5.0
    found.begin_start(9)
    fresh = Service(SPEC, generation=9, made=made_from(SPEC))
    assert found == fresh


def test_a_person_who_takes_over_clears_the_failure_and_its_count() -> None:
    found = Service(SPEC, rest=Rest(RestKind.FAILED, "exited"), retry_at=at(9))
    found.respawn_record = RespawnRecord((1.0,), 3)
    found.clear_failure()
    assert (found.rest, found.retry_at, found.respawn_record) == (None, None, RespawnRecord())


@pytest.mark.parametrize(
    ("state", "kills", "stuck"),
    [(State.STOPPING, 1, False), (State.STOPPING, 2, True), (State.STOPPED, 2, False)],
)
def test_it_is_stuck_after_a_second_kill_came_to_nothing(
    state: State, kills: int, stuck: bool
) -> None:
    assert Service(SPEC, state=state, kills=kills).is_stuck is stuck


def test_only_a_running_process_can_reload() -> None:
    assert Service(SPEC, state=State.RUNNING, pid=7).can_reload
    assert not Service(SPEC, state=State.RUNNING).can_reload
    assert not Service(SPEC, state=State.STARTING, pid=7).can_reload

"""Every cell of the table: what can happen in each state, and that nothing else can."""

import runpy
from pathlib import Path

import pytest

from virtsupd.core.lifecycle import TABLE, Move, Step, advance, diagram
from virtsupd.core.snapshot import State
from virtsupd.errors import TransitionError

CHECKOUT = Path(__file__).resolve().parents[3]
CELLS = [(state, move) for state in State for move in Move]
JOBS = {Move.RUN_JOB, Move.JOB_ENDED, Move.GONE, Move.SPAWN_FAILED}
"""What happens to the job of a timer while that is armed."""
NEXT = {
    (State.STOPPED, Move.START): State.STARTING,
    (State.STARTING, Move.SPAWNED): State.STARTING,
    (State.STARTING, Move.SPAWN_FAILED): State.STOPPED,
    (State.STARTING, Move.READY): State.RUNNING,
    (State.STARTING, Move.HANDED_OVER): State.STARTING,
    (State.STARTING, Move.COMPLETED): State.RUNNING,
    (State.STARTING, Move.NEVER_READY): State.STOPPING,
    (State.STARTING, Move.DIED): State.STOPPING,
    (State.STARTING, Move.STOP): State.STOPPING,
    (State.RUNNING, Move.READY): State.RUNNING,
    (State.RUNNING, Move.NEVER_READY): State.RUNNING,
    (State.RUNNING, Move.FELL): State.STARTING,
    (State.RUNNING, Move.DIED): State.STOPPING,
    (State.RUNNING, Move.RUN_JOB): State.RUNNING,
    (State.RUNNING, Move.SPAWNED): State.RUNNING,
    (State.RUNNING, Move.SPAWN_FAILED): State.RUNNING,
    (State.RUNNING, Move.JOB_ENDED): State.RUNNING,
    (State.RUNNING, Move.OVERDUE): State.RUNNING,
    (State.RUNNING, Move.GONE): State.RUNNING,
    (State.STARTING, Move.UNHEALTHY): State.STOPPING,
    (State.RUNNING, Move.UNHEALTHY): State.STOPPING,
    (State.RUNNING, Move.STOP): State.STOPPING,
    (State.STOPPING, Move.SPAWNED): State.STOPPING,
    (State.STOPPING, Move.SPAWN_FAILED): State.STOPPED,
    (State.STOPPING, Move.READY): State.STOPPING,
    (State.STOPPING, Move.NEVER_READY): State.STOPPING,
    (State.STOPPING, Move.DIED): State.STOPPING,
    (State.STOPPING, Move.UNHEALTHY): State.STOPPING,
    (State.STOPPING, Move.OVERDUE): State.STOPPING,
    (State.STOPPING, Move.GONE): State.STOPPED,
    (State.STOPPED, Move.CLEAN_UP): State.STOPPING,
    (State.STOPPING, Move.CLEAN_UP): State.STOPPING,
}


@pytest.mark.parametrize(("state", "move"), CELLS)
def test_every_move_leads_where_it_should_or_cannot_happen(state: State, move: Move) -> None:
    if (state, move) in NEXT:
        assert advance(state, move)[0] is NEXT[state, move]
    else:
        with pytest.raises(TransitionError, match=f"a service that is {state} cannot have"):
            advance(state, move)


def test_every_state_has_its_row_and_every_move_its_place() -> None:
    assert set(TABLE) == set(State)
    assert {move for row in TABLE.values() for move in row} == set(Move)


def test_every_step_is_taken_somewhere() -> None:
    assert {s for row in TABLE.values() for _, steps in row.values() for s in steps} == set(Step)


@pytest.mark.parametrize(("state", "move"), sorted(NEXT))
def test_whatever_ends_a_service_settles_once_nothing_is_left(state: State, move: Move) -> None:
    target, steps = advance(state, move)
    comes_to_rest = target is State.STOPPED
    is_end = target is State.STOPPING and state in (State.STARTING, State.RUNNING)
    assert (Step.SETTLE in steps) is comes_to_rest
    assert (Step.TERMINATE in steps) is (is_end or move is Move.JOB_ENDED)


@pytest.mark.parametrize(("state", "move"), sorted(NEXT))
def test_probes_end_with_what_they_probe(state: State, move: Move) -> None:
    target, steps = advance(state, move)
    leaves = state in (State.STARTING, State.RUNNING) and target is not state
    assert (Step.END_WATCHES in steps) is leaves


@pytest.mark.parametrize(("state", "move"), sorted(NEXT))
def test_a_late_move_changes_nothing(state: State, move: Move) -> None:
    target, steps = advance(state, move)
    is_of_job = state is State.RUNNING and move in JOBS
    if target is state and move not in (Move.OVERDUE, Move.CLEAN_UP) and not is_of_job:
        assert steps == ()


def test_the_diagram_shows_every_change_of_state_and_nothing_else() -> None:
    lines = diagram().splitlines()
    assert lines[:2] == ["stateDiagram-v2", "    [*] --> stopped"]
    drawn = set()
    for line in lines[2:]:
        arrow, moves = line.strip().split(": ")
        source, goal = arrow.split(" --> ")
        drawn |= {(State(source), Move(move), State(goal)) for move in moves.split(", ")}
    assert drawn == {(s, m, goal) for (s, m), goal in NEXT.items() if goal is not s}


def test_the_page_of_the_manual_is_current() -> None:
    """`scripts/draw-states` writes it."""
    script = runpy.run_path(str(CHECKOUT / "scripts/draw-states"))
    assert (CHECKOUT / "docs/states.md").read_text() == script["page"]()

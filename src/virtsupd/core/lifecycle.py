"""The lifecycle of one service: four states, what can happen in each, and what must be done.

Theory of operation. `TABLE` is the whole machine: for a state and a move it gives the next state
and the steps to take. The engine decides *whether* a move happens (it knows the graph); this table
alone says what the move means. A pair that is not in the table cannot happen; `advance` then
raises `TransitionError`, which is a defect of virtsupd and never the fault of a service.

Whatever ends a service leads through `stopping`: a stop that was asked for, a start that failed, a
process that died. There the leftovers are ended, as the stop mode says, and only when nothing is
left (`GONE`) is the service `stopped`. So nothing is ever started over the remains of its
predecessor, and one path has to be right instead of three.

What outlives a service's processes is cleaned up within `stopping`, too; for one that was stopped
already, since it was backing off or came to rest, that leads back there.

A timer is running while it is armed. Its process is a job, which comes and goes within `running`:
its leftovers are ended as in a stop, and it alone can be spawned, overdue and gone there.

A process that ended before it was seen to start, or a probe that answers after the stop began,
are ordinary: the late moves have their own cells, which change nothing.
"""

from collections.abc import Mapping
from enum import StrEnum

from virtsupd.core.snapshot import State
from virtsupd.errors import TransitionError


class Move(StrEnum):
    """What can happen to one service."""

    START = "start"
    """The engine found it wanted and possible."""
    STOP = "stop"
    """The engine found it unwanted, marked by a cascade, or bound to something that fell."""
    SPAWNED = "spawned"
    SPAWN_FAILED = "spawn failed"
    READY = "ready"
    NEVER_READY = "never ready"
    """The probe cannot hold any more, or its deadline passed."""
    FELL = "fell"
    """A condition that held does not hold any more: it is waited for again."""
    HANDED_OVER = "handed over"
    """The first process of a forking service ended well; the real one goes on."""
    COMPLETED = "completed"
    """The process of a one-shot ended well."""
    DIED = "died"
    """The leader ended and nobody had asked for it."""
    UNHEALTHY = "unhealthy"
    OVERDUE = "overdue"
    """The stop delay passed with something left."""
    RUN_JOB = "run job"
    """A timer fired, or was triggered."""
    JOB_ENDED = "job ended"
    """The process of a timer's job has ended, or has run too long."""
    GONE = "gone"
    """Nothing is left that the stop mode covers, nor to clean up."""
    CLEAN_UP = "clean up"
    """It is down and stays so, and something that it made outlives its processes."""


class Step(StrEnum):
    """What a transition makes the engine do for the service."""

    SPAWN = "spawn"
    ARM_DEADLINE = "arm the start deadline"
    BEGIN_RUN = "watch its health, tell who waits"
    END_WATCHES = "end its probes and the start deadline"
    TERMINATE = "send the stop signal, arm the stop delay"
    ESCALATE = "send KILL"
    CLEAN_UP = "run its clean-up command"
    SETTLE = "decide whether it starts again"
    SPAWN_JOB = "spawn a job"
    END_JOB = "be armed for the next job"


Transition = tuple[State, tuple[Step, ...]]

_DOWN = (State.STOPPING, (Step.END_WATCHES, Step.TERMINATE))

TABLE: Mapping[State, Mapping[Move, Transition]] = {
    State.STOPPED: {
        Move.START: (State.STARTING, (Step.SPAWN, Step.ARM_DEADLINE)),
        Move.CLEAN_UP: (State.STOPPING, (Step.CLEAN_UP,)),
    },
    State.STARTING: {
        Move.SPAWNED: (State.STARTING, ()),
        Move.SPAWN_FAILED: (State.STOPPED, (Step.END_WATCHES, Step.SETTLE)),
        Move.READY: (State.RUNNING, (Step.END_WATCHES, Step.BEGIN_RUN)),
        Move.HANDED_OVER: (State.STARTING, ()),
        Move.COMPLETED: (State.RUNNING, (Step.END_WATCHES, Step.BEGIN_RUN)),
        Move.NEVER_READY: _DOWN,
        Move.DIED: _DOWN,
        Move.UNHEALTHY: _DOWN,
        Move.STOP: _DOWN,
    },
    State.RUNNING: {
        Move.READY: (State.RUNNING, ()),
        Move.NEVER_READY: (State.RUNNING, ()),
        Move.FELL: (State.STARTING, (Step.END_WATCHES, Step.SPAWN, Step.ARM_DEADLINE)),
        Move.RUN_JOB: (State.RUNNING, (Step.SPAWN_JOB,)),
        Move.SPAWNED: (State.RUNNING, ()),
        Move.SPAWN_FAILED: (State.RUNNING, (Step.END_JOB,)),
        Move.JOB_ENDED: (State.RUNNING, (Step.TERMINATE,)),
        Move.OVERDUE: (State.RUNNING, (Step.ESCALATE,)),
        Move.GONE: (State.RUNNING, (Step.END_JOB,)),
        Move.DIED: _DOWN,
        Move.UNHEALTHY: _DOWN,
        Move.STOP: _DOWN,
    },
    State.STOPPING: {
        Move.SPAWNED: (State.STOPPING, ()),
        Move.SPAWN_FAILED: (State.STOPPED, (Step.SETTLE,)),
        Move.READY: (State.STOPPING, ()),
        Move.NEVER_READY: (State.STOPPING, ()),
        Move.DIED: (State.STOPPING, ()),
        Move.UNHEALTHY: (State.STOPPING, ()),
        Move.OVERDUE: (State.STOPPING, (Step.ESCALATE,)),
        Move.GONE: (State.STOPPED, (Step.SETTLE,)),
        Move.CLEAN_UP: (State.STOPPING, (Step.CLEAN_UP,)),
    },
}


def advance(state: State, move: Move) -> Transition:
    """Return the state after `move` and the steps it asks for, in order.

    Raises:
        TransitionError: the move cannot happen in this state.
    """
    found = TABLE[state].get(move)
    if found is None:
        raise TransitionError(f"a service that is {state} cannot have {move!r} happen to it")
    return found


def diagram() -> str:
    """Draw the table as a Mermaid state diagram, for the manual."""
    lines = ["stateDiagram-v2", "    [*] --> stopped"]
    for state, moves in TABLE.items():
        by_target: dict[State, list[str]] = {}
        for move, (target, _) in moves.items():
            if target is not state:
                by_target.setdefault(target, []).append(move)
        lines += [f"    {state} --> {to}: {', '.join(names)}" for to, names in by_target.items()]
    return "\n".join(lines) + "\n"

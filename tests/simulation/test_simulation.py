"""The simulator finds what is broken, says it shortly, and finds nothing in what once was broken."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.simulation import run
from tests.simulation.actions import Ask, Crash, Die, Pass, Settle
from tests.simulation.disk import Files
from tests.simulation.machine import SimMachine
from tests.simulation.sender import Sender
from tests.simulation.shrink import failure, shrink
from tests.simulation.simulation import Case, Simulation, Tally, draw
from tests.simulation.virtsupd import strict_log
from tests.simulation.world import KILL

from virtsupd.core.events import Verb

pytestmark = pytest.mark.timeout(120)

ONCE_FAILED = Path(__file__).with_name("once_failed.txt")
SEEDS = [
    int(line.split()[0]) for line in ONCE_FAILED.read_text().splitlines() if line[:1].isdigit()
]
MOST_SEEDS = 60
"""Within which each of the planted faults below shows."""


@pytest.fixture(autouse=True)
def no_defect_is_logged_away() -> Iterator[None]:
    with strict_log():
        yield


@pytest.mark.parametrize("seed", SEEDS)
def test_what_once_failed_does_not_fail_again(seed: int) -> None:
    Simulation(draw(seed)).run()


def test_a_seed_is_replayed_to_the_last_event() -> None:
    first, second = Tally(), Tally()
    for tally in (first, second):
        for seed in range(10):
            Simulation(draw(seed), tally).run()
    assert first == second
    assert min(first.events, first.crashes, first.adoptions, first.spawns) > 0


def first_failure() -> Exception | None:
    found = (failure(draw(seed)) for seed in range(MOST_SEEDS))
    return next((error for error in found if error is not None), None)


def nothing(*_: Any, **__: Any) -> None:
    return


def to_everybody(sender: Sender) -> None:
    if sender.remains.cgroup is not None:
        sender._to_all(sender.remains.cgroup.pids(), KILL)


def loses_what_is_wanted(
    files: Files, name: str, content: bytes, *, is_lasting: bool = False
) -> None:
    assert not is_lasting or name
    if name != "wanted.json":
        files.files[name] = content


FAULTS: dict[str, tuple[type, str, Any]] = {
    "nothing of a predecessor is found": (SimMachine, "adopt", nothing),
    "a stop ends whatever is in the cgroup": (Sender, "terminate", to_everybody),
    "a stop is over before its processes are": (SimMachine, "is_gone", lambda *_: True),
    "no signal is sent": (Sender, "kill", nothing),
    "what is wanted is not written down": (Files, "write", loses_what_is_wanted),
    "no record is written": (Files, "write", nothing),
    "nobody is told of a death": (SimMachine, "watch_exit", nothing),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    place, name, broken = FAULTS[fault]
    monkeypatch.setattr(place, name, broken)
    assert first_failure() is not None


def test_what_fails_is_shrunk_to_what_it_fails_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SimMachine, "adopt", nothing)
    case = next(case for case in map(draw, range(MOST_SEEDS)) if failure(case) is not None)
    small = shrink(case)
    assert failure(small) is not None
    assert len(small.actions) <= 5 < len(case.actions)
    assert any(type(action).__name__ in ("Crash", "Quit") for action in small.actions)


def test_a_case_reads_back_as_it_was_printed() -> None:
    for seed in range(50):
        case = draw(seed)
        assert run.read(run.in_words(case)) == case
    assert run.read("17") == draw(17)


def test_a_case_can_be_written_by_hand() -> None:
    """As what the simulator prints becomes a test: a kill -9 in the middle of a restart."""
    actions = (
        Settle(),
        Die(0),
        Pass(0.05),
        Ask(Verb.RESTART, (0, 1)),
        Crash(tuple(range(1, 9)), away=0.2),
        Settle(),
    )
    for graph in range(30):
        Simulation(Case(seed=graph, graph=graph, step=0.0, actions=actions)).run()


def test_what_was_gone_through_is_told_in_one_line() -> None:
    tally, failed = run.simulate(0.2, base=1)
    assert failed is None
    assert run.told(tally, 2.0).startswith(f"{tally.seeds} schedules, {tally.events} events")

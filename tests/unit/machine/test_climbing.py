"""The ladder: one rung after the other, each in its time, and told what is waited for."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import anyio
import pytest
from tests.support.hand_clock import HandClock

from virtsupd.core.machine import Rung, RungSpec
from virtsupd.errors import NotReadyError
from virtsupd.machine.climbing import Climb, Note, Reach

LADDER = (
    RungSpec(Rung.MONITOR, 10),
    RungSpec(Rung.SECRETS, 60),
    RungSpec(Rung.AGENT, 20, counts=False),
    RungSpec(Rung.SSH, 60),
)


class Wall:
    """A wall whose rungs a test lets be reached."""

    def __init__(self) -> None:
        self.open = {rung: anyio.Event() for rung in Rung}
        self.notes: dict[Rung, Note] = {}
        self.tried: list[Rung] = []
        self.kept: list[Rung] = []
        self.said: list[tuple[str, str]] = []
        self.clock = HandClock()
        self.outcome = ""
        self.refuses: Rung | None = None

    def ways(self) -> dict[Rung, Reach]:
        return {rung: self._way(rung) for rung in Rung}

    def _way(self, rung: Rung) -> Reach:
        async def reach(note: Note) -> None:
            self.tried.append(rung)
            self.notes[rung] = note
            if rung is self.refuses:
                raise NotReadyError("it said nonsense")
            await self.open[rung].wait()

        return reach

    async def lets(self, *rungs: Rung) -> None:
        for rung in rungs:
            self.open[rung].set()
            await anyio.wait_all_tasks_blocked()

    @asynccontextmanager
    async def climbed(
        self, rungs: tuple[RungSpec, ...] = LADDER, reached: frozenset[Rung] = frozenset()
    ) -> AsyncIterator[None]:
        climb = Climb(
            rungs,
            self.ways(),
            self.clock,
            tell=lambda kind, text: self.said.append((kind, text)),
            keep=self.kept.append,
            reached=reached,
        )

        async def wait() -> None:
            try:
                await climb.wait()
            except NotReadyError as error:
                self.outcome = str(error)
            else:
                self.outcome = "ready"

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(climb.run)
            tasks.start_soon(wait)
            await anyio.wait_all_tasks_blocked()
            yield
            tasks.cancel_scope.cancel()

    def status(self) -> str:
        return [text for kind, text in self.said if kind == "status"][-1]


@pytest.fixture
def wall() -> Callable[[], Wall]:
    return Wall


async def test_each_rung_is_tried_once_the_one_below_is_reached(wall: Callable[[], Wall]) -> None:
    it = wall()
    async with it.climbed():
        assert it.tried == [Rung.MONITOR]
        await it.lets(Rung.MONITOR)
        assert it.tried == [Rung.MONITOR, Rung.SECRETS]
        await it.lets(Rung.SECRETS)
        assert set(it.tried[2:]) == {Rung.AGENT, Rung.SSH}
        assert it.outcome == ""
        await it.lets(Rung.SSH)
        assert it.outcome == "ready"
        assert it.status() == "reached monitor, secrets, ssh"
        await it.lets(Rung.AGENT)
        assert it.status() == "reached monitor, secrets, agent, ssh"
    assert it.kept == [Rung.MONITOR, Rung.SECRETS, Rung.SSH, Rung.AGENT]


async def test_what_it_waits_for_is_told(wall: Callable[[], Wall]) -> None:
    it = wall()
    async with it.climbed():
        it.notes[Rung.MONITOR]("no monitor")
        await it.lets(Rung.MONITOR)
        assert [text for kind, text in it.said if kind == "waiting"][-1] == "secrets"
        it.notes[Rung.SECRETS]("nobody says a greeting")
        assert it.said[-1] == ("waiting", "secrets: nobody says a greeting")
        await it.lets(Rung.SECRETS)
        it.notes[Rung.AGENT]("no answer")
        assert it.status() == "reached monitor, secrets; agent: no answer"


async def test_a_rung_that_is_not_reached_in_its_time_ends_the_climb(
    wall: Callable[[], Wall],
) -> None:
    it = wall()
    async with it.climbed():
        await it.lets(Rung.MONITOR)
        it.notes[Rung.SECRETS]("nobody says a greeting")
        await it.clock.pass_time(59)
        assert it.outcome == ""
        await it.clock.pass_time(2)
        assert it.outcome == "secrets: not within 60 s: nobody says a greeting"
        assert Rung.SSH not in it.tried


async def test_a_rung_that_never_will_be_reached_ends_it_at_once(wall: Callable[[], Wall]) -> None:
    it = wall()
    it.refuses = Rung.SECRETS
    async with it.climbed():
        await it.lets(Rung.MONITOR)
        assert it.outcome == "secrets: it said nonsense"


async def test_a_rung_that_does_not_count_may_be_late_and_is_still_reached(
    wall: Callable[[], Wall],
) -> None:
    it = wall()
    async with it.climbed():
        await it.lets(Rung.MONITOR, Rung.SECRETS, Rung.SSH)
        await it.clock.pass_time(21)
        assert it.outcome == "ready"
        assert it.status() == "reached monitor, secrets, ssh; agent: not within 20 s"
        await it.lets(Rung.AGENT)
        assert it.status() == "reached monitor, secrets, agent, ssh"


async def test_a_rung_beside_that_never_will_be_is_only_said(wall: Callable[[], Wall]) -> None:
    it = wall()
    it.refuses = Rung.AGENT
    async with it.climbed():
        await it.lets(Rung.MONITOR, Rung.SECRETS, Rung.SSH)
        assert it.outcome == "ready"
        assert "agent: it said nonsense" in it.status()


async def test_what_an_earlier_virtsupd_saw_reached_is_not_climbed_again(
    wall: Callable[[], Wall],
) -> None:
    it = wall()
    async with it.climbed(reached=frozenset({Rung.MONITOR, Rung.SECRETS, Rung.AGENT})):
        assert it.tried == [Rung.SSH]
        await it.lets(Rung.SSH)
        assert it.outcome == "ready"
    assert it.kept == [Rung.SSH]


async def test_without_rungs_it_is_ready_at_once(wall: Callable[[], Wall]) -> None:
    it = wall()
    async with it.climbed(()):
        assert it.outcome == "ready"

"""The tasks that watch a service: what they post, and when."""

import os
from collections.abc import Callable

import anyio
import pytest

from virtsupd.core.effects import AwaitReady, WatchCondition, WatchHealth
from virtsupd.core.events import BecameReady, Fell, HealthChanged, Instant, NeverReady
from virtsupd.core.exits import ExitStatus
from virtsupd.core.names import Name
from virtsupd.core.spec import ExecProbe, FdProbe, Health, NotifyProbe, PathProbe, Readiness
from virtsupd.process.command import CommandOutcome
from virtsupd.process.notify import NotifyMessage, Watchdog
from virtsupd.process.probe_context import ProbeContext
from virtsupd.supervisor.probes import watch_condition, watch_health, watch_readiness

WEB = Name("web")
Posted = BecameReady | NeverReady | Fell | HealthChanged


class HandClock:
    """Time stands still but for sleeps, which end at once; after `naps` of them the scope ends."""

    def __init__(self, naps: int, scope: anyio.CancelScope) -> None:
        self.slept: list[float] = []
        self.wakes: dict[int, Callable[[], None]] = {}
        self._naps, self._scope, self._now = naps, scope, 100.0

    def now(self) -> Instant:
        return Instant(self._now, self._now)

    async def sleep(self, seconds: float) -> None:
        if len(self.slept) == self._naps:
            self._scope.cancel()
            await anyio.lowlevel.checkpoint()
        self.slept.append(seconds)
        self._now += seconds
        self.wakes.get(len(self.slept), lambda: None)()


async def test_a_probe_that_holds_makes_the_service_ready() -> None:
    posted: list[Posted] = []
    effect = AwaitReady(WEB, 3, Readiness(PathProbe("/")))
    scope = anyio.CancelScope()
    context = ProbeContext(name=WEB, clock=HandClock(1, scope))
    await watch_readiness(effect, context, posted.append, scope)
    assert posted == [BecameReady(WEB, 3, None)]


async def test_a_probe_that_can_never_hold_says_why() -> None:
    posted: list[Posted] = []
    effect = AwaitReady(WEB, 3, Readiness(FdProbe()))
    scope = anyio.CancelScope()
    context = ProbeContext(name=WEB, clock=HandClock(1, scope))
    await watch_readiness(effect, context, posted.append, scope)
    assert posted == [NeverReady(WEB, 3, "there is no readiness descriptor")]


async def test_what_is_over_before_its_first_turn_is_not_looked_at() -> None:
    posted: list[Posted] = []
    effect = AwaitReady(WEB, 3, Readiness(FdProbe()))
    scope = anyio.CancelScope()
    reading, writing = os.pipe()
    os.close(reading)
    os.close(writing)
    context = ProbeContext(name=WEB, clock=HandClock(1, scope), ready_fd=reading)
    scope.cancel()
    await watch_readiness(effect, context, posted.append, scope)
    assert posted == []


async def test_a_condition_falls_once_and_says_what_is_missing() -> None:
    posted: list[Posted] = []
    scope = anyio.CancelScope()
    context = ProbeContext(name=WEB, clock=HandClock(1, scope))
    effect = WatchCondition(WEB, 3, PathProbe("/none"))
    await watch_condition(effect, context, posted.append, scope)
    assert posted == [Fell(WEB, 3, "/none does not exist")]


async def outcomes_of(
    health: Health, context: ProbeContext, scope: anyio.CancelScope
) -> list[Posted]:
    posted: list[Posted] = []
    await watch_health(WatchHealth(WEB, 5, health), context, posted.append, scope)
    return posted


def command(*codes: int) -> Callable[[tuple[str, ...], float], object]:
    """Return what runs a command with these exit codes, one after another."""
    left = list(codes)

    async def run(_: tuple[str, ...], seconds: float) -> CommandOutcome:
        limits.append(seconds)
        return CommandOutcome(ExitStatus(code=left.pop(0)), b"", timed_out=False)

    return run


limits: list[float] = []


@pytest.mark.parametrize(
    ("codes", "failures", "changes"),
    [
        ((0, 0, 0), 1, []),
        ((1, 1, 0), 3, []),
        ((1, 0, 1, 0), 2, []),
        ((1, 1, 1, 1), 2, ["bad"]),
        ((1, 0, 1, 0), 1, ["bad", "well", "bad", "well"]),
    ],
)
async def test_so_many_failures_in_a_row_are_one_change(
    codes: tuple[int, ...], failures: int, changes: list[str]
) -> None:
    scope = anyio.CancelScope()
    clock = HandClock(len(codes), scope)
    context = ProbeContext(name=WEB, clock=clock, run=command(*codes))  # type: ignore[arg-type]  # a double
    health = Health(ExecProbe(("probe",)), interval_seconds=7, failures=failures)
    posted = await outcomes_of(health, context, scope)
    assert ["bad" if e.why else "well" for e in posted if isinstance(e, HealthChanged)] == changes
    assert clock.slept == [7] * len(codes)


@pytest.mark.parametrize("seconds", [0.5, 90.0, 0.0])
async def test_the_time_of_an_attempt_is_the_tables(seconds: float) -> None:
    scope = anyio.CancelScope()
    context = ProbeContext(name=WEB, clock=HandClock(1, scope), run=command(0))  # type: ignore[arg-type]  # a double
    limits.clear()
    await outcomes_of(Health(ExecProbe(("probe",)), timeout_seconds=seconds), context, scope)
    assert limits == [seconds]


async def test_a_watchdog_is_looked_at_when_it_is_due() -> None:
    scope = anyio.CancelScope()
    clock = HandClock(4, scope)
    watchdog = Watchdog(10, 100.0)
    context = ProbeContext(name=WEB, clock=clock, watchdog=watchdog)
    fed = NotifyMessage(1, 0, {"WATCHDOG": "1"})
    watchdog.feed(fed, 103.0)
    clock.wakes[1] = lambda: watchdog.feed(fed, 108.0)
    posted = await outcomes_of(Health(NotifyProbe(), 10, failures=2), context, scope)
    # 113 fed meanwhile, then due at 118; from then on once an interval.
    assert clock.slept == [13, 5, 10, 10]
    assert posted == [HealthChanged(WEB, 5, "web did not say WATCHDOG=1 in time")]


async def test_a_watchdog_that_the_service_ended_is_no_failure() -> None:
    scope = anyio.CancelScope()
    clock = HandClock(2, scope)
    watchdog = Watchdog(10, 100.0)
    watchdog.feed(NotifyMessage(1, 0, {"WATCHDOG_USEC": "0"}), 101.0)
    context = ProbeContext(name=WEB, clock=clock, watchdog=watchdog)
    assert await outcomes_of(Health(NotifyProbe(), 10, failures=1), context, scope) == []
    assert clock.slept == [10, 10]


async def test_an_attempt_without_a_verdict_keeps_the_count() -> None:
    scope = anyio.CancelScope()
    clock, judged = HandClock(6, scope), [True]
    run = command(1, 1, 1)
    context = ProbeContext(name=WEB, clock=clock, run=run, is_judged=lambda: bool(judged))  # type: ignore[arg-type]  # a double
    clock.wakes = {2: judged.clear, 5: lambda: judged.append(True)}
    posted = await outcomes_of(Health(ExecProbe(("probe",)), failures=3), context, scope)
    assert [type(event) for event in posted] == [HealthChanged]


async def test_what_can_be_judged_no_more_when_the_probe_ends_is_not_ill() -> None:
    scope = anyio.CancelScope()
    clock, run, answers = HandClock(1, scope), command(1), [True, False]
    context = ProbeContext(name=WEB, clock=clock, run=run, is_judged=lambda: answers.pop(0))  # type: ignore[arg-type]  # a double
    assert await outcomes_of(Health(ExecProbe(("probe",)), failures=1), context, scope) == []
    assert answers == []


async def test_what_was_ill_under_an_earlier_virtsupd_is_told_to_be_well() -> None:
    posted: list[Posted] = []
    scope = anyio.CancelScope()
    context = ProbeContext(name=WEB, clock=HandClock(2, scope), run=command(0, 0))  # type: ignore[arg-type]  # a double
    health = Health(ExecProbe(("true",)))
    effect = WatchHealth(WEB, 5, health, is_well=False)
    await watch_health(effect, context, posted.append, scope)
    assert posted == [HealthChanged(WEB, 5, None)]

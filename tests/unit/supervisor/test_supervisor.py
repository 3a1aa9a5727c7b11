"""The loop: events one after another, clients answered, subscribers told, what is wanted written down."""

from dataclasses import dataclass

import anyio
import pytest
import structlog.testing
from tests.support.supervising import SECONDS, WEB, Parts, service, supervising

from virtsupd.core.effects import Announce, Effect, Result
from virtsupd.core.engine import Engine
from virtsupd.core.events import (
    Asked,
    BecameReady,
    Booted,
    Event,
    Fired,
    Instant,
    Timer,
    Verb,
)
from virtsupd.core.names import Name
from virtsupd.core.snapshot import Change, State
from virtsupd.core.spec import NotifyProbe, Readiness, Reload, Respawn
from virtsupd.errors import ReexecutingError

pytestmark = pytest.mark.process


async def test_a_command_is_answered_when_it_is_done() -> None:
    async with supervising(service(autostart=False)) as s:
        answer = await s.ask(Verb.START, "web", "web")
        assert [(r.name, r.result) for r in answer.reports] == [("web", Result.DONE)]
        assert (await s.ask(Verb.START, "web")).reports[0].result is Result.ALREADY


async def test_a_cancelled_client_leaves_its_command_in_force() -> None:
    spec = service(autostart=False, respawn=Respawn(delay_seconds=0))
    async with supervising(spec) as s:
        with anyio.move_on_after(0):
            await s.supervisor.ask(Verb.START, [WEB], who="somebody")
        await s.settled()
        assert s.snapshot().state is State.RUNNING
        assert s.snapshot().wanted_by == "somebody"


async def test_what_is_wanted_is_written_before_the_answer() -> None:
    async with supervising(service()) as s:
        await s.ask(Verb.STOP, "web")
        assert '"web": false' in (s.run_dir / "state/wanted.json").read_text()


async def test_subscribers_hear_every_change_in_order() -> None:
    async with supervising(service(autostart=False)) as s, s.supervisor.changes() as changes:
        await s.ask(Verb.START, "web")
        await s.ask(Verb.STOP, "web")
        heard: list[str] = []
        with anyio.fail_after(SECONDS):
            while "service stopped" not in heard:
                heard.append((await changes.receive()).event)
        assert heard == [
            "service starting",
            "service running",
            "service stopping",
            "service exited",
            "service stopped",
        ]


async def test_a_subscriber_that_does_not_read_loses_the_subscription() -> None:
    async with supervising(service()) as s, s.supervisor.changes() as changes:
        for _ in range(1001):
            s.supervisor._do(Announce(WEB, "service running"))
        seen = [change async for change in changes]
        assert len(seen) == 1000
        assert isinstance(seen[0], Change)
        assert s.supervisor._subscribers == []


async def test_a_subscription_ends_with_virtsupd() -> None:
    async with supervising(service()) as s, s.supervisor.changes() as changes:
        s.supervisor.shut_down("a test")
        with anyio.fail_after(SECONDS):
            await s.supervisor.finished.wait()
        s.supervisor.close()
        assert [change async for change in changes]
        s.supervisor.post(Booted())
        assert s.snapshot().state is State.STOPPED


async def test_an_event_that_cannot_be_taken_is_logged_and_forgotten() -> None:
    async with supervising(service()) as s:
        generation = s.supervisor.engine.service(WEB).generation
        with structlog.testing.capture_logs() as logs:
            s.supervisor.post(Odd(generation))  # type: ignore[arg-type]  # what no part of virtsupd posts
        assert [entry["event"] for entry in logs] == ["event could not be taken"]
        s.supervisor.post(BecameReady(WEB, generation))
        assert s.snapshot().state is State.RUNNING


@dataclass(frozen=True)
class Odd:
    """No event that the engine knows."""

    generation: int
    name: Name = WEB


async def test_a_service_that_left_is_announced_by_its_name() -> None:
    async with supervising(service(transient=True)) as s:
        with structlog.testing.capture_logs() as logs:
            await s.ask(Verb.STOP, "web")
        assert {"event": "service removed", "service": "web", "log_level": "info"} in logs


async def test_long_work_lets_the_loop_turn() -> None:
    """Forty starts take more than ten milliseconds: others get their turn in between."""
    specs = [service(f"s{number}") for number in range(40)]
    async with supervising(*specs, parts=Parts(has_booted=False)) as s:
        s.supervisor.post(Booted())
        assert s.supervisor._is_scheduled
        s.supervisor.post(Fired(Name("s0"), 99, Timer.BACKOFF))
        await s.settled()
        assert {s.snapshot(f"s{number}").state for number in range(40)} == {State.RUNNING}


async def test_an_effect_that_fails_unforeseen_ends_nothing() -> None:
    """Here: a reload signal that no configuration can name."""
    spec = service(reload=Reload(signal="SIGNONE"))
    async with supervising(spec) as s:
        with structlog.testing.capture_logs() as logs, anyio.move_on_after(0.05):
            await s.supervisor.ask(Verb.RELOAD, [WEB], who="a test")
        assert "effect could not be carried out" in {entry["event"] for entry in logs}
        assert s.snapshot().state is State.RUNNING


async def test_a_state_that_cannot_be_written_is_told_once_and_made_up_for() -> None:
    async with supervising(service(), service("app")) as s:
        state = s.run_dir / "state"
        state.rmdir()
        with structlog.testing.capture_logs() as logs:
            await s.ask(Verb.STOP, "web")
            await s.ask(Verb.STOP, "app")
        said = [e for e in logs if e["event"] == "what is wanted could not be written down"]
        assert len(said) == 1
        assert "No such file" in (s.supervisor.trouble or "")
        state.mkdir()
        await s.ask(Verb.START, "web")
        assert not s.supervisor.trouble
        assert (state / "wanted.json").exists()


async def test_the_log_says_what_matters_of_a_change() -> None:
    with structlog.testing.capture_logs() as logs:
        async with supervising(service("web", "/bin/false")) as s:
            await s.until(lambda: s.snapshot().has_failed)
    by_event = {entry["event"]: entry for entry in logs}
    assert by_event["service exited"]["exit_status"] == "exited with code 1"
    assert by_event["service failed"]["log_level"] == "warning"
    assert by_event["service failed"]["reason"] == "exited with code 1"
    assert "service starting" not in by_event


class Defective(Engine):
    """An engine that cannot take one verb."""

    def __init__(self, engine: Engine, verb: Verb) -> None:
        super().__init__(engine.graph, {})
        self.verb: Verb | None = verb
        self._host = engine._host

    def advance(self, event: Event, now: Instant) -> tuple[Effect, ...]:
        if isinstance(event, Asked) and event.verb is self.verb:
            raise ZeroDivisionError("unforeseen")
        return super().advance(event, now)


async def test_a_command_that_meets_a_defect_is_answered() -> None:
    async with supervising(service()) as s:
        s.supervisor.engine = Defective(s.supervisor.engine, Verb.STOP)
        [report] = (await s.ask(Verb.STOP, "web")).reports
        assert (report.name, report.result) == (WEB, Result.FAILED)
        assert report.message == "a defect of virtsupd, see its log"
        assert s.snapshot().state is State.RUNNING
        [report] = (await s.ask(Verb.RESTART, "web")).reports
        assert report.result is Result.DONE


async def test_a_shutdown_that_meets_a_defect_ends_virtsupd_and_nothing_else() -> None:
    async with supervising(service()) as s:
        engine = Defective(s.supervisor.engine, Verb.SHUTDOWN)
        s.supervisor.engine = engine
        s.supervisor.shut_down("a test")
        assert s.supervisor.finished.is_set()
        assert s.supervisor.has_given_up
        assert s.snapshot().state is State.RUNNING
        s.supervisor.finished = anyio.Event()
        engine.verb = None


async def test_who_waits_is_told_why_nobody_answers_and_the_command_goes_on() -> None:
    spec = service(ready=Readiness(NotifyProbe(), 60), autostart=False)
    async with supervising(spec) as s, anyio.create_task_group() as tasks:
        told: list[str] = []

        async def ask() -> None:
            try:
                await s.ask(Verb.START, "web")
            except ReexecutingError as error:
                told.append(error.code)

        async with s.supervisor.changes() as changes:
            tasks.start_soon(ask)
            await s.until(lambda: s.snapshot().state is State.STARTING)
            s.supervisor.interrupt(ReexecutingError())
            with anyio.fail_after(SECONDS):
                async for _ in changes:  # it ends
                    pass
        assert told == ["re-executing"]
        for refused in (s.ask(Verb.STOP, "web"), s.supervisor.changes().__aenter__()):
            with pytest.raises(ReexecutingError):
                await refused
        assert s.snapshot().state is State.STARTING
        s.supervisor.resume()
        assert (await s.ask(Verb.STOP, "web")).reports[0].result is Result.DONE

"""What guests would lose by the end of a service keeps it up, until somebody insists."""

import os
import signal
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest
from structlog.testing import capture_logs
from tests.support.whole_daemon import whole_daemon

from virtsupd.config.kinds import Built, Kind, KindParts
from virtsupd.config.model import KindTable
from virtsupd.core.effects import Answer, Result
from virtsupd.core.events import Verb
from virtsupd.core.names import Name
from virtsupd.core.snapshot import State
from virtsupd.daemon.backend import DaemonBackend
from virtsupd.errors import ReexecError

pytestmark = pytest.mark.process

SERVICES = """
[guarded]
[service.web]
command = ["/bin/sleep", "1000"]
[service.base]
command = ["/bin/sleep", "1000"]
[service.front]
command = ["/bin/sleep", "1000"]
requires = ["base"]
[service.late]
command = ["/bin/sleep", "1000"]
requires = ["base"]
autostart = false
[service.rival]
command = ["/bin/sleep", "1000"]
conflicts = ["front"]
autostart = false
"""
FRONT = Name("front")


@dataclass(frozen=True, slots=True)
class Guard:
    """A guard that says what the test says."""

    answer: Callable[[int], str | None]
    done: Callable[[], str | None] = lambda: None

    def stop_harm(self, pid: int) -> str | None:
        return self.answer(pid)

    def stop_loss(self, pid: int) -> str | None:
        return "a lamp" if self.answer(pid) else None

    def harm_done(self) -> str | None:
        return self.done()


def guarding(
    answer: Callable[[int], str | None], done: Callable[[], str | None] = lambda: None
) -> Kind:
    parts = KindParts(
        KindTable,
        lambda table, context: Built({}),
        stop_guard=Guard(answer, done),
        guarded=frozenset({"front"}),
    )
    return Kind((), lambda: parts)


@asynccontextmanager
async def guarded(
    directory: Path,
    answer: Callable[[int], str | None],
    done: Callable[[], str | None] = lambda: None,
    services: str = SERVICES,
) -> AsyncIterator[DaemonBackend]:
    """Yield a daemon that runs `front`, whose end `answer` is asked about with its pid."""
    async with whole_daemon(directory, services, {"guarded": guarding(answer, done)}) as backend:
        await backend.ask(Verb.WAIT, [FRONT], who="a test")
        yield backend


async def ask(backend: DaemonBackend, verb: Verb, *names: str, force: bool = False) -> Answer:
    return await backend.ask(verb, [Name(name) for name in names], who="a test", force=force)


@pytest.mark.parametrize(
    ("verb", "name", "words"),
    [
        (Verb.STOP, "front", "cannot stop front: the lamp goes out; --force "),
        (Verb.RESTART, "front", "cannot restart front: the lamp goes out; --force "),
        (Verb.STOP, "base", "cannot stop base: front would be stopped: the lamp goes out; --force"),
        (Verb.START, "rival", "cannot start rival: front would be stopped: the lamp goes out"),
    ],
)
async def test_what_would_cost_guests_something_is_refused_whole(
    tmp_path: Path, verb: Verb, name: str, words: str
) -> None:
    asked: list[int] = []

    def answer(pid: int) -> str:
        asked.append(pid)
        return "the lamp goes out"

    async with guarded(tmp_path, answer) as backend:
        before = backend.snapshot(FRONT)
        [report] = (await ask(backend, verb, name)).reports
        assert (report.result, report.name) == (Result.REFUSED, name)
        assert report.message.startswith(words)
        assert backend.snapshot(FRONT) == before
        assert asked == [before.pid]


async def test_of_several_that_are_named_only_the_one_that_costs_something_says_so(
    tmp_path: Path,
) -> None:
    async with guarded(tmp_path, lambda pid: "the lamp goes out") as backend:
        reports = (await ask(backend, Verb.STOP, "web", "front", "base")).reports
        assert [report.message for report in reports] == [
            "cannot stop web: nothing was changed, see front",
            "cannot stop front: the lamp goes out; --force does it all the same",
            "cannot stop base: nothing was changed, see front",
        ]
        assert backend.snapshot(Name("web")).state is State.RUNNING


@pytest.mark.parametrize(
    ("verb", "name", "words"),
    [
        (Verb.STOP, "front", "front has been stopped; lost with front: a lamp"),
        (Verb.RESTART, "front", "front is running; lost with front: a lamp"),
        (Verb.STOP, "base", "base has been stopped; lost with front: a lamp"),
        (Verb.START, "rival", "rival is running; lost with front: a lamp"),
        (Verb.STOP, "web", "web has been stopped"),
    ],
)
async def test_what_is_forced_is_done_and_says_what_that_has_cost(
    tmp_path: Path, verb: Verb, name: str, words: str
) -> None:
    async with guarded(tmp_path, lambda pid: "the lamp goes out") as backend:
        [report] = (await ask(backend, verb, name, force=True)).reports
        assert (report.result, report.message) == (Result.DONE, words)


async def test_what_is_forced_and_costs_nothing_says_no_more(tmp_path: Path) -> None:
    async with guarded(tmp_path, lambda pid: None) as backend:
        [report] = (await ask(backend, Verb.STOP, "front", force=True)).reports
        assert report.message == "front has been stopped"
        [report] = (await ask(backend, Verb.STOP, "front", force=True)).reports
        assert report.result is Result.ALREADY
        assert "lost" not in report.message


async def test_what_costs_nobody_anything_is_done(tmp_path: Path) -> None:
    async with guarded(tmp_path, lambda pid: None) as backend:
        [report] = (await ask(backend, Verb.STOP, "front")).reports
        assert report.result is Result.DONE
        assert (await ask(backend, Verb.START, "front")).reports[0].result is Result.DONE


async def test_what_ends_nothing_that_is_guarded_is_not_asked_about(tmp_path: Path) -> None:
    async with guarded(tmp_path, lambda pid: "the lamp goes out") as backend:
        [report] = (await ask(backend, Verb.RESTART, "web")).reports
        assert report.result is Result.DONE
        [report] = (await ask(backend, Verb.START, "front")).reports
        assert report.result is Result.ALREADY


async def test_a_guard_that_fails_keeps_the_service_up(tmp_path: Path) -> None:
    def fail(pid: int) -> str | None:
        raise RuntimeError("no eyes")

    async with guarded(tmp_path, fail) as backend:
        [report] = (await ask(backend, Verb.STOP, "front")).reports
        assert "a defect of virtsupd: RuntimeError('no eyes')" in report.message
        assert backend.snapshot(FRONT).state is State.RUNNING


async def test_a_command_that_would_stop_more_by_now_is_refused(tmp_path: Path) -> None:
    """Whether its sender may give it was judged by what it would have stopped."""
    goes_on = threading.Event()

    def answer(pid: int) -> str | None:
        goes_on.wait(10)
        return None

    answers: list[Answer] = []

    async def stop(backend: DaemonBackend) -> None:
        answers.append(await ask(backend, Verb.STOP, "base"))

    async with guarded(tmp_path, answer) as backend, anyio.create_task_group() as tasks:
        tasks.start_soon(stop, backend)
        await anyio.lowlevel.checkpoint()
        assert (await ask(backend, Verb.START, "late")).reports[0].result is Result.DONE
        goes_on.set()
    [report] = answers[0].reports
    assert report.result is Result.REFUSED
    assert report.message == "late would now be stopped, too; ask again"


async def test_what_a_crash_has_cost_is_shown_with_the_service(
    tmp_path: Path,
) -> None:
    answers: list[str | None] = []

    def done() -> str | None:
        answers.append("the lamp went out" if answers else None)
        return answers[-1]

    with capture_logs() as logged:
        async with guarded(tmp_path, lambda pid: None, done) as backend:
            with anyio.fail_after(10):
                while not answers:  # of its first start
                    await anyio.lowlevel.checkpoint()
            assert backend.snapshot(FRONT).status_text == ""
            before = backend.snapshot(FRONT).pid
            assert before is not None
            os.kill(before, signal.SIGKILL)
            with anyio.fail_after(10):
                while backend.snapshot(FRONT).status_text != "the lamp went out":
                    await anyio.lowlevel.checkpoint()
            assert backend.snapshot(FRONT).pid not in (before, None)
    [line] = [line for line in logged if line["event"] == "guests lost something"]
    assert (line["service"], line["reason"]) == ("front", "the lamp went out")


async def test_what_an_end_for_good_has_cost_is_shown_too(tmp_path: Path) -> None:
    has_failed = threading.Event()

    def done() -> str | None:
        return "the lamp went out" if has_failed.is_set() else None

    services = SERVICES.replace("[service.front]\n", "[service.front]\nrespawn = false\n")
    async with guarded(tmp_path, lambda pid: None, done, services) as backend:
        pid = backend.snapshot(FRONT).pid
        assert pid is not None
        has_failed.set()
        os.kill(pid, signal.SIGKILL)
        with anyio.fail_after(10):
            while backend.snapshot(FRONT).status_text != "the lamp went out":
                await anyio.lowlevel.checkpoint()
        assert backend.snapshot(FRONT).state is State.STOPPED


async def test_virtsupd_becomes_no_program_that_is_without_what_guests_depend_on(
    tmp_path: Path,
) -> None:
    async with guarded(tmp_path, lambda pid: "the lamp goes out") as backend:
        guarding, loaded = backend._guarding, backend._configuration.loaded
        with pytest.raises(ReexecError, match="front would be no longer configured: the lamp goes"):
            await guarding.refuse_to_leave(["other"], loaded)
        await guarding.refuse_to_leave(["front"], loaded)
        await guarding.refuse_to_leave(None, loaded)  # of a version that does not say

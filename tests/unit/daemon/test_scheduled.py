"""What is scheduled is part of every graph until it has run, and is kept beyond virtsupd."""

import json
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from tests.support.whole_daemon import SERVICE, WEB, whole_daemon, write_host

from virtsupd.control.backend import JobOrder
from virtsupd.core.events import Verb
from virtsupd.core.names import Name
from virtsupd.core.snapshot import State
from virtsupd.errors import ActionError, ConfigError

pytestmark = pytest.mark.process

FIRST = Name("timer-1")
AT = "00:00"
"""Of tomorrow: nothing runs in these tests, unless one begins at midnight."""


def written(directory: Path) -> set[str]:
    """The names in the file; none if there is no file."""
    file = directory / "state_dir/scheduled.json"
    return set(json.loads(file.read_text())["services"]) if file.exists() else set()


def write(directory: Path, content: str) -> None:
    """Leave the file of an earlier virtsupd."""
    file = directory / "state_dir/scheduled.json"
    file.parent.mkdir(mode=0o700)
    file.write_text(content)


def order(*command: str, name: str = "", at: str = AT, **table: object) -> JobOrder:
    return JobOrder(at, command or ("/bin/true",), name, table)


async def test_a_job_is_a_service_until_it_is_stopped(tmp_path: Path) -> None:
    async with whole_daemon(tmp_path) as backend:
        assert backend.schedule(order(directory="/usr"), who="root via herd") == FIRST
        found = backend.snapshot(FIRST)
        assert found.state is State.RUNNING
        assert found.spec.description == "scheduled by root via herd"
        assert found.spec.process is not None
        assert found.spec.process.directory == "/usr"
        assert found.timer is not None
        assert found.timer.fires_at is not None
        assert written(tmp_path) == {FIRST}
        assert backend.schedule(order(), who="x") == "timer-2"
        await backend.ask(Verb.STOP, [FIRST], who="x")
        assert [s.spec.name for s in backend.snapshots()] == ["timer-2", WEB]
        assert backend.schedule(order(name="alarm"), who="x") == "alarm"
        assert written(tmp_path) == {"timer-2", "alarm"}


async def test_a_job_that_was_taken_back_does_not_return_but_the_others_do(tmp_path: Path) -> None:
    async with whole_daemon(tmp_path) as backend:
        backend.schedule(order(), who="x")
        backend.schedule(order(name="alarm"), who="x")
        await backend.ask(Verb.STOP, [Name("alarm")], who="x")
        assert written(tmp_path) == {FIRST}
    assert written(tmp_path) == {FIRST}, "a shutdown takes nothing back"
    async with whole_daemon(tmp_path) as backend:
        assert [s.spec.name for s in backend.snapshots()] == [FIRST, WEB]


async def test_a_job_is_not_disabled_because_one_of_its_name_was(tmp_path: Path) -> None:
    async with whole_daemon(tmp_path) as backend:
        backend.schedule(order(name="alarm"), who="x")
        await backend.ask(Verb.DISABLE, [Name("alarm")], who="x")
        await backend.ask(Verb.STOP, [Name("alarm")], who="x")
        backend.schedule(order(name="alarm"), who="x")
        assert backend.snapshot(Name("alarm")).state is State.RUNNING


async def test_scheduling_starts_nothing_else(tmp_path: Path) -> None:
    services = (
        f"{SERVICE}[service.once]\ncommand = ['/bin/true']\ntransient = true\nrespawn = false\n"
    )
    async with whole_daemon(tmp_path, services) as backend:
        await backend.ask(Verb.STOP, [Name("once")], who="x")
        assert [s.spec.name for s in backend.snapshots()] == [WEB]
        backend.schedule(order(), who="x")
        assert [s.spec.name for s in backend.snapshots()] == [FIRST, WEB]


async def test_a_job_that_cannot_be_struck_out_is_with_the_next_write(tmp_path: Path) -> None:
    async with whole_daemon(tmp_path) as backend:
        backend.schedule(order(name="alarm"), who="x")
        (tmp_path / "state_dir").rename(tmp_path / "away")
        with capture_logs() as logs:
            await backend.ask(Verb.STOP, [Name("alarm")], who="x")
        (tmp_path / "away").rename(tmp_path / "state_dir")
        assert "scheduled job could not be struck out" in [line["event"] for line in logs]
        backend.schedule(order(), who="x")
        assert written(tmp_path) == {FIRST}


async def test_a_reload_keeps_what_is_scheduled(tmp_path: Path) -> None:
    async with whole_daemon(tmp_path) as backend:
        backend.schedule(order(), who="x")
        backend.schedule(order(), who="x")
        await backend.ask(Verb.STOP, [Name("timer-2")], who="x")
        outcome = await backend.reload_configuration()
        assert outcome.removed == ()
        assert [s.spec.name for s in backend.snapshots()] == [FIRST, WEB]


async def test_scheduling_applies_nothing_of_a_configuration_that_changed(tmp_path: Path) -> None:
    async with whole_daemon(tmp_path) as backend:
        write_host(tmp_path, SERVICE.replace("1000", "2000") + "colour = 1\n")
        backend.schedule(order(), who="x")
        assert '"1000"' in backend.definition(WEB)


async def test_a_name_of_a_job_is_not_free_for_the_configuration(tmp_path: Path) -> None:
    async with whole_daemon(tmp_path) as backend:
        backend.schedule(order(), who="x")
        write_host(tmp_path, SERVICE + SERVICE.replace("web", "timer-1"))
        outcome = await backend.reload_configuration()
        assert outcome.pending == (FIRST,)
        assert backend.snapshot(FIRST).spec.timer is None, "the configuration wins"


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (order(name="web"), "cannot schedule web: there is a service of that name"),
        (order(name="www"), "cannot schedule www: there is a service of that name"),
        (order(name="a b"), "cannot schedule 'a b': 'a b' is not a service name"),
        (order(name="root"), "cannot schedule 'root': 'root' is not free"),
        (order(at="25:00"), "cannot schedule timer-1: found '25:00', must be"),
        (order(ready="notify"), "cannot schedule timer-1: .*does not go with timer"),
    ],
)
async def test_what_cannot_be_scheduled_changes_nothing(
    tmp_path: Path, bad: JobOrder, why: str
) -> None:
    services = SERVICE + 'provides = ["web", "www"]\n'
    async with whole_daemon(tmp_path, services) as backend:
        with pytest.raises(ActionError, match=why):
            backend.schedule(bad, who="x")
        assert not written(tmp_path)
        assert [s.spec.name for s in backend.snapshots()] == [WEB]


async def test_a_job_that_cannot_be_kept_is_not_taken(tmp_path: Path) -> None:
    async with whole_daemon(tmp_path) as backend:
        (tmp_path / "state_dir").rename(tmp_path / "away")
        with pytest.raises(ActionError, match=r"cannot write .*scheduled\.json"):
            backend.schedule(order(), who="x")
        assert [s.spec.name for s in backend.snapshots()] == [WEB]
        (tmp_path / "away").rename(tmp_path / "state_dir")


@pytest.mark.parametrize(
    ("content", "event"),
    [
        ("{", "what was scheduled is not known"),
        ('{"version": 2, "services": {}}', "what was scheduled is not known"),
        ('{"version": 1, "services": {"a b": {}}}', "what was scheduled is not known"),
        ('{"version": 1, "services": {"a": {"colour": 1}}}', "scheduled job dropped"),
    ],
)
async def test_a_broken_file_is_logged_and_costs_the_jobs_alone(
    tmp_path: Path, content: str, event: str
) -> None:
    write(tmp_path, content)
    with capture_logs() as logs:
        async with whole_daemon(tmp_path) as backend:
            assert [s.spec.name for s in backend.snapshots()] == [WEB]
    assert event in [line["event"] for line in logs]


async def test_a_job_whose_time_is_past_and_settled_vanishes(tmp_path: Path) -> None:
    table = {"command": ["/bin/false"], "timer": {"calendar": "2026-01-01 00:00:00 UTC"}}
    write(tmp_path, json.dumps({"version": 1, "services": {"old": table, "web": table}}))
    async with whole_daemon(tmp_path) as backend:
        assert [s.spec.name for s in backend.snapshots()] == [WEB]
        write_host(tmp_path, "colour = 1\n")
        with pytest.raises(ConfigError):
            await backend.reload_configuration()

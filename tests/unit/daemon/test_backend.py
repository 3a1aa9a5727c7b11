"""What the control socket may ask, of a daemon with all its parts."""

import os
from pathlib import Path

import pytest
from tests.support.whole_daemon import SERVICE, WEB, whole_daemon

from virtsupd.config.kinds import Built, Kind, KindParts, Remark
from virtsupd.config.model import KindTable
from virtsupd.config.settings import GeneratedFile
from virtsupd.core.events import Verb
from virtsupd.core.names import Name
from virtsupd.core.snapshot import State
from virtsupd.errors import ActionError, ArgumentsError, UnknownActionError, UnknownServiceError

pytestmark = pytest.mark.process


async def test_it_answers_for_everything_the_daemon_holds(tmp_path: Path) -> None:
    async with whole_daemon(tmp_path) as backend:
        assert backend.facts().pid == os.getpid()
        assert backend.facts().config == str(tmp_path / "host.toml")
        assert backend.facts().phase == "running"
        assert backend.resolve("web") == WEB
        assert backend.snapshot(WEB).state is State.RUNNING
        assert [found.spec.name for found in backend.snapshots()] == [WEB]
        assert [link.name for link in backend.why(WEB).links] == [WEB]
        assert backend.pids(WEB) == (backend.snapshot(WEB).pid,)
        # The log keeper makes the file as soon as it has begun.
        assert set(backend.log_files(WEB)) <= {f"{tmp_path}/log_dir/web.log"}
        assert 'command = ["/bin/sleep"' in backend.definition(WEB)
        with pytest.raises(UnknownServiceError):
            backend.resolve("wep")


async def test_what_one_run_was_given_stands_beside_the_definition_not_in_it(
    tmp_path: Path,
) -> None:
    async with whole_daemon(tmp_path) as backend:
        before = backend.definition(WEB)
        await backend.ask(Verb.STOP, [WEB], who="a test")
        await backend.ask(Verb.START, [WEB], who="a test", once=("1", "2\n"))
        note = '# its process was started with --once, for that run alone: ["1", "2\\n"]\n'
        assert backend.definition(WEB) == before + note
        await backend.ask(Verb.RESTART, [WEB], who="a test")
        assert backend.definition(WEB) == before


async def test_it_tells_that_virtsupd_shuts_down(tmp_path: Path) -> None:
    async with whole_daemon(tmp_path) as backend:
        backend.end("shutdown", who="one")
        backend.end("quit", who="another")
        assert backend.facts().phase == "shutting-down"


async def test_it_tells_that_a_command_would_be_forgotten_while_it_would(tmp_path: Path) -> None:
    state_dir = tmp_path / "state_dir"
    async with whole_daemon(tmp_path) as backend:
        before = backend.facts().warnings
        state_dir.rename(tmp_path / "away")
        await backend.ask(Verb.STOP, [WEB], who="a test")
        [warning] = set(backend.facts().warnings) - set(before)
        assert warning.startswith("what is wanted could not be written down")
        (tmp_path / "away").rename(state_dir)
        await backend.ask(Verb.START, [WEB], who="a test")
        assert backend.facts().warnings == before


async def test_actions_that_are_none(tmp_path: Path) -> None:
    services = (
        f'{SERVICE}[service.web.actions.bad]\ndescription = "x"\ncommand = ["/nonexistent/x"]\n'
    )
    async with whole_daemon(tmp_path, services) as backend:
        with pytest.raises(UnknownActionError):
            await backend.act(WEB, "nothing", ())
        with pytest.raises(ActionError, match="cannot run bad of web"):
            await backend.act(WEB, "bad", ())


async def test_an_action_tells_by_its_end_that_its_words_were_wrong(tmp_path: Path) -> None:
    services = f"""{SERVICE}[service.web.actions.end]
description = "x"
command = ["/bin/sh", "-c", 'echo "no such word: $1"; exit "$0"']
"""
    async with whole_daemon(tmp_path, services) as backend:
        with pytest.raises(ArgumentsError, match=r"end of web: no such word: --al$"):
            await backend.act(WEB, "end", ("64", "--al"))
        for code in ("1", "2"):
            with pytest.raises(ActionError, match=f"exited with code {code}") as caught:
                await backend.act(WEB, "end", (code, "--al"))
            assert not isinstance(caught.value, ArgumentsError)


async def test_a_reload_says_what_it_does_not_do(tmp_path: Path) -> None:
    place = tmp_path / "front.conf"
    file = GeneratedFile(place, 0o644, "", WEB, after_reload="of front.conf it reads nothing")
    parts = KindParts(KindTable, lambda table, context: Built({}, files=(file,)))
    other = SERVICE.replace("web", "other")
    services = "".join(f'{text}reload = "CONT"\n' for text in (SERVICE, other)) + "[conf]\n"
    async with whole_daemon(tmp_path, services, {"conf": Kind((), lambda: parts)}) as backend:
        await backend.ask(Verb.WAIT, [Name("other")], who="a test")
        names = [WEB, Name("other")]
        told = {
            r.name: r.message for r in (await backend.ask(Verb.RELOAD, names, who="a test")).reports
        }
        assert told == {
            "web": "web has been reloaded: of front.conf it reads nothing",
            "other": "other has been reloaded",
        }
        await backend.ask(Verb.STOP, [WEB], who="a test")
        [report] = (await backend.ask(Verb.RELOAD, [WEB], who="a test")).reports
        assert "front.conf" not in report.message


class OddTable(KindTable):
    """A kind that has nothing to say, and says it badly."""


def odd_remarks() -> dict[Name, Remark]:
    raise FileNotFoundError("gone")


async def test_a_kind_that_cannot_say_what_is_remarkable_costs_nobody_his_status(
    tmp_path: Path,
) -> None:
    built = Built({}, remarks=odd_remarks)
    kinds = {"odd": Kind((), lambda: KindParts(OddTable, lambda *_: built))}
    async with whole_daemon(tmp_path, f"{SERVICE}[odd]\n", kinds) as backend:
        assert backend.snapshot(WEB).state is State.RUNNING
        assert [found.spec.name for found in backend.snapshots()] == [WEB]
        assert backend.why(WEB).links[0].name == WEB

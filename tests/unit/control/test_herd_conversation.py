"""herd's commands, each over one connection."""

import os
from pathlib import Path

import anyio
import pytest
from tests.support.control import connected, running_server, until
from tests.support.hand_backend import HandBackend, link_of, snapshot_of, spec_of

from virtsupd.control import herd_replies
from virtsupd.control.backend import JobOrder
from virtsupd.control.sexp import Pair, Symbol
from virtsupd.control.sexp_writer import write
from virtsupd.core.chain import Explanation
from virtsupd.core.effects import Result
from virtsupd.core.events import Verb
from virtsupd.core.names import Name
from virtsupd.core.snapshot import TimerView
from virtsupd.core.spec import LogSpec, ProcessSpec, TimerSpec
from virtsupd.errors import ActionError, ConfigError, UnknownActionError

WEB = Name("web")


def backend() -> HandBackend:
    return HandBackend(snapshot_of(spec_of("web")), snapshot_of(spec_of("database")))


def command(action: str, service: str, arguments: str = "") -> bytes:
    return (
        f"(shepherd-command (version 0) (action {action}) (service {service})"
        f' (arguments ({arguments})) (directory "/"))'
    ).encode()


async def converse(path: Path, *pieces: bytes) -> bytes:
    """Send pieces and return all that comes until the server closes."""
    received = b""
    async with connected(path) as caller:
        for piece in pieces:
            await caller.send_bytes(piece)
        try:
            with anyio.fail_after(10):
                while True:
                    received += await caller.stream.receive()
        except (anyio.EndOfStream, anyio.BrokenResourceError):
            return received


async def ask(daemon: HandBackend, path: Path, *pieces: bytes) -> bytes:
    async with running_server(daemon, path / "s"):
        return await converse(path / "s", *pieces)


@pytest.mark.parametrize(("words", "is_forced"), [("", False), ('"force"', True)])
async def test_a_stop_is_forced_only_where_that_was_said(
    tmp_path: Path, words: str, is_forced: bool
) -> None:
    daemon = backend()
    await ask(daemon, tmp_path, command("stop", "web", words))
    assert [asked[0] for asked in daemon.asked] == [Verb.STOP]
    assert daemon.was_forced is is_forced


async def test_a_status_of_all_has_virtsupd_first(tmp_path: Path) -> None:
    daemon = backend()
    found = await ask(daemon, tmp_path, command("status", "root"))
    assert found == herd_replies.render_root_status(daemon.snapshots(), daemon.facts())


async def test_a_command_is_read_byte_by_byte_and_what_follows_is_ignored(tmp_path: Path) -> None:
    sent = command("status", "web")
    pieces = [bytes([byte]) for byte in sent]
    daemon = backend()
    expected = herd_replies.render_status(daemon.by_name[WEB])
    assert await ask(daemon, tmp_path, *pieces) == expected
    assert await ask(daemon, tmp_path, b"; hello\n " + sent + b"\n" + sent) == expected


@pytest.mark.parametrize(
    ("sent", "part"),
    [
        (command("start", "root"), b"Service root is already running."),
        (command("help", "root"), b"(result ("),
        (command("doc", "web", '"list-actions"'), b"(messages ("),
        (command("status", "nope"), b"(error (version 0) service-not-found nope)"),
        (command("reload", "root"), b"added: new"),
        (command("poke", "web", '"a" "b c"'), b'(messages ("poke a b c"))'),
    ],
)
async def test_answers(tmp_path: Path, sent: bytes, part: bytes) -> None:
    assert part in await ask(backend(), tmp_path, sent)


@pytest.mark.parametrize("verb", ["start", "stop", "restart", "enable", "disable"])
async def test_verbs_reach_the_engine(tmp_path: Path, verb: str) -> None:
    daemon = backend()
    found = await ask(daemon, tmp_path, command(verb, "web"))
    assert daemon.asked == [(Verb(verb), (WEB,), "root via herd", False)]
    assert found.startswith(b"(reply (version 0) (result ")
    assert b"(error #f)" in found


async def test_the_status_of_a_service_shows_the_end_of_its_log(tmp_path: Path) -> None:
    file = tmp_path / "web.log"
    file.write_text("".join(f"line {number}\n" for number in range(12)))
    os.utime(file, (1, 1234.5))
    process = ProcessSpec(command=("/bin/true",), log=LogSpec(str(file)))
    daemon = HandBackend(snapshot_of(spec_of("web", process=process)))
    found = await ask(daemon, tmp_path, command("status", "web"))
    lines = [Pair((1234,), f"line {number}") for number in range(11, 1, -1)]
    assert write((Symbol("recent-messages"), tuple(lines))).encode() in found
    assert f'(log-files ("{file}"))'.encode() in found
    assert b"line" not in await ask(daemon, tmp_path, command("status", "root"))


async def test_why_is_answered_with_the_chain(tmp_path: Path) -> None:
    daemon = backend()
    web, database = (link_of(daemon.by_name[Name(name)], why=name) for name in ("web", "database"))
    daemon.explanations[WEB] = Explanation((web, database))
    found = await ask(daemon, tmp_path, command("why", "web"))
    assert found == herd_replies.render_why((web, database))
    assert b"service-not-found wbe" in await ask(daemon, tmp_path, command("why", "wbe"))


async def test_a_transient_service_that_is_gone_is_shown_as_it_was(tmp_path: Path) -> None:
    daemon = backend()
    daemon.holds = anyio.Event()
    async with running_server(daemon, tmp_path / "s"), anyio.create_task_group() as tasks:
        replies: list[bytes] = []

        async def start() -> None:
            replies.append(await converse(tmp_path / "s", command("start", "web")))

        tasks.start_soon(start)
        await until(lambda: daemon.waiting)
        del daemon.by_name[WEB]
        daemon.holds.set()
        await until(lambda: replies)
    assert b"(provides (web))" in replies[0]


@pytest.mark.parametrize(
    ("failure", "sent", "part"),
    [
        (ActionError("it broke"), command("poke", "web"), b"it broke"),
        (UnknownActionError("poke", "web"), command("poke", "web"), b"action-not-found poke web"),
        (ConfigError(("line 1",)), command("reload", "root"), b"line 1"),
    ],
)
async def test_failures_are_told(
    tmp_path: Path, failure: Exception, sent: bytes, part: bytes
) -> None:
    daemon = backend()
    daemon.failure = failure  # type: ignore[assignment] # one of ours each time
    assert part in await ask(daemon, tmp_path, sent)


async def test_a_defect_is_told(tmp_path: Path) -> None:
    daemon = backend()
    daemon.failure = KeyError("web")  # type: ignore[assignment] # what no backend should raise
    found = await ask(daemon, tmp_path, command("poke", "web"))
    assert b"(error (version 0) action-exception poke web misc-error" in found
    assert b"cannot carry out poke web: a defect of virtsupd (KeyError)" in found


async def test_a_failed_start_has_no_result(tmp_path: Path) -> None:
    daemon = backend()
    daemon.result = Result.FAILED
    assert b"(result #f) (error #f)" in await ask(daemon, tmp_path, command("start", "web"))


async def test_a_shutdown_is_answered_by_the_end_alone(tmp_path: Path) -> None:
    daemon = backend()
    async with running_server(daemon, tmp_path / "s"), connected(tmp_path / "s") as caller:
        await caller.send_bytes(command("stop", "root"))
        await until(lambda: daemon.ended and daemon.subscriptions)
        daemon.end_changes()
        assert await caller.is_cut()
    assert daemon.ended == [("shutdown", "root")]


@pytest.mark.parametrize(
    "sent",
    [
        b"(shepherd-command (version 1))",
        b"(hello)",
        b")",
        b"(" * 1000,
        b'("' + b"x" * 70_000,
        command("status", "web").replace(b"(directory", b"(other"),
    ],
)
async def test_what_is_no_command_ends_the_connection(tmp_path: Path, sent: bytes) -> None:
    assert await ask(backend(), tmp_path, sent) == b""


@pytest.mark.parametrize("verb", [Verb.TRIGGER, Verb.HOLD, Verb.RELEASE])
async def test_a_timer_takes_the_actions_of_timers(tmp_path: Path, verb: Verb) -> None:
    night = snapshot_of(spec_of("night", timer=TimerSpec(("02:30",))), timer=TimerView())
    daemon = HandBackend(night)
    found = await ask(daemon, tmp_path, command(verb, "night"))
    assert b"(error #f)" in found
    assert [(asked, names) for asked, names, *_ in daemon.asked] == [(verb, (Name("night"),))]


async def test_a_timer_that_cannot_be_triggered_lets_herd_fail(tmp_path: Path) -> None:
    night = snapshot_of(spec_of("night", timer=TimerSpec(("02:30",))), timer=TimerView())
    daemon = HandBackend(night)
    daemon.result = Result.FAILED
    assert b"action-exception trigger night" in await ask(
        daemon, tmp_path, command("trigger", "night")
    )


async def test_what_is_no_timer_has_no_actions_of_timers(tmp_path: Path) -> None:
    daemon = backend()
    found = await ask(daemon, tmp_path, command("trigger", "web"))
    assert b"(error (error (version 0) action-not-found trigger web))" in found
    assert not daemon.asked


async def test_a_command_is_scheduled_with_its_options(tmp_path: Path) -> None:
    daemon = backend()
    words = '"at" "23:00" "sh" "-c" "x" #:name alarm #:directory "/d" #:log-file "/l"'
    options = '#:user "u" #:group "g" #:extra-environment-variables ("A=b=c" "D")'
    found = await ask(daemon, tmp_path, command("schedule", "timer", f"{words} {options}"))
    assert b"Service alarm has been started." in found
    table = {
        "directory": "/d",
        "log": {"file": "/l"},
        "user": "u",
        "group": "g",
        "environment": {"A": "b=c", "D": ""},
    }
    ((order, who),) = daemon.scheduled
    assert order == JobOrder("23:00", ("sh", "-c", "x"), "alarm", table)
    assert who.endswith("via herd")


@pytest.mark.parametrize("option", ['#:color "red"', '#:user ("a")'])
async def test_an_option_that_schedule_does_not_take_is_named(tmp_path: Path, option: str) -> None:
    daemon = backend()
    words = f'"at" "23:00" "true" {option}'
    found = await ask(daemon, tmp_path, command("schedule", "timer", words))
    assert b"schedule takes no option" in found
    assert not daemon.scheduled


async def test_what_cannot_be_scheduled_is_said(tmp_path: Path) -> None:
    daemon = backend()
    daemon.failure = ActionError("cannot schedule timer-1: no")
    found = await ask(daemon, tmp_path, command("schedule", "timer", '"at" "23:00" "true"'))
    assert b"cannot schedule timer-1: no" in found

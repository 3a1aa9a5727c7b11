"""Each method of org.virtsupd.Supervisor over a hand-driven backend; every reply fits the interface."""

import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest
from tests.support.control import Caller, connected, running_server, until
from tests.support.hand_backend import HandBackend, link_of, shutdown_view, snapshot_of, spec_of

from virtsupd.config.settings import AccessRule, AccessSettings
from virtsupd.control.access import Access, Peer
from virtsupd.control.commands import ShuttingDownError
from virtsupd.control.interface import NAME, error, supervisor_service
from virtsupd.control.varlink import Request, load_interface
from virtsupd.core.chain import Explanation
from virtsupd.core.commands import Touch
from virtsupd.core.effects import Report, Result
from virtsupd.core.events import Verb
from virtsupd.core.names import Name
from virtsupd.core.snapshot import Reason, ReasonKind, State
from virtsupd.core.spec import ActionSpec, LogSpec, ProcessSpec
from virtsupd.errors import (
    ActionError,
    ArgumentsError,
    ConfigError,
    NotReadyError,
    PeerDeniedError,
    UnknownActionError,
    UnknownServiceError,
    VirtsupdError,
)
from virtsupd.process.clock import SystemClock

INTERFACE = load_interface(NAME)
WEB = Name("web")


def backend(log: str = "") -> HandBackend:
    process = ProcessSpec(command=("/bin/web",), log=LogSpec(file=log))
    web = spec_of("web", provides=(WEB, Name("www")), process=process)
    return HandBackend(snapshot_of(web), snapshot_of(spec_of("database")))


@asynccontextmanager
async def calling(daemon: HandBackend, path: Path) -> AsyncIterator[Caller]:
    async with running_server(daemon, path / "s"), connected(path / "s") as caller:
        yield caller


def good(method: str, found: dict[str, Any]) -> dict[str, Any]:
    """Return a reply's parameters, checked against the interface."""
    assert "error" not in found, found
    INTERFACE.check(found["parameters"], INTERFACE.methods[method].reply)
    parameters: dict[str, Any] = found["parameters"]
    return parameters


def test_every_method_of_the_text_is_answered_and_no_other() -> None:
    service = supervisor_service(backend(), SystemClock())
    assert set(service.methods) == set(INTERFACE.methods)


@pytest.mark.parametrize(
    ("cause", "tag", "parameters"),
    [
        (UnknownServiceError("a", "b"), "ServiceNotFound", {"name": "a", "nearest": "b"}),
        (UnknownActionError("a", "b"), "ActionNotFound", {"action": "a", "service": "b"}),
        (ActionError("no"), "ActionFailed", {"message": "no"}),
        (ArgumentsError("no"), "BadArguments", {"message": "no"}),
        (ConfigError(("x", "y")), "BadConfiguration", {"problems": ["x", "y"]}),
        (PeerDeniedError("no"), "PermissionDenied", {"message": "no"}),
        (ShuttingDownError(), "ShuttingDown", {}),
        (NotReadyError("no"), "Internal", {"message": "no"}),
    ],
)
def test_errors_have_the_names_of_the_interface(
    cause: VirtsupdError, tag: str, parameters: dict[str, object]
) -> None:
    found = error(cause)
    assert found.name == f"{NAME}.{tag}"
    plain = {key: list(v) if isinstance(v, tuple) else v for key, v in found.parameters.items()}
    assert plain == parameters
    INTERFACE.check(plain, INTERFACE.errors[tag])


async def test_status_shows_all_or_the_named_once(tmp_path: Path) -> None:
    async with calling(backend(), tmp_path) as caller:
        everything = good("Status", await caller.call("Status", {"names": []}))
        named = good("Status", await caller.call("Status", {"names": ["www", "web"]}))
        unknown = await caller.call("Status", {"names": ["wbe"]})
    assert [found["name"] for found in everything["services"]] == ["database", "web"]
    assert [found["name"] for found in named["services"]] == ["web"]
    assert unknown["error"] == f"{NAME}.ServiceNotFound"


async def test_status_counts_what_a_stop_would_leave(tmp_path: Path) -> None:
    daemon = backend()
    daemon.families[Name("web")] = (10, 11, 12)
    async with calling(daemon, tmp_path) as caller:
        everything = good("Status", await caller.call("Status", {"names": []}))
        named = good("Status", await caller.call("Status", {"names": ["database"]}))
    assert everything["others"] == [{"name": "web", "count": 2}]
    assert named["others"] == []


@pytest.mark.parametrize(
    ("method", "verb"),
    [
        ("Start", Verb.START),
        ("Stop", Verb.STOP),
        ("Restart", Verb.RESTART),
        ("ReloadService", Verb.RELOAD),
        ("Enable", Verb.ENABLE),
        ("Disable", Verb.DISABLE),
    ],
)
async def test_commands_reach_the_engine(tmp_path: Path, method: str, verb: Verb) -> None:
    daemon = backend()
    daemon.result = Result.ALREADY
    async with calling(daemon, tmp_path) as caller:
        found = good(method, await caller.call(method, {"names": ["www"]}))
    assert daemon.asked == [(verb, (WEB,), "root via virtsupctl", False)]
    assert found["reports"] == [{"name": "web", "result": "already", "message": "as asked"}]
    assert found["touched"] == ["web"]


@pytest.mark.parametrize("method", ["Start", "Stop", "Restart"])
@pytest.mark.parametrize("force", [True, False])
async def test_a_command_is_forced_only_where_that_was_said(
    tmp_path: Path, method: str, force: bool
) -> None:
    daemon = backend()
    async with calling(daemon, tmp_path) as caller:
        good(method, await caller.call(method, {"names": ["web"], "force": force}))
    assert daemon.was_forced is force


async def test_arguments_for_one_run_are_passed_on(tmp_path: Path) -> None:
    daemon = backend()
    async with calling(daemon, tmp_path) as caller:
        for parameters, given in (
            ({"names": ["www"], "once": ["-x", "a b"]}, ("-x", "a b")),
            ({"names": ["www"]}, ()),
        ):
            good("Start", await caller.call("Start", parameters))
            assert daemon.given_once == given
        bad = await caller.call("Start", {"names": ["www"], "once": ["a\0b"]})
        other = await caller.call("Restart", {"names": ["www"], "once": ["a"]})
    assert bad["error"] == f"{NAME}.BadArguments"
    assert other["parameters"] == {"parameter": "once"}
    assert len(daemon.asked) == 2


async def test_with_more_a_command_tells_its_progress(tmp_path: Path) -> None:
    daemon = backend()
    daemon.holds = anyio.Event()
    async with calling(daemon, tmp_path) as caller:
        await caller.send("Start", {"names": ["web"], "guests": True}, more=True)
        await until(lambda: daemon.waiting and daemon.subscriptions)
        daemon.change("service starting", snapshot_of(daemon.by_name[WEB].spec, State.STARTING))
        first = await caller.receive()
        assert first["continues"] is True
        progress = good("Start", first)["progress"]
        assert (progress["event"], progress["service"]["state"]) == ("service starting", "starting")
        daemon.holds.set()
        last = await caller.receive()
        assert "continues" not in last
        assert good("Start", last)["reports"][0]["result"] == "done"


async def test_hanging_up_ends_a_wait_at_once(tmp_path: Path) -> None:
    daemon = backend()
    daemon.holds = anyio.Event()
    async with running_server(daemon, tmp_path / "s"):
        for more in (True, False):
            async with connected(tmp_path / "s") as caller:
                await caller.send("Stop", {"names": ["web"]}, more=more)
                await until(lambda: daemon.waiting)
            await until(lambda: not daemon.waiting)
    assert daemon.subscriptions == 0


async def test_a_client_that_closed_its_sending_side_is_still_answered(tmp_path: Path) -> None:
    daemon = backend()
    daemon.holds = anyio.Event()
    async with calling(daemon, tmp_path) as caller:
        await caller.send("Stop", {"names": ["web"]})
        await caller.stream.send_eof()
        await until(lambda: daemon.waiting)
        daemon.holds.set()
        assert good("Stop", await caller.receive())["touched"] == ["web"]


async def test_waiting_for_a_state(tmp_path: Path) -> None:
    daemon = backend()
    async with calling(daemon, tmp_path) as caller:
        running = await caller.call("Wait", {"names": ["web"], "state": "running"})
        assert good("Wait", running)["reports"][0]["result"] == "done"
        await caller.send("Wait", {"names": ["web"], "state": "stopped"})
        await until(lambda: daemon.subscriptions)
        daemon.change("service stopped", snapshot_of(daemon.by_name[WEB].spec, State.STOPPED))
        assert good("Wait", await caller.receive())["reports"][0]["message"] == "web is stopped"
        bad = await caller.call("Wait", {"names": ["web"], "state": "happy"})
    assert bad["parameters"] == {"parameter": "state"}


def explained(file: Path) -> HandBackend:
    """Return a backend whose web waits for database, which failed and has an output."""
    daemon = backend()
    failed = Reason(ReasonKind.FAILED, "exited with code 3")
    process = ProcessSpec(command=("/bin/db",), log=LogSpec(file=str(file)))
    spec = spec_of("database", process=process)
    database = link_of(snapshot_of(spec, State.STOPPED, reason=failed), why="exited with code 3")
    waiting = Reason(ReasonKind.WAITING, "waits for database", names=(Name("database"),))
    web = snapshot_of(daemon.by_name[WEB].spec, State.STOPPED, reason=waiting)
    daemon.explanations[WEB] = Explanation((link_of(web, "database"), database))
    return daemon


async def test_why_tells_the_chain_with_the_last_words_of_the_culprit(tmp_path: Path) -> None:
    file = tmp_path / "database.log"
    file.write_text("".join(f"{number} {'x' * 2000}\n" for number in range(20)))
    daemon = explained(file)
    daemon.last_words[Name("database")] = (file, "cannot go on\n")
    async with calling(daemon, tmp_path) as caller:
        found = good("Why", await caller.call("Why", {"names": ["www"]}))
        unknown = await caller.call("Why", {"names": ["wbe"]})
        nothing = await caller.call("Why", {"names": []})
    (explanation,) = found["explanations"]
    assert (explanation["name"], explanation["culprits"]) == ("web", ["database"])
    web, database = explanation["links"]
    assert (web["service"]["name"], web["causes"], web["log"]) == ("web", ["database"], [])
    assert database["why"] == "exited with code 3"
    assert [len(line) for line in database["log"][:-1]] == [1000] * 9
    assert database["log"][-1] == "cannot go on"
    assert unknown["error"] == f"{NAME}.ServiceNotFound"
    assert nothing["parameters"] == {"parameter": "names"}


async def test_why_names_causes_that_the_peer_may_not_see_and_shows_nothing_of_them(
    tmp_path: Path,
) -> None:
    async def nothing(_: object = None) -> None:
        raise AssertionError("there is little to do")

    access = AccessSettings(rules=(AccessRule("viewer", uid=1000, services=("web",)),))
    grant = Access(access, own_uid=0).grant(Peer(1, 1000, 1000))
    method = supervisor_service(explained(tmp_path / "none"), SystemClock()).methods["Why"]
    request = Request({"names": ["web"]}, grant, False, nothing, nothing)
    (explanation,) = json.loads(b"".join(await method.run(request)))["explanations"]
    assert [link["service"]["name"] for link in explanation["links"]] == ["web"]
    assert explanation["links"][0]["causes"] == ["database"]
    with pytest.raises(PeerDeniedError):
        await method.run(Request({"names": ["database"]}, grant, False, nothing, nothing))


async def test_a_long_chain_is_told_in_turns(tmp_path: Path) -> None:
    daemon = HandBackend(*(snapshot_of(spec_of(f"s{number}")) for number in range(40)))
    links = tuple(link_of(found) for found in daemon.snapshots())
    daemon.explanations[links[0].name] = Explanation(links)
    async with calling(daemon, tmp_path) as caller:
        found = good("Why", await caller.call("Why", {"names": [links[0].name]}))
    assert len(found["explanations"][0]["links"]) == 40


async def test_watch_tells_of_the_named_until_the_end(tmp_path: Path) -> None:
    daemon = backend()
    async with calling(daemon, tmp_path) as caller:
        await caller.send("Watch", {"names": ["www"]}, more=True)
        await until(lambda: daemon.subscriptions)
        daemon.change("service running", daemon.by_name[Name("database")])
        daemon.change("service degraded", daemon.by_name[WEB])
        found = good("Watch", await caller.receive())
        assert found["event"]["event"] == "service degraded"
        daemon.end_changes()
        assert (await caller.receive())["error"] == f"{NAME}.ShuttingDown"


async def test_watches_of_vanished_clients_end(tmp_path: Path) -> None:
    daemon = backend()
    async with running_server(daemon, tmp_path / "s"):
        for _ in range(20):
            async with connected(tmp_path / "s") as caller:
                await caller.send("Watch", {"names": []}, more=True)
                await until(lambda: daemon.subscriptions)
            await until(lambda: not daemon.subscriptions)


async def test_the_log_is_shown_and_followed(tmp_path: Path) -> None:
    file = tmp_path / "web.log"
    file.write_text("one\ntwo\nthree\n")
    async with calling(backend(str(file)), tmp_path) as caller:
        await caller.send("Log", {"names": ["web", "database"], "lines": 2}, more=True)
        first, last = await caller.receive(), await caller.receive()
        assert good("Log", first) == {"name": "web", "lines": ["two", "three"]}
        assert good("Log", last) == {"name": "database", "lines": []}
        await caller.send("Log", {"names": ["web"], "lines": 1, "follow": True}, more=True)
        assert good("Log", await caller.receive())["lines"] == ["three"]
        with file.open("a") as log:
            log.write("four\n")
        assert good("Log", await caller.receive())["lines"] == ["four"]


async def test_last_words_on_their_way_to_the_log_are_waited_for(tmp_path: Path) -> None:
    file = tmp_path / "web.log"
    daemon = backend(str(file))
    daemon.last_words[Name("web")] = (file, "cannot go on\n")
    async with calling(daemon, tmp_path) as caller:
        await caller.send("Log", {"names": ["web"], "lines": 2}, more=True)
        assert good("Log", await caller.receive())["lines"] == ["cannot go on"]


async def test_a_long_log_comes_in_several_replies(tmp_path: Path) -> None:
    file = tmp_path / "web.log"
    lines = [f"{number} {'x' * 1000}" for number in range(200)]
    file.write_text("\n".join(lines) + "\n")
    found: list[str] = []
    async with calling(backend(str(file)), tmp_path) as caller:
        await caller.send("Log", {"names": ["web"], "lines": 200}, more=True)
        replies = 0
        while (reply := await caller.receive()).get("continues"):
            found += good("Log", reply)["lines"]
            replies += 1
    assert found == lines
    assert replies > 3


@pytest.mark.parametrize(
    ("parameters", "wrong"),
    [({"names": []}, "names"), ({"names": ["web"], "lines": -1}, "lines")],
)
async def test_what_no_log_can_be_shown_for(
    tmp_path: Path, parameters: dict[str, object], wrong: str
) -> None:
    async with calling(backend(), tmp_path) as caller:
        found = await caller.call("Log", parameters, more=True)
    assert found["parameters"] == {"parameter": wrong}


async def test_cat_act_and_processes(tmp_path: Path) -> None:
    daemon = backend()
    async with calling(daemon, tmp_path) as caller:
        assert good("Cat", await caller.call("Cat", {"name": "www"})) == {"text": "# web\n"}
        parameters = {"name": "www", "action": "poke", "arguments": ["a b", ""]}
        assert good("Act", await caller.call("Act", parameters)) == {"lines": ["poke a b "]}
        bad = await caller.call("Act", {"name": "web", "action": "x", "arguments": ["\0"]})
        assert bad["parameters"] == {"parameter": "arguments"}
        daemon.failure = ActionError("it broke")
        failed = await caller.call("Act", {"name": "web", "action": "poke"})
        assert failed == {"error": f"{NAME}.ActionFailed", "parameters": {"message": "it broke"}}
        daemon.by_name[WEB] = snapshot_of(daemon.by_name[WEB].spec, State.STOPPED)
        assert good("Processes", await caller.call("Processes", {"name": "web"})) == {
            "processes": []
        }
    assert daemon.acted[0] == (WEB, "poke", ("a b", ""))


async def test_what_is_interactive_is_told_to_who_has_a_terminal(tmp_path: Path) -> None:
    daemon = backend()
    shell = ActionSpec("shell", "", ("sh", "-c"), is_interactive=True)
    spec = replace(daemon.by_name[WEB].spec, actions=(shell,))
    daemon.by_name[WEB] = snapshot_of(spec, State.STOPPED)
    parameters = {"name": "web", "action": "shell", "arguments": ["-x"], "terminal": True}
    async with calling(daemon, tmp_path) as caller:
        told = good("Act", await caller.call("Act", parameters))
        assert told == {"lines": [], "run": ["sh", "-c", "-x"]}
    assert daemon.acted == []


async def test_what_runs_for_a_service(tmp_path: Path) -> None:
    daemon = backend()
    daemon.by_name[WEB] = snapshot_of(daemon.by_name[WEB].spec, pid=1)
    async with calling(daemon, tmp_path) as caller:
        found = good("Processes", await caller.call("Processes", {"name": "web"}))
    assert found["processes"][0]["pid"] == 1


async def test_every_process_of_a_service_is_told_of(tmp_path: Path) -> None:
    daemon = backend()
    daemon.families[WEB] = (1, *[os.getpid()] * 40)
    async with calling(daemon, tmp_path) as caller:
        found = good("Processes", await caller.call("Processes", {"name": "web"}))
    assert [process["pid"] for process in found["processes"]] == [1, *[os.getpid()] * 40]


async def test_the_configuration_is_reloaded_or_refused(tmp_path: Path) -> None:
    daemon = backend()
    async with calling(daemon, tmp_path) as caller:
        found = good("Reload", await caller.call("Reload"))
        assert [(step["name"], step["fate"]) for step in found["steps"]] == [
            ("new", "started"),
            ("web", "pending"),
        ]
        assert found["steps"][1]["keys"] == [
            {"key": "user", "old": None, "new": '"www"', "when": "restart", "file": ""}
        ]
        assert found["warnings"] == ["it is late"]
        daemon.failure = ConfigError(("host.toml: x: unknown",))
        refused = await caller.call("Reload")
    assert refused["parameters"] == {"problems": ["host.toml: x: unknown"]}


async def test_a_reload_is_planned_in_the_same_words(tmp_path: Path) -> None:
    daemon = backend()
    async with calling(daemon, tmp_path) as caller:
        done = good("Reload", await caller.call("Reload"))
        assert good("Plan", await caller.call("Plan", {"names": []}))["steps"] == done["steps"]
        some = good("Plan", await caller.call("Plan", {"names": ["web"]}))
        assert [step["name"] for step in some["steps"]] == ["web"]
        daemon.failure = UnknownServiceError("wep", "web")
        refused = await caller.call("Plan", {"names": ["wep"]})
        daemon.phase = "re-executing"
        late = await caller.call("Plan", {"names": []})
    assert refused["parameters"] == {"name": "wep", "nearest": "web"}
    assert late["error"] == f"{NAME}.Reexecuting"


async def test_what_a_command_would_touch_is_told_with_the_guests(tmp_path: Path) -> None:
    daemon = backend()
    vm = snapshot_of(spec_of("vm", is_guest=True))
    daemon.by_name[Name("vm")] = vm
    daemon.touch = Touch(stopped=(Name("vm"), WEB), started=(WEB,))
    daemon.losses = {WEB: "the lamp goes out", Name("other"): "not asked about"}
    daemon.refusals = {(True, False): (Report(WEB, Result.REFUSED, "the lamp"),)}
    async with calling(daemon, tmp_path) as caller:
        asked = {"verb": "restart", "names": ["www"]}
        found = await caller.call("WouldTouch", asked)
        refused = await caller.call("WouldTouch", {**asked, "guests": True})
        forced = await caller.call("WouldTouch", {**asked, "guests": True, "force": True})
        bad = await caller.call("WouldTouch", {"verb": "disable", "names": ["web"]})
    assert good("WouldTouch", found) == {
        "stopped": ["vm", "web"],
        "started": ["web"],
        "guests": ["vm"],
        "harms": ["web: the lamp goes out"],
        "refusals": [],
    }
    assert good("WouldTouch", refused)["refusals"] == [
        {"name": "web", "result": "refused", "message": "the lamp"}
    ]
    assert good("WouldTouch", forced)["refusals"] == []
    assert bad["parameters"] == {"parameter": "verb"}
    assert daemon.asked == []


async def test_quit_is_answered_and_then_nothing_begins(tmp_path: Path) -> None:
    daemon = backend()
    async with calling(daemon, tmp_path) as caller:
        assert good("Quit", await caller.call("Quit")) == {}
        refused = await caller.call("Start", {"names": ["web"]})
    assert daemon.ended == [("quit", "root via virtsupctl")]
    assert refused["error"] == f"{NAME}.ShuttingDown"


async def test_a_shutdown_is_answered_when_it_is_done(tmp_path: Path) -> None:
    daemon = backend()
    async with calling(daemon, tmp_path) as caller:
        await caller.send("Shutdown", more=True)
        await until(lambda: daemon.ended)
        assert good("Shutdown", await caller.receive()) == {"shutdown": None}
        daemon.shutdown = shutdown_view()
        daemon.change("service stopping", daemon.by_name[WEB])
        told = good("Shutdown", await caller.receive())
        assert told["progress"]["event"] == "service stopping"
        assert told["shutdown"]["waits"][0]["name"] == "vm"
        daemon.end_changes()
        assert good("Shutdown", await caller.receive()) == {"left": ["guest vm of web: stuck"]}


async def test_a_quit_is_refused_while_everything_is_shut_down(tmp_path: Path) -> None:
    daemon = backend()
    daemon.phase = "shutting-down"
    async with calling(daemon, tmp_path) as caller:
        assert (await caller.call("Quit"))["error"] == f"{NAME}.ShuttingDown"
        assert daemon.ended == []


async def test_a_timer_is_held_for_a_while_or_until_it_is_released(tmp_path: Path) -> None:
    daemon = backend()
    async with calling(daemon, tmp_path) as caller:
        ends = []
        before = SystemClock().now().wall
        for parameters in ({}, {"seconds": 60.0}):
            good("Hold", await caller.call("Hold", {"names": ["web"], **parameters}))
            ends.append(daemon.held_until)
        for_good, for_a_minute = ends
        assert for_good is None
        assert for_a_minute is not None
        assert before + 60 <= for_a_minute <= SystemClock().now().wall + 60
        for seconds in (-1.0, 1e10):
            reply = await caller.call("Hold", {"names": ["web"], "seconds": seconds})
            assert reply["error"] == "org.varlink.service.InvalidParameter"
    assert [verb for verb, *_ in daemon.asked] == [Verb.HOLD, Verb.HOLD]

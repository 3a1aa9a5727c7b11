"""Replies: the shape of each, and Shepherd's very bytes where it would say the same."""

from dataclasses import replace

import pytest
from tests.support import herd10
from tests.support.hand_backend import link_of
from tests.support.herd_services import BAD, DEPENDENT, FACTS, ONCE, SLEEPER, SNAPSHOTS

from virtsupd.control import herd_replies
from virtsupd.control.herd_records import root_record, service_record
from virtsupd.control.plan import Plan, Step
from virtsupd.control.sexp import Datum, Symbol, parse
from virtsupd.control.sexp_writer import write
from virtsupd.core.effects import Answer, Report, Result
from virtsupd.core.events import Verb
from virtsupd.core.forecast import Fate
from virtsupd.core.names import Name
from virtsupd.core.snapshot import ServiceSnapshot

UNSPECIFIED = '("#<unspecified>")'


def answer(
    snapshot: ServiceSnapshot, result: Result, message: str = "", touched: tuple[str, ...] = ()
) -> Answer:
    """Return the end of a command for one service."""
    return Answer(7, (Report(snapshot.spec.name, result, message),), tuple(map(Name, touched)))


def asked(verb: Verb, result: Result, message: str = "", touched: tuple[str, ...] = ()) -> str:
    """Return the reply to a verb asked of the sleeper."""
    found = answer(SLEEPER, result, message, touched)
    return herd_replies.render_answer(verb, found, SLEEPER).decode()


def fields(reply: bytes) -> dict[str, Datum]:
    """Return what a reply's fields hold."""
    datum = parse(reply)
    assert isinstance(datum, tuple)
    assert datum[:2] == (Symbol("reply"), (Symbol("version"), 0))
    pairs = [entry for entry in datum[2:] if isinstance(entry, tuple)]
    assert [write(pair[0]) for pair in pairs] == ["result", "error", "messages"]
    return {write(name): value for name, value in pairs}


@pytest.mark.parametrize("captured", [*herd10.REPLIES.values(), *herd10.COMMANDS.values()])
def test_captured_conversations_are_read_and_written_letter_by_letter(captured: str) -> None:
    assert write(parse(captured.encode())) == captured


@pytest.mark.parametrize(
    ("reply", "captured"),
    [
        (asked(Verb.STOP, Result.DONE, "gone", ("sleeper", "dependent")), "stop"),
        (asked(Verb.STOP, Result.ALREADY, "is not running"), "stop stopped"),
        (asked(Verb.ENABLE, Result.DONE, "has been enabled"), "enable"),
        (asked(Verb.DISABLE, Result.DONE, "has been disabled"), "disable"),
        (herd_replies.render_doc((), SLEEPER).decode(), "doc"),
        (herd_replies.render_doc(("action", "poke"), SLEEPER).decode(), "doc of an action"),
        (
            herd_replies.render_doc(("action", "nope"), SLEEPER).decode(),
            "no such action to describe",
        ),
        (
            herd_replies.render_answer(
                Verb.START, answer(BAD, Result.FAILED, "Service needbad depends on bad."), BAD
            ).decode(),
            "start, requirement fails",
        ),
    ],
)
def test_shepherd_answers_with_the_same_bytes(reply: str, captured: str) -> None:
    assert reply == herd10.REPLIES[captured]


def test_the_status_of_root_is_a_list_in_a_list_with_root_first() -> None:
    known = {name for snapshot in SNAPSHOTS for name in snapshot.spec.provides}
    records = tuple(service_record(snapshot, known=known) for snapshot in SNAPSHOTS)
    result = fields(herd_replies.render_root_status(SNAPSHOTS, FACTS))["result"]
    assert result == ((root_record(FACTS), *records),)


def test_the_status_of_root_requires_only_what_it_shows() -> None:
    reply = herd_replies.render_root_status([DEPENDENT, ONCE], FACTS).decode()
    assert "slumber" not in reply


def test_the_status_of_a_service_is_a_list() -> None:
    reply = herd_replies.render_status(SLEEPER, log_files=["/l"], recent=[(5.0, "line")])
    assert fields(reply)["result"] == (
        service_record(SLEEPER, log_files=["/l"], recent=[(5.0, "line")]),
    )


def test_a_start_of_root_finds_it_running() -> None:
    found = fields(herd_replies.render_root_start(FACTS))
    assert found["result"] == root_record(FACTS)
    assert found["messages"] == ("Service root is already running.",)


@pytest.mark.parametrize(
    ("result", "messages"),
    [
        (Result.DONE, ("Service sleeper has been started.",)),
        (Result.ALREADY, ("Service sleeper is already running.",)),
        (Result.NOT_NEEDED, ("why",)),
    ],
)
def test_a_good_start_answers_with_the_bare_record(
    result: Result, messages: tuple[str, ...]
) -> None:
    found = fields(asked(Verb.START, result, "why").encode())
    assert found == {"result": service_record(SLEEPER), "error": False, "messages": messages}


@pytest.mark.parametrize(
    ("result", "messages"),
    [
        (Result.FAILED, ("Service sleeper could not be started.", "why")),
        (Result.DISABLED, ("why",)),
        (Result.SUPERSEDED, ("why",)),
        (Result.WAITING, ("why",)),
        (Result.REFUSED, ("why",)),
    ],
)
def test_a_bad_start_is_false_and_says_why(result: Result, messages: tuple[str, ...]) -> None:
    found = fields(asked(Verb.START, result, "why").encode())
    assert found == {"result": False, "error": False, "messages": messages}


@pytest.mark.parametrize("result", Result)
def test_a_restart_tells_the_truth_in_a_list(result: Result) -> None:
    found = fields(asked(Verb.RESTART, result, "why").encode())
    assert found["result"] == (result.is_good,)
    assert found["messages"]


@pytest.mark.parametrize("result", Result)
def test_a_reload_tells_what_it_did(result: Result) -> None:
    found = fields(asked(Verb.RELOAD, result, "has been reloaded").encode())
    assert found["result"] == (result.is_good,)
    assert found["messages"] == ("has been reloaded",)


@pytest.mark.parametrize("verb", [Verb.STOP, Verb.ENABLE, Verb.DISABLE, Verb.SHUTDOWN])
@pytest.mark.parametrize("result", [one for one in Result if not one.is_good])
def test_where_false_would_crash_herd_a_failure_is_an_error(verb: Verb, result: Result) -> None:
    reply = asked(verb, result, "it would end the guest childhurd")
    expected = f'{verb.value} sleeper misc-error (#f "~a" ("it would end the guest childhurd") #f)'
    assert reply == herd10.reply("#f", error=f"(error (version 0) action-exception {expected})")


@pytest.mark.parametrize("verb", [Verb.START, Verb.STOP, Verb.RESTART, Verb.ENABLE, Verb.RELOAD])
@pytest.mark.parametrize("result", [one for one in Result if not one.is_good])
def test_a_failure_without_words_still_says_something(verb: Verb, result: Result) -> None:
    reply = asked(verb, result)
    assert result.value in reply or "could not be started" in reply


@pytest.mark.parametrize(
    ("verb", "result", "line"),
    [
        (Verb.START, Result.DONE, "Service dependent has been stopped to make room."),
        (Verb.START, Result.FAILED, "Service dependent has been stopped to make room."),
        (Verb.RESTART, Result.DONE, "Service dependent is restarted along with it."),
    ],
)
def test_what_else_went_down_is_told(verb: Verb, result: Result, line: str) -> None:
    assert line in asked(verb, result, touched=("dependent", "sleeper"))


def test_what_a_refused_command_would_have_ended_is_not_told_as_done() -> None:
    assert (
        "Service"
        not in asked(Verb.START, Result.REFUSED, "no", ("dependent",)).partition("messages")[2]
    )


def test_why_a_service_is_as_it_is_stands_among_its_messages() -> None:
    snapshot = replace(BAD, warnings=("no nice",))
    assert [text for _, text in herd_replies.own_messages(snapshot)] == [
        "virtsupd: exited with code 1, five times in 30 s",
        "virtsupd: no nice",
    ]
    assert herd_replies.own_messages(SLEEPER) == []


def test_a_stop_without_a_list_names_the_service() -> None:
    assert asked(Verb.STOP, Result.DONE) == herd10.reply("(sleeper)")


def test_actions_are_listed_as_1_0_does() -> None:
    found = fields(herd_replies.render_doc(("list-actions",), SLEEPER))
    assert found["messages"] == (
        *("poke:", "  Poke the service with words.", ""),
        *("reload:", "  Make the service read its configuration again.", ""),
    )


def test_a_service_without_description_says_so() -> None:
    reply = herd_replies.render_doc((), ONCE).decode()
    assert reply == herd10.reply(UNSPECIFIED, '("[No description].")')


@pytest.mark.parametrize("words", [("foo",), ("action",), ("action", "poke", "more")])
def test_unknown_keywords_of_doc_are_explained(words: tuple[str, ...]) -> None:
    found = fields(herd_replies.render_doc(words, SLEEPER))
    assert found["messages"] == ("doc knows list-actions and action NAME.",)


@pytest.mark.parametrize("words", [(), ("list-actions",), ("action", "status")])
def test_root_is_documented(words: tuple[str, ...]) -> None:
    assert fields(herd_replies.render_root_doc(words))["messages"] != ()


def test_help_is_one_text() -> None:
    found = fields(herd_replies.render_help())
    assert isinstance(found["result"], tuple)
    assert "list-actions" in write(found["result"])


def test_an_action_answers_with_its_lines() -> None:
    assert herd_replies.render_lines(["a", "b"]).decode() == herd10.reply("(#t)", '("a" "b")')


def test_why_tells_each_link_and_what_comes_next() -> None:
    links = [link_of(SLEEPER, "bad"), link_of(BAD, why="it broke")]
    assert herd_replies.render_why(links).decode() == herd10.reply(
        "(#t)",
        f'("sleeper is {SLEEPER.state}: as wanted" "  next: runs on; then rests: herd start web"'
        f' "{BAD.spec.name} is {BAD.state}: it broke" "  next: runs on; then rests: herd start web")',
    )


def test_a_reload_of_the_configuration_lists_the_changes() -> None:
    fates = {"a": Fate.STARTED, "b": Fate.ADDED, "c": Fate.PENDING, "d": Fate.RELOADED}
    plan = Plan(tuple(Step(Name(name), "service", fate) for name, fate in fates.items()))
    reply = herd_replies.render_reload(plan).decode()
    lines = '("added: a b" "reloaded: d" "changed at the next start: c")'
    assert reply == herd10.reply("(#t)", lines)
    quiet = herd_replies.render_reload(Plan()).decode()
    assert quiet == herd10.reply("(#t)", '("nothing has changed")')

"""Commands: what is one, what it asks for, and how a failed one is answered."""

import pytest
from tests.support import herd10
from tests.support.splits import Cut, byte_by_byte, trailing_bytes, whole

from virtsupd.control.herd import (
    Act,
    Ask,
    Canned,
    Doc,
    HerdCommand,
    ReloadConfiguration,
    Request,
    RootStart,
    RootStatus,
    Schedule,
    Shutdown,
    Status,
    Why,
    parse_command,
    plan,
    render_error,
    render_failure,
)
from virtsupd.control.sexp import Reader, parse
from virtsupd.core.events import Verb
from virtsupd.errors import (
    ActionError,
    ConfigError,
    PeerDeniedError,
    ProtocolError,
    UnknownActionError,
    UnknownServiceError,
    VirtsupdError,
)

COMMANDS = {
    "start": HerdCommand("start", "sleeper", (), "/d"),
    "words": HerdCommand("poke", "sleeper", ("a", "b c", 'd"e\\f', "é☃"), "/d"),
    "controls": HerdCommand(
        "poke", "sleeper", ("tab\there", "nl\nx", "\x01", "\u2028", "-x", ""), "/d"
    ),
    "doc of an action": HerdCommand("doc", "sleeper", ("action", "poke"), "/d"),
    "odd service": HerdCommand("status", "foo bar", (), "/d"),
    "schedule": HerdCommand("schedule", "timer", ("at", "23:00", "true"), "/d"),
}

FIELDS = ["(version 0)", "(action a)", "(service s)", "(arguments ())", '(directory "/")']


def command(text: str) -> HerdCommand:
    """Read one command."""
    return parse_command(parse(text.encode()))


@pytest.mark.parametrize("cut", [whole, byte_by_byte, trailing_bytes])
@pytest.mark.parametrize("name", herd10.COMMANDS)
def test_commands_of_the_real_client_are_understood(name: str, cut: Cut) -> None:
    reader = Reader()
    data = [reader.feed(piece) for piece in cut(herd10.COMMANDS[name].encode())]
    assert data[-1] is not None
    assert parse_command(data[-1]) == COMMANDS[name]


def test_minor_versions_brackets_and_comments_are_accepted() -> None:
    text = (
        '[shepherd-command (version 0 7 "x") (action status)\n ; which\n (service [#;b]) (arguments'
    )
    text = text.replace("[#;b]", "s") + ' []) #| where |# (directory "/d")]'
    assert command(text) == HerdCommand("status", "s", (), "/d")


def test_a_service_given_as_a_string_is_told_apart() -> None:
    text = herd10.command("status", '"sleeper"')
    assert command(text).is_quoted
    with pytest.raises(UnknownServiceError):
        plan(command(text))


@pytest.mark.parametrize("index", range(5))
def test_a_missing_field_is_no_command(index: int) -> None:
    fields = [field for place, field in enumerate(FIELDS) if place != index]
    with pytest.raises(ProtocolError):
        command(f"(shepherd-command {' '.join(fields)})")


@pytest.mark.parametrize("index", range(4))
def test_a_field_out_of_its_place_is_no_command(index: int) -> None:
    fields = [*FIELDS]
    fields[index], fields[index + 1] = fields[index + 1], fields[index]
    with pytest.raises(ProtocolError):
        command(f"(shepherd-command {' '.join(fields)})")


@pytest.mark.parametrize(
    ("index", "field"),
    [
        (0, "(version 1)"),
        (0, "(version)"),
        (0, '(version "0")'),
        (0, "(version #f)"),
        (0, "(version 0.0)"),
        (1, '(action "start")'),
        (1, "(action start now)"),
        (2, "(service 5)"),
        (2, "(service)"),
        (3, "(arguments (a))"),
        (3, '(arguments ("a" 1))'),
        (3, '(arguments "a")'),
        (3, '(arguments ("a" . "b"))'),
        (4, "(directory d)"),
        (4, "directory"),
    ],
)
def test_a_field_of_another_type_is_no_command(index: int, field: str) -> None:
    fields = [*FIELDS]
    fields[index] = field
    with pytest.raises(ProtocolError):
        command(f"(shepherd-command {' '.join(fields)})")


@pytest.mark.parametrize(
    "text",
    [
        "()",
        "5",
        '"shepherd-command"',
        f"(shepherd-command {' '.join(FIELDS)} (more))",
        f"(other-command {' '.join(FIELDS)})",
        f'("shepherd-command" {" ".join(FIELDS)})',
        f"(shepherd-command {' '.join(FIELDS)} . x)",
    ],
)
def test_a_foreign_datum_is_no_command(text: str) -> None:
    with pytest.raises(ProtocolError):
        command(text)


@pytest.mark.parametrize("root", ["root", "shepherd"])
@pytest.mark.parametrize(
    ("action", "request_"),
    [
        ("status", RootStatus()),
        ("detailed-status", RootStatus()),
        ("log", RootStatus()),
        ("graph", RootStatus()),
        ("start", RootStart()),
        ("stop", Shutdown()),
        ("reload", ReloadConfiguration()),
    ],
)
def test_root_means_virtsupd_itself(root: str, action: str, request_: Request) -> None:
    assert plan(HerdCommand(action, root)) == request_


@pytest.mark.parametrize("action", ["help", "doc"])
def test_what_needs_no_knowledge_is_answered_at_once(action: str) -> None:
    request = plan(HerdCommand(action, "root"))
    assert isinstance(request, Canned)
    assert request.reply.startswith(b"(reply (version 0) (result (")


@pytest.mark.parametrize("action", ["eval", "load", "unload", "halt", "daemonize", "spawn"])
def test_root_runs_no_code_and_does_nothing_unknown(action: str) -> None:
    with pytest.raises(UnknownActionError) as caught:
        plan(HerdCommand(action, "shepherd"))
    assert caught.value.service == "root"


@pytest.mark.parametrize("action", ["restart", "enable", "disable"])
def test_what_makes_no_sense_for_virtsupd_itself_fails(action: str) -> None:
    with pytest.raises(ActionError, match=f"cannot {action} virtsupd"):
        plan(HerdCommand(action, "root"))


def test_a_reload_of_root_takes_no_file() -> None:
    with pytest.raises(ActionError, match="takes no file"):
        plan(HerdCommand("reload", "root", ("/etc/other.scm",)))


@pytest.mark.parametrize("action", ["trigger", "hold", "release"])
def test_words_that_would_be_ignored_are_refused(action: str) -> None:
    with pytest.raises(ActionError, match=f"{action} takes no words after the name"):
        plan(HerdCommand(action, "web", ("2h",)))


@pytest.mark.parametrize(
    ("action", "verb"),
    [
        ("start", Verb.START),
        ("stop", Verb.STOP),
        ("restart", Verb.RESTART),
        ("reload", Verb.RELOAD),
        ("enable", Verb.ENABLE),
        ("disable", Verb.DISABLE),
    ],
)
def test_verbs_are_asked_of_the_engine(action: str, verb: Verb) -> None:
    assert plan(HerdCommand(action, "web")) == Ask(verb, "web")


@pytest.mark.parametrize("word", ["force", "--force"])
def test_a_stop_may_be_forced(word: str) -> None:
    assert plan(HerdCommand("stop", "web", (word,))) == Ask(Verb.STOP, "web", force=True)
    assert plan(HerdCommand("stop", "web", ("fast",))) == Ask(Verb.STOP, "web")


@pytest.mark.parametrize(
    ("command", "request_"),
    [
        (HerdCommand("status", "web"), Status("web")),
        (HerdCommand("doc", "web", ("action", "poke")), Doc("web", ("action", "poke"))),
        (HerdCommand("why", "web"), Why("web")),
        (HerdCommand("poke", "web", ("a",)), Act("web", "poke", ("a",))),
        (HerdCommand("log", "web"), Act("web", "log")),
        (HerdCommand("poke", "job"), Act("job", "poke")),
        (HerdCommand("wait", "web"), Act("web", "wait")),
        (HerdCommand("shutdown", "web"), Act("web", "shutdown")),
    ],
)
def test_everything_else_is_an_action_of_the_service(
    command: HerdCommand, request_: Request
) -> None:
    assert plan(command) == request_


@pytest.mark.parametrize(
    ("error", "command", "captured"),
    [
        (UnknownServiceError("nosuch"), HerdCommand("start", "nosuch"), "no such service"),
        (
            UnknownServiceError("sleeper"),
            HerdCommand("status", "sleeper", is_quoted=True),
            "no such string",
        ),
        (UnknownActionError("frob", "sleeper"), HerdCommand("frob", "slumber"), "no such action"),
    ],
)
def test_errors_are_answered_as_shepherd_does(
    error: VirtsupdError, command: HerdCommand, captured: str
) -> None:
    assert render_error(error, command).decode() == herd10.REPLIES[captured]


def test_a_near_miss_is_named() -> None:
    reply = render_error(UnknownServiceError("slep", "sleeper"), HerdCommand("start", "slep"))
    assert reply.endswith(b"""(messages ("Did you mean 'sleeper'?")))""")


def test_a_refusal_has_a_tag_of_its_own() -> None:
    reply = render_error(PeerDeniedError("not yours"), HerdCommand("stop", "web"))
    assert b'(error (error (version 0) permission-denied stop web "not yours"))' in reply


@pytest.mark.parametrize("error", [ActionError("a ~s\nb"), ConfigError(("a ~s", "b"))])
def test_other_errors_carry_their_message_as_an_exception(error: VirtsupdError) -> None:
    reply = render_error(error, HerdCommand("poke", "web")).decode()
    expected = '(error (version 0) action-exception poke web misc-error (#f "~a" ("a ~s\\nb") #f))'
    assert reply == herd10.reply("#f", error=expected)


def test_a_failure_of_root_names_root() -> None:
    reply = render_failure("broken", HerdCommand("reload", "shepherd"))
    assert b"action-exception reload root misc-error" in reply


def scheduled(words: str) -> HerdCommand:
    text = (
        "(shepherd-command (version 0) (action schedule) (service timer)"
        f' (arguments ({words})) (directory "/d"))'
    )
    return command(text)


def test_a_command_is_scheduled_with_herds_own_options() -> None:
    words = '"at" "23:00" "true" "-x" #:name alarm #:user "nobody"'
    found = scheduled(f'{words} #:extra-environment-variables ("A=b" "C=d")')
    assert plan(found) == Schedule(
        "23:00",
        ("true", "-x"),
        {"name": "alarm", "user": "nobody", "extra-environment-variables": ("A=b", "C=d")},
    )
    assert plan(scheduled('"at" "23:00" "true"')) == Schedule("23:00", ("true",))


@pytest.mark.parametrize("words", ["", '"true"', '"at" "10:00"', '"in" "10:00" "true"'])
def test_a_schedule_without_time_or_command_is_refused(words: str) -> None:
    with pytest.raises(ActionError, match="needs a time and a command"):
        plan(scheduled(words))


@pytest.mark.parametrize(
    "words",
    ['"a" #:name', '"a" #:name 1', '"a" #:name "b" "c"', '"a" #:e (1)', '"a" #:n "b" "c" "d"'],
)
def test_options_that_are_none_are_no_command(words: str) -> None:
    with pytest.raises(ProtocolError):
        scheduled(words)


def test_schedule_of_another_service_is_an_action_of_its_own() -> None:
    assert plan(HerdCommand("schedule", "web", ("at",))) == Act("web", "schedule", ("at",))


def test_other_actions_take_no_options() -> None:
    text = (
        "(shepherd-command (version 0) (action poke) (service web)"
        ' (arguments ("a" #:name "b")) (directory "/d"))'
    )
    with pytest.raises(ProtocolError):
        command(text)

import pytest

from virtsupd.cli.arguments import UsageError, nearest_verb, parse
from virtsupd.cli.verbs import ACTION


def test_no_words_mean_status_of_everything() -> None:
    request = parse([])
    assert (request.verb.name, request.names, request.is_bare) == ("status", [], True)


def test_options_stand_before_or_after_the_verb() -> None:
    for words in (
        ["--socket", "/s", "--json", "-t", "2min", "stop", "--guests", "a", "b"],
        ["stop", "a", "b", "-g", "--socket=/s", "--json", "--timeout=120"],
    ):
        request = parse(words)
        assert request.names == ["a", "b"]
        assert (request.socket, request.json, request.guests) == ("/s", True, True)
        assert request.timeout == 120


def test_short_options_can_be_bundled_and_hold_a_value() -> None:
    assert parse(["log", "-fn5", "a"]).lines == 5
    request = parse(["log", "-fqn", "7", "a"])
    assert (request.follow, request.quiet, request.lines) == (True, True, 7)


def test_an_option_that_may_be_repeated_keeps_what_was_given_in_order() -> None:
    assert parse(["start", "a", "--once", "-f", "--once=", "--once", "--once"]).once == (
        "-f",
        "",
        "--once",
    )
    assert parse(["start", "a"]).once == ()


def test_two_dashes_end_the_options() -> None:
    assert parse(["start", "--", "-x", "--", "y"]).names == ["-x", "--", "y"]


def test_a_lone_dash_is_an_operand() -> None:
    assert parse(["start", "-"]).names == ["-"]


def test_an_action_takes_what_follows_its_service_as_it_is() -> None:
    request = parse(["--json", "console", "-q", "childhurd", "--json", "-x", "", "a b"])
    assert request.verb is ACTION
    assert request.action == "console"
    assert request.names == ["childhurd", "--json", "-x", "", "a b"]
    assert (request.json, request.quiet) == (True, True)


def test_two_dashes_before_the_arguments_of_an_action_are_its_own_end_of_options() -> None:
    assert parse(["console", "childhurd", "--", "-x"]).names == ["childhurd", "-x"]


def test_only_start_takes_arguments_for_one_run() -> None:
    with pytest.raises(UsageError, match="restart does not take --once"):
        parse(["restart", "a", "--once", "x"])


def test_help_needs_no_operands() -> None:
    assert parse(["start", "-h"]).help
    assert parse(["--version"]).version


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["start"], "start needs the name of a service"),
        (["completion"], "completion needs a shell: bash, zsh or fish"),
        (["quit", "now"], "quit does not take 'now'"),
        (["start", "--dot", "x"], "start does not take --dot"),
        (["start", "-x", "x"], "there is no option -x"),
        (["stop", "--guest", "x"], "there is no option --guest; did you mean --guests?"),
        (["--folow", "log"], "there is no option --folow; did you mean --follow?"),
        (["log", "-n"], "--lines needs a value: N"),
        (["log", "-n", "many"], "--lines: 'many' is not a number from 0 to 10000"),
        (["log", "-n", "10001"], "--lines: '10001' is not a number from 0 to 10000"),
        (["wait", "--state", "up", "x"], "'up' is not a state to wait for: running or stopped"),
        (["-t", "soon", "status"], "--timeout: 'soon' is not a duration: seconds"),
        (["--json=yes", "status"], "--json takes no value"),
        (["statu"], "there is no verb 'statu'; did you mean status?"),
        (["xyzzy"], "there is no verb 'xyzzy'; if it is a service: virtsupctl status xyzzy"),
    ],
)
def test_a_mistake_is_named(words: list[str], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(words)
    assert message in str(caught.value)


@pytest.mark.parametrize("words", [["status", "--bogus"], ["log", "--guest"], ["--xyz"]])
def test_an_option_of_another_verb_or_far_away_is_not_suggested(words: list[str]) -> None:
    with pytest.raises(UsageError) as caught:
        parse(words)
    assert "did you mean" not in str(caught.value)


def test_a_mistake_belongs_to_its_verb() -> None:
    with pytest.raises(UsageError) as caught:
        parse(["log", "--lines=x"])
    assert caught.value.verb == "log"


def test_hidden_verbs_are_never_suggested() -> None:
    assert not nearest_verb("complete-names").startswith("complete-")
    assert nearest_verb("sttart") == "start"

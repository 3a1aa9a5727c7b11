from typing import Annotated, Literal

import pytest
from pydantic import Field, ValidationError

from virtsupd.config.model import HostTable, ServiceTable
from virtsupd.config.probes import Table
from virtsupd.config.problems import (
    Layer,
    blame,
    found_text,
    known_keys,
    problem,
    problem_at,
    unknown_key,
    validation_problems,
)


def refusals(data: dict[str, object], model: type[Table] = ServiceTable) -> list[str]:
    with pytest.raises(ValidationError) as caught:
        model.model_validate(data)
    layers = [Layer("web.toml", data)]
    return [
        line.removeprefix("web.toml: ")
        for line in validation_problems(caught.value, model, data, layers)
    ]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"requres": []}, "requres: unknown key; did you mean requires?"),
        ({"nice": 20}, "nice: found 20, must be at most 19"),
        ({"nice": -21}, "nice: found -21, must be at least -20"),
        ({"nice": "1"}, 'nice: found "1", must be a whole number'),
        ({"one_shot": 1}, "one_shot: found 1, must be true or false"),
        ({"requires": "x"}, 'requires: found "x", must be a list'),
        ({"provides": []}, "provides: found [], must be a list that is not empty"),
        (
            {"wants": ["a", "a"]},
            'wants: found ["a", "a"], must be a list without repetitions; \'a\' stands in it twice',
        ),
        (
            {"command": []},
            'command: found [], must be a list whose first string names the program: ["/usr/bin/x", "argument"]',
        ),
        ({"command": [1]}, "command[1]: found 1, must be a string"),
        ({"respawn": 1}, "respawn: found 1, must be true, false or a table"),
        ({"respawn": {"factor": 0.5}}, "respawn.factor: found 0.5, must be at least 1"),
        ({"respawn": {"factor": "x"}}, 'respawn.factor: found "x", must be a number'),
        ({"log": True}, "log: found true, must be false or a table"),
        (
            {"log": {"compress": "gzip"}},
            'log.compress: found "gzip", must be one of "zstd" or "none"',
        ),
        ({"ready": 5}, 'ready: found 5, must be a word such as "notify", or a table with kind'),
        ({"ready": "tcp"}, "ready: the key port is missing"),
        ({"ready": {"port": 5}}, "ready: the key kind is missing"),
        ({"ready": {"kind": 5}}, "ready.kind: found 5, must be a kind of probe"),
        (
            {"ready": "agnet"},
            'ready: found "agnet", must be a kind of probe; did you mean agent? There are: none, notify',
        ),
        (
            {"stop": "save"},
            (
                'stop: found "save", must be a table, such as { signal = "INT", delay = "20s" }; of a guest of '
                'libvirt, such as { how = "save", delay = "2min" }'
            ),
        ),
        ({"ready": {"kind": "tcp", "port": 0}}, "ready.port: found 0, must be at least 1"),
        (
            {"ready": {"kind": "tcp", "port": 1, "timout": 1}},
            "ready.timout: unknown key; did you mean timeout?",
        ),
        (
            {"health": {"kind": "tcp", "port": 1, "fail": 1}},
            "health.fail: unknown key; did you mean failures?",
        ),
        (
            {"ready": {"kind": "notify", "zzz": 1}},
            "ready.zzz: unknown key; known here: kind, timeout",
        ),
        (
            {"environment": {"a-b": "x"}},
            "environment.a-b: the key itself must be a variable's name: letters, digits and _, no digit first",
        ),
        ({"environment": {"API_KEY": 5}}, "environment.API_KEY: found (hidden), must be a string"),
        ({"environment": []}, "environment: found [], must be a table"),
        ({"limits": {"nofiles": 1}}, "limits.nofiles: the key itself must be one of as, core"),
        ({"sockets": [1.5]}, "sockets[1]: found 1.5, must be a list of addresses"),
        ({"sockets": [{"name": "x"}]}, "sockets[1]: the key listen is missing"),
        (
            {"sockets": [{"listen": "/x", "nmae": "x"}]},
            "sockets[1].nmae: unknown key; did you mean name?",
        ),
        (
            {"sockets": [{"listen": "/x", "name": "a:b"}]},
            'sockets[1].name: found "a:b", must be 1 to 255 printable characters without a colon',
        ),
        (
            {"actions": {"restart": {"command": ["x"]}}},
            "actions.restart: the key itself must be another name, since virtsupctl and herd would",
        ),
        (
            {"actions": {"Test": {"command": ["x"]}}},
            "actions.Test: the key itself must be a name of lower case letters",
        ),
        ({"success_exit": [256]}, "success_exit[1]: found 256, must be at most 255"),
    ],
)
def test_a_refusal_names_key_value_and_what_is_allowed(data: dict[str, object], said: str) -> None:
    (line,) = refusals(data)
    assert line.startswith(said)


def test_everything_is_said_at_once() -> None:
    lines = refusals({"nice": 99, "umask": 22, "usr": "x", "stop": {"mode": "x", "signal": "y"}})
    assert [line.split(":")[0] for line in lines] == [
        "umask",
        "nice",
        "stop.signal",
        "stop.mode",
        "usr",
    ]


def test_a_host_key_is_explained_too() -> None:
    (line,) = refusals({"cgroup": "a/b"}, HostTable)
    assert line == (
        'cgroup: found "a/b", must be a name of letters, digits, _, - and . (not first), '
        "at most 100 characters"
    )


def test_the_file_that_decides_is_blamed() -> None:
    layers = [
        Layer("host.toml", {"stop": {"signal": "x"}, "ready": "y"}, ("service", "web")),
        Layer("drop-in.toml", {"stop": {"mode": "z"}}, ("service", "web")),
    ]
    assert blame(layers, ("stop", "mode")).file == "drop-in.toml"
    assert blame(layers, ("stop", "signal")).file == "host.toml"
    assert blame(layers, ("stop",)).file == "drop-in.toml"
    assert blame(layers, ("ready", "port")).file == "host.toml"
    assert (
        problem_at(layers, ("stop", "signal"), "bad") == "host.toml: service.web.stop.signal: bad"
    )


def test_a_problem_of_a_whole_file_has_no_key() -> None:
    assert problem("x.toml", (), "is bad") == "x.toml: is bad"


def test_an_unknown_key_without_a_near_one_brings_what_is_known() -> None:
    assert unknown_key("zzz", ["a", "b"]) == "unknown key; known here: a, b"
    assert unknown_key("zzz", [str(n) for n in range(20)]).endswith("10, 11 …")


def test_long_values_are_cut() -> None:
    assert found_text(("x",), "y" * 100) == '"' + "y" * 58 + "…"


def test_keys_are_known_at_every_depth() -> None:
    assert known_keys(ServiceTable, ("stop",)) == ["signal", "delay", "mode", "how", "steps"]
    assert known_keys(ServiceTable, ("sockets", 0))[:2] == ["listen", "name"]
    assert "timeout" in known_keys(ServiceTable, ("ready", "probe", "tcp"))
    assert "kind" in known_keys(ServiceTable, ("ready", "probe", "tcp"))


class Strange(Table):
    """A model with a rule that no message was written for."""

    word: Annotated[str, Field(max_length=1)] | None = None
    choice: Literal["a"] = "a"


def test_a_rule_without_a_message_of_its_own_is_still_explained() -> None:
    (line,) = refusals({"word": "ab"}, Strange)
    assert (
        line == 'word: found "ab", must be something else: String should have at most 1 character'
    )

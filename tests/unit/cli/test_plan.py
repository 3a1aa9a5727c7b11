"""What a reload does is said per service, with the keys that changed and what they take."""

import json
from typing import Any

import pytest
from tests.support.fake_varlink import step
from tests.support.scripted_client import Run

from virtsupd.cli import plan
from virtsupd.cli.arguments import UsageError


def key(
    name: str, old: str | None, new: str | None, when: str = "now", file: str = ""
) -> dict[str, Any]:
    return {"key": name, "old": old, "new": new, "when": when, "file": file}


PORT = key("tcp_port", '"16509"', '"16510"', "restart", "/run/generated/libvirtd.conf")
SIZE = key("max_size", "1", "2", "reload", "/run/generated/virtlogd.conf")
CLIENTS = key("max_clients", "3", "4", "restart", "/run/generated/virtlogd.conf")


def shown(
    *steps: dict[str, Any], words: tuple[str, ...] = (), warnings: tuple[str, ...] = ()
) -> Run:
    run = Run(["plan", *words], {"Plan": [{"steps": list(steps), "warnings": list(warnings)}]})
    assert plan.run(run.session) == 0
    return run


@pytest.mark.parametrize(
    ("found", "future", "past"),
    [
        (
            step("a", "stopped"),
            "is stopped, and is then forgotten",
            "is being stopped, and is then forgotten",
        ),
        (
            step("a", "stopped", for_others=["b"]),
            "is stopped until b runs",
            "is being stopped until b runs",
        ),
        (
            step("a", "asked", up=False),
            "was not needed, and is asked again",
            "was not needed, and is being asked again",
        ),
        (step("a", "forgotten", up=False), "is forgotten", "is forgotten"),
        (step("a", "forgotten"), "is forgotten; it runs on", "is forgotten; it runs on"),
        (step("a", "started", up=False), "is started", "is being started"),
        (
            step("a", "started", up=False, for_others=["b", "c"]),
            "is started for b, c",
            "is being started for b, c",
        ),
        (
            step("a", "added", up=False),
            "is new, and stays down until it is started",
            "is new, and stays down until it is started",
        ),
        (
            step("a", "pending", command=["restart", "a"]),
            "runs on; in force at its next start: virtsupctl restart a",
            "runs on; in force at its next start: virtsupctl restart a",
        ),
        (
            step("a", "reloaded"),
            "is told to read its files again",
            "has been told to read its files again",
        ),
        (
            step("a", "unread", command=["reload", "a"]),
            "is not told to read its files again: virtsupctl reload a",
            "has not been told to read its files again: virtsupctl reload a",
        ),
        (step("a", "unchanged", changed=True), "runs on; in force at once", "runs on; in force"),
        (
            step("a", "unchanged", changed=True, up=False),
            "has changed; it is down",
            "has changed; it is down",
        ),
        (step("a", "unchanged"), "unchanged", "unchanged"),
    ],
)
def test_a_fate_is_a_few_words(found: Any, future: str, past: str) -> None:
    assert plan.headline(found, is_done=False) == future
    assert plan.headline(found, is_done=True) == past


@pytest.mark.parametrize(
    ("facts", "cost"),
    [
        ({}, ""),
        ({"touches": ["b"]}, " (also restarts b)"),
        ({"kind": "guest"}, " (ends this guest)"),
        ({"touches": ["b", "vm"], "guests": ["vm"]}, " (also restarts b; ends guest vm)"),
        ({"touches": ["v", "w"], "guests": ["v", "w"]}, " (ends guests v, w)"),
        ({"harms": ["logs of vm would be lost"]}, " (logs of vm would be lost)"),
    ],
)
def test_what_a_restart_would_end_is_said(facts: dict[str, Any], cost: str) -> None:
    found: Any = step("a", "pending", command=["restart", "a"], **facts)
    assert plan.headline(found, is_done=False).endswith(f"virtsupctl restart a{cost}")


def test_changed_keys_stand_below_their_service() -> None:
    run = shown(
        step("libvirtd", "pending", command=["restart", "libvirtd"], changed=True, keys=[PORT]),
        step("web", "unchanged", changed=True, keys=[key("stop.delay", None, "3")]),
        step("idle", "unchanged"),
    )
    assert run.out.splitlines() == [
        "libvirtd: runs on; in force at its next start: virtsupctl restart libvirtd",
        '    libvirtd.conf: tcp_port = "16509" → "16510"',
        "web: runs on; in force at once",
        "    stop.delay = (not set) → 3",
        "no guest ends by a restart of libvirtd",
    ]


def test_keys_that_hold_earlier_than_the_rest_say_so() -> None:
    keys: list[dict[str, Any]] = [CLIENTS, SIZE, key("description", '"a"', '"b"')]
    lines = shown(
        step("virtlogd", "pending", command=["restart", "virtlogd"], keys=keys, told=True)
    ).out
    assert lines.splitlines()[1:4] == [
        "    virtlogd.conf: max_clients = 3 → 4",
        "    virtlogd.conf: max_size = 1 → 2 (read again at once)",
        '    description = "a" → "b" (at once)',
    ]
    lines = shown(step("virtlogd", "pending", command=["restart", "virtlogd"], keys=[SIZE])).out
    assert lines.splitlines()[1].endswith("(not read again before)")


def test_a_file_without_keys_has_another_content() -> None:
    found = shown(
        step("a", "unchanged", changed=True, keys=[key("", None, None, "now", "/run/x.json")])
    )
    assert found.out.splitlines()[1] == "    x.json: another content"


def test_no_promise_is_made_for_guests_that_would_end() -> None:
    vm = step("vm", "pending", kind="guest", command=["restart", "vm"])
    net = step("net", "pending", command=["restart", "net", "--guests"], guests=["vm"])
    logs = step("logs", "pending", command=["restart", "logs"], harms=["logs would be lost"])
    assert "no guest ends" not in shown(vm, net, logs).out
    assert "no guest ends by a restart of db\n" in shown(vm, net, step("db", "pending")).out


def test_a_condition_that_does_not_hold_here_is_no_news() -> None:
    nothing = "a reload would change nothing\n"
    assert shown(step("dbus", "asked", kind="condition", up=False)).out == nothing
    assert shown(step("a", "asked", up=False)).out != nothing


def test_unchanged_services_are_shown_to_who_asks() -> None:
    assert shown(step("a", "unchanged")).out == "a reload would change nothing\n"
    assert shown(step("a", "unchanged"), words=("--all",)).out == "a: unchanged\n"


def test_an_unchanged_configuration_is_said_to_be_so() -> None:
    run = Run(["reload"], {})
    plan.show(run.session, {"steps": [step("a", "unchanged")], "warnings": []}, is_done=True)
    assert run.out == "the configuration is unchanged\n"


def test_warnings_go_where_errors_go() -> None:
    run = shown(warnings=("it is late\x1b",))
    assert run.err == "warning: it is late\\x1b\n"


def test_nothing_of_a_file_reaches_the_terminal_unchecked() -> None:
    bad: Any = step("a", "unchanged", keys=[key("x\x1b", '"\x1b"', None)])
    assert "\x1b" not in plan.key_line(bad, bad["keys"][0])


def test_json_is_what_virtsupd_said() -> None:
    reply = {"steps": [step("a", "unchanged")], "warnings": ["w"]}
    run = Run(["--json", "plan", "a"], {"Plan": [reply]})
    assert plan.run(run.session) == 0
    assert json.loads(run.out) == reply
    assert run.client.calls == [("Plan", {"names": ["a"]})]


def test_a_terminal_without_letters_gets_an_arrow_of_two() -> None:
    found: Any = step("a", "unchanged")
    one: Any = key("nice", "1", "2")
    assert plan.key_line(found, one, arrow=False) == "nice = 1 -> 2"


TOUCH: dict[str, list[str]] = {
    "stopped": [],
    "started": [],
    "guests": [],
    "harms": [],
    "refusals": [],
}


def touching(verb: str, *flags: str, **reply: list[str]) -> Run:
    run = Run(["plan", verb, "a", "b", *flags], {"WouldTouch": [TOUCH | reply]})
    assert plan.run(run.session) == 0
    given = {flag.removeprefix("--"): True for flag in flags}
    assert run.client.calls == [("WouldTouch", {"verb": verb, "names": ["a", "b"], **given})]
    return run


def test_a_command_is_planned_by_what_it_would_touch() -> None:
    assert touching("restart", stopped=["b", "a"], started=["a"]).out.splitlines() == [
        "stops: b, a",
        "starts: a",
        "comes back with that: b",
        "no guest ends",
    ]
    found = touching("stop", stopped=["a", "vm"], guests=["vm"]).out.splitlines()
    assert found == ["stops: a, vm", "ends guests: vm"]
    harms = ["a: logs of vm would be lost"]
    found = touching("stop", "--guests", "--force", stopped=["a"], harms=harms).out.splitlines()
    assert found[1:] == ["no guest ends", "with --force: a: logs of vm would be lost"]
    assert touching("start").out == "start would change nothing\n"


def test_a_command_that_would_be_refused_says_so_first_and_ends_as_it_would() -> None:
    refusals = [
        {"name": "a", "result": "refused", "message": "cannot stop a: logs of vm; --force does it"},
        {"name": "b", "result": "refused", "message": "cannot stop b: logs of vm; --force does it"},
    ]
    answer = {**TOUCH, "stopped": ["a", "b"], "harms": ["a: logs of vm"], "refusals": refusals}
    run = Run(["plan", "stop", "a", "b"], {"WouldTouch": [answer]})
    assert plan.run(run.session) == 1
    assert run.err == "would be refused: cannot stop a, b: logs of vm; --force does it\n"
    assert run.out == "stops: a, b\nno guest ends\n"
    asked = Run(["--json", "plan", "stop", "a"], {"WouldTouch": [answer]})
    assert plan.run(asked.session) == 1
    assert json.loads(asked.out) == answer


def test_flags_of_a_command_want_the_command() -> None:
    for words in (["plan", "--force"], ["plan", "--guests", "a"]):
        with pytest.raises(UsageError, match="plan start, stop or restart"):
            plan.run(Run(words, {}).session)


def test_a_command_is_planned_in_json_too() -> None:
    answer = {**TOUCH, "stopped": ["a"]}
    run = Run(["--json", "plan", "stop", "a"], {"WouldTouch": [answer]})
    assert plan.run(run.session) == 0
    assert json.loads(run.out) == answer


def test_a_service_may_be_called_like_a_command() -> None:
    run = Run(["plan", "stop"], {"Plan": [{"steps": [], "warnings": []}]})
    plan.run(run.session)
    assert run.client.calls == [("Plan", {"names": ["stop"]})]

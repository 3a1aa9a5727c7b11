"""Which keys of a definition changed, from what to what, and when that holds."""

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from virtsupd.config.difference import (
    ChangedKey,
    When,
    changed_keys,
    changed_settings,
    is_changed,
)
from virtsupd.config.settings import GeneratedFile
from virtsupd.core.domain import DomainSpec, GuestStop
from virtsupd.core.machine import MachineSpec
from virtsupd.core.made import fingerprint
from virtsupd.core.names import Name
from virtsupd.core.spec import (
    ActionSpec,
    AgentProbe,
    Health,
    Limit,
    LogSpec,
    NotifyProbe,
    ProcessSpec,
    Readiness,
    Reload,
    Respawn,
    ServiceSpec,
    SocketSpec,
    Stop,
    TcpProbe,
    TimerSpec,
)

PROCESS = ProcessSpec(("run",), LogSpec("/log"))
WEB = ServiceSpec(Name("web"), (Name("web"),), process=PROCESS)
CONF = GeneratedFile(Path("/run/x.conf"), 0o644, '# ours\na = 1\nb = "x"\n', Name("web"))


def told(old: ServiceSpec, new: ServiceSpec) -> list[str]:
    return [f"{one.key}: {one.old} → {one.new} ({one.when})" for one in changed_keys(old, new)]


def made(**changes: Any) -> ServiceSpec:
    return replace(WEB, process=replace(PROCESS, **changes))


@pytest.mark.parametrize(
    ("new", "expected"),
    [
        (made(command=("run", "-v")), ['command: ["run"] → ["run", "-v"] (restart)']),
        (made(user="web"), ['user: None → "web" (restart)']),
        (made(umask=0o077), ['umask: None → "077" (restart)']),
        (made(log=LogSpec("/other")), ['log.file: "/log" → "/other" (restart)']),
        (made(environment=(("A", "1"),)), ['environment.A: None → "1" (restart)']),
        (
            made(limits=(Limit("nofile", 9, None),)),
            ['limits.nofile: None → [9, "infinity"] (restart)'],
        ),
        (replace(WEB, description="x"), ['description: None → "x" (now)']),
        (replace(WEB, requires=(Name("db"),)), ['requires: None → ["db"] (now)']),
        (replace(WEB, respawn=None), ["respawn: None → false (now)"]),
        (replace(WEB, autostart=False), ["autostart: None → false (now)"]),
        (replace(WEB, ready=Readiness(NotifyProbe())), ['ready: None → "notify" (restart)']),
        (
            replace(WEB, ready=Readiness(None, 7)),
            ['ready: None → { kind = "none", timeout = 7 } (now)'],
        ),
        (replace(WEB, source="elsewhere.toml"), []),
        (WEB, []),
    ],
)
def test_a_changed_key_is_told(new: ServiceSpec, expected: list[str]) -> None:
    assert told(WEB, new) == expected


def test_tables_are_compared_key_by_key_and_values_may_go() -> None:
    old = replace(WEB, stop=Stop("SIGINT", 3), reload=Reload("SIGHUP"))
    new = replace(WEB, stop=Stop("SIGINT", 4))
    assert told(old, new) == [
        "stop.delay: 3 → 4 (now)",
        'reload.signal: "SIGHUP" → None (now)',
        "reload.timeout: 30.0 → None (now)",
    ]


def test_tables_in_tables_are_taken_apart() -> None:
    old = replace(WEB, actions=(ActionSpec("look", "", ("look",)),))
    new = replace(WEB, actions=(ActionSpec("look", "", ("look", "twice")),))
    assert told(old, new) == ['actions.look.command: ["look"] → ["look", "twice"] (now)']


def test_a_timer_that_is_one_already_takes_its_times_over_at_once() -> None:
    timer, other = TimerSpec(("02:00",)), TimerSpec(("03:00",))
    assert [
        one.when for one in changed_keys(replace(WEB, timer=timer), replace(WEB, timer=other))
    ] == [When.NOW]
    assert {one.when for one in changed_keys(WEB, replace(WEB, timer=timer))} >= {When.RESTART}


def test_what_makes_a_guest_ready_holds_at_once_for_the_same_guest() -> None:
    guest = replace(WEB, process=None, domain=DomainSpec("web1"))
    other = replace(guest, ready=Readiness(AgentProbe(), 60))
    assert [(one.key, one.when) for one in changed_keys(guest, other)] == [("ready", When.NOW)]
    another = replace(other, domain=DomainSpec("web2"))
    assert {one.when for one in changed_keys(guest, another)} == {When.RESTART}


def test_a_secret_is_named_and_not_shown() -> None:
    def with_secret(value: str) -> ServiceSpec:
        return made(environment=(("TOKEN", value),), secret_environment=frozenset({"TOKEN"}))

    found = told(with_secret("old-secret"), with_secret("new-secret"))
    assert found == ['environment.TOKEN: "(hidden)" → "(hidden)" (restart)']
    assert "secret" not in str(told(WEB, with_secret("old-secret")))
    assert told(with_secret("same"), with_secret("same")) == []


OTHERS: dict[str, Any] = {
    "command": ("other",),
    "log": LogSpec("/other"),
    "user": "u",
    "group": "g",
    "supplementary_groups": ("g",),
    "directory": "/tmp",
    "umask": 0o077,
    "environment": (("A", "1"),),
    "environment_files": ("/f",),
    "limits": (Limit("core", 0, 0),),
    "capabilities": ("CAP_CHOWN",),
    "no_new_privileges": True,
    "oom_score_adjust": 1,
    "nice": 1,
    "sockets": (SocketSpec("s", "/s"),),
}


def test_each_field_of_a_process_is_told_as_pending_and_makes_another_one() -> None:
    """A field that is added to the process has to have a key, and that has to be known as one."""
    unseen = {"secret_environment", "files", "machine"}
    assert set(OTHERS) == {field.name for field in fields(ProcessSpec)} - unseen
    for field, value in OTHERS.items():
        new = made(**{field: value})
        assert [one.when for one in changed_keys(WEB, new)] == [When.RESTART], field
        assert fingerprint(new) != fingerprint(WEB)


def test_what_a_machine_is_made_of_is_told_as_pending() -> None:
    old = made(machine=MachineSpec("/run/m", "/run/m/qmp"))
    new = made(machine=MachineSpec("/run/m", "/run/m/qmp", ssh_port=10022))
    assert told(old, new) == ["machine.ssh_port: None → 10022 (restart)"]
    assert fingerprint(new) != fingerprint(old)


def test_what_holds_at_once_makes_no_other_process() -> None:
    for change in (
        {"health": Health(TcpProbe(80))},
        {"respawn": Respawn(limit=1)},
        {"actions": (ActionSpec("look", "", ("look",)),)},
        {"one_shot": True},
        {"is_guest": True},
        {"success_exit": frozenset({3})},
    ):
        new = replace(WEB, **change)
        found = list(changed_keys(WEB, new))
        assert found
        assert {one.when for one in found} == {When.NOW}, change
        assert fingerprint(new) == fingerprint(WEB)


def test_another_domain_is_another_guest() -> None:
    old = replace(WEB, process=None, domain=DomainSpec("a"), stop=Stop(how=GuestStop.SHUTDOWN))
    new = replace(old, domain=DomainSpec("b"))
    assert told(old, new) == ['domain: "a" → "b" (restart)']


def test_only_where_it_stands_is_no_change() -> None:
    assert not is_changed(WEB, replace(WEB, source="elsewhere.toml"))
    assert is_changed(WEB, made(files=("digest",)))


# Generated files


def test_settings_of_a_generated_file_are_told_by_their_keys() -> None:
    new = replace(CONF, content='# theirs\na = 2\nb = "x"\nc = []\n', reread=frozenset("a"))
    assert list(changed_settings(CONF, new)) == [
        ChangedKey("a", "1", "2", When.RELOAD, "/run/x.conf"),
        ChangedKey("c", None, "[]", When.RESTART, "/run/x.conf"),
    ]
    assert list(changed_settings(CONF, CONF)) == []


def test_a_file_that_is_new_or_gone_is_told_by_what_names_it() -> None:
    assert list(changed_settings(None, CONF)) == []
    assert list(changed_settings(CONF, None)) == []


def test_what_not_everybody_may_read_is_not_shown() -> None:
    old = replace(CONF, mode=0o600)
    [found] = changed_settings(old, replace(old, content='a = "hush"\nb = "x"\n'))
    assert found == ChangedKey("a", '"(hidden)"', '"(hidden)"', When.RESTART, "/run/x.conf")


def test_a_file_without_keys_has_changed_as_a_whole() -> None:
    old, new = replace(CONF, content="[]"), replace(CONF, content="{}")
    [found] = changed_settings(old, new)
    assert (found.key, found.old, found.new) == ("", None, None)


def test_a_long_value_is_cut() -> None:
    [found] = changed_keys(WEB, replace(WEB, description="x" * 1000))
    assert found.new is not None
    assert len(found.new) == 400

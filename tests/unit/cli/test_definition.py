import pytest

from virtsupd.cli.definition import rows
from virtsupd.core.domain import GuestStop

COMMAND = 'command = ["/bin/x"]\n'


def row(text: str, label: str) -> str:
    """Return one row of a definition."""
    return dict(rows(COMMAND + text))[label]


@pytest.mark.parametrize(
    ("text", "label", "value"),
    [
        ("", "User", "that of virtsupd"),
        ('user = "www"\ngroup = "adm"', "User", "www, group adm"),
        ('directory = "/srv"', "Directory", "/srv"),
        (
            'limits = { nofile = 10, core = [0, "infinity"] }',
            "Limits",
            "nofile 10, core 0 (hard infinity)",
        ),
        (
            'sockets = [{ listen = "80", name = "a" }, { listen = "/s", name = "b", type = "datagram" }]',
            "Sockets",
            "80 (a), /s (b, datagram)",
        ),
        ("", "Ready", "as soon as it is started"),
        ("one_shot = true", "Ready", "when it has ended well"),
        (
            'one_shot = true\nready = { kind = "exit", status = true }',
            "Ready",
            "when it has ended well",
        ),
        ('ready = "notify"', "Ready", "notify"),
        (
            'ready = { kind = "tcp", port = 80, timeout = 2.5 }',
            "Ready",
            "tcp, port 80, within 2.5 s",
        ),
        ("", "Health", "not checked"),
        (
            'health = { kind = "exec", command = ["a b"], interval = 30, timeout = 10, failures = 1, on_failure = "degrade" }',
            "Health",
            "exec, command 'a b', within 10 s, every 30 s; 1 failure degrade it",
        ),
        (
            'health = { kind = "notify", interval = 30, failures = 3, on_failure = "restart" }',
            "Health",
            "notify, every 30 s; 3 failures in a row restart it",
        ),
    ],
)
def test_a_definition_is_told_in_rows(text: str, label: str, value: str) -> None:
    assert row(text, label) == value


def test_a_condition_has_its_probe_alone_and_a_target_nothing() -> None:
    assert rows('ready = { kind = "path", path = "/x" }') == [("Ready", "path, path /x")]
    assert rows('provides = ["a"]') == []


GUEST = 'domain = "web1"\n'
POWER_OFF = "asks it to power off: its agent, or by the power button; destroyed after 5 min"


@pytest.mark.parametrize(
    ("text", "label", "value"),
    [
        ("", "Ready", "as soon as it runs"),
        ('ready = "agent"', "Ready", "agent"),
        ("", "Health", "not checked"),
        ("", "Respawn", "started again when it has crashed"),
        ('respawn = { delay = 1.0, on = "end" }', "Respawn", "started again when it ends"),
        ("respawn = false", "Respawn", "not started again"),
        ("", "Stop", POWER_OFF),
    ],
)
def test_a_guest_is_told_in_rows(text: str, label: str, value: str) -> None:
    stop = 'stop = { how = "shutdown", delay = 300.0 }\n'
    assert dict(rows(GUEST + stop + text))[label] == value


@pytest.mark.parametrize("how", GuestStop)
def test_each_way_to_end_a_guest_has_its_words(how: GuestStop) -> None:
    said = dict(rows(f'{GUEST}stop = {{ how = "{how}", delay = 120.0 }}'))["Stop"]
    assert len(said) > len(how) + 10
    is_at_once = how in (GuestStop.DESTROY, GuestStop.LEAVE)
    assert said.endswith("destroyed after 2 min") is not is_at_once


def test_what_cannot_be_read_is_left_out() -> None:
    assert rows("= no") == []

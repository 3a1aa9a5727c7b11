import pytest

from virtsupd.cli.definition import rows

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


def test_what_cannot_be_read_is_left_out() -> None:
    assert rows("= no") == []

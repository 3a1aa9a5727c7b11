"""What is said of a host that lacks what a sound file names."""

from pathlib import Path

import pytest
from tests.support.config_folder import Folder

from virtsupd.cli.host_check import checked_on_host
from virtsupd.cli.supervise import DONE, check

WEB = "[service.web]\n"


def said(tmp_path: Path, text: str) -> list[str]:
    """Return the warnings without the file's name."""
    folder = Folder(tmp_path)
    found = checked_on_host(folder.load(WEB + text))
    return [line.replace(f"{folder.host}: ", "").replace(f"{tmp_path}", "TMP") for line in found]


def test_a_host_that_has_everything_is_not_spoken_of(tmp_path: Path) -> None:
    file = tmp_path / "variables"
    file.write_text("PATH=/nowhere:/bin\n")
    assert not said(
        tmp_path,
        'command = ["sh", "-c", "a b"]\nuser = "root"\ngroup = 0\ndirectory = "/"\n'
        f'environment_file = ["{file}", "-/no/such/file"]\nsockets = ["/run/x"]\n'
        'reload = { command = ["true"] }\nready = { kind = "exec", command = ["true"] }\n'
        'health = { kind = "exec", command = ["/bin/true"] }\n'
        'actions.test.command = ["true"]\n[service.site]\nrequires = ["web"]\n',
    )


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ('command = ["/no/such"]', ["web: command: cannot run /no/such: no such program"]),
        ('command = ["/etc/passwd"]', ["web: command: cannot run /etc/passwd: it is not executable"]),
        (
            'command = ["nginx-x"]\nenvironment = { PATH = "/a:/b" }',
            ["web: command: cannot run nginx-x: not found in PATH (/a:/b)"],
        ),
        (
            'command = ["sleep infinity"]',
            ['web: command: found ["sleep infinity"], whose first string is one program; meant ["sleep", "infinity"]?'],
        ),
        (
            """command = ["sh -c 'a b", "c"]""",
            ["""web: command: found ["sh -c 'a b", "c"], whose first string is one program; meant ["sh", "-c", "'a", "b", "c"]?"""],
        ),
        (
            'command = ["true"]\nuser = "nobody-has-this"\nsupplementary_groups = ["nor-this"]',
            ["web: user: no user is named 'nobody-has-this'", "web: supplementary_groups: no group is named 'nor-this'"],
        ),
        (
            'command = ["true"]\nuser = 4000123',
            ["web: user: cannot tell the group of user 4000123, which the user database does not know: set group"],
        ),
        (
            'command = ["true"]\nsockets = ["/run/x", { listen = "/run/y", owner = "no-owner", group = "no-group" }]',
            ["web: sockets[2].owner: no user is named 'no-owner'", "web: sockets[2].group: no group is named 'no-group'"],
        ),
        ('command = ["true"]\ndirectory = "/no/such"', ["web: directory: there is no directory /no/such; mkdir -p /no/such, or change it"]),
        (
            'command = ["true"]\nenvironment_file = ["/no/a", "/no/b"]',
            [
                "web: environment_file: cannot read environment file /no/a: No such file or directory",
                "web: environment_file: cannot read environment file /no/b: No such file or directory",
            ],
        ),
        (
            'command = ["true"]\nreload = { command = ["/no/r"] }\nready = { kind = "exec", command = ["/no/y"] }\nhealth = { kind = "exec", command = ["/no/h"] }\nactions.test.command = ["/no/t"]',
            [
                "web: reload.command: cannot run /no/r: no such program",
                "web: ready.command: cannot run /no/y: no such program",
                "web: health.command: cannot run /no/h: no such program",
                "web: actions.test.command: cannot run /no/t: no such program",
            ],
        ),
        ('actions.test.command = ["/no/t"]', ["web: actions.test.command: cannot run /no/t: no such program"]),
    ],
)  # fmt: skip
def test_what_the_host_lacks_is_said_with_service_and_key(
    tmp_path: Path, text: str, lines: list[str]
) -> None:
    assert said(tmp_path, text + "\n") == lines


def test_what_the_host_lacks_refuses_no_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    host = tmp_path / "host.toml"
    host.write_text('[service.web]\ncommand = ["/no/such"]\n')
    assert check(host) == DONE
    missing = f"warning: {host}: web: command: cannot run /no/such: no such program\n"
    assert capsys.readouterr().err == missing


def test_an_account_that_a_machine_makes_for_itself_is_not_missing(tmp_path: Path) -> None:
    machine = '[hurd_vm]\nimage = "/a.img"\nqemu = "/no"\nuser = "no-hurd"\ngroup = "no-group"\n'
    text = 'command = ["true"]\nuser = "{}"\n'
    assert not [
        line for line in said(tmp_path, text.format("no-hurd") + machine) if "named" in line
    ]
    found = said(tmp_path, text.format("no-other") + machine)
    assert "web: user: no user is named 'no-other'" in found

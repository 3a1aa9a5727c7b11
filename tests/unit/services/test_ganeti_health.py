"""What asks Ganeti's daemons whether they are well."""

from pathlib import Path

import pytest
from tests.support.config_folder import Folder

from virtsupd.core.spec import (
    BannerProbe,
    ExecProbe,
    Health,
    HttpProbe,
    ListenProbe,
    Probe,
    TcpProbe,
)
from virtsupd.services.ganeti_health import why_not_asked

SOCKETS = "/var/run/ganeti/socket"


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """Give each test a folder of its own."""
    return Folder(tmp_path)


def health(folder: Folder, short: str, keys: str = "") -> Health | None:
    text = f'[ganeti]\naccounts = "root"\nos = []\n[ganeti.{short}]\nhealth = true\n{keys}\n'
    return folder.service(text, f"ganeti-{short}").health


@pytest.mark.parametrize(
    ("short", "keys", "probe"),
    [
        ("noded", "", TcpProbe(1811)),
        ("noded", 'address = "192.0.2.1"', TcpProbe(1811, "192.0.2.1")),
        ("noded", 'interface = "eth1"', ListenProbe(("tcp:1811",))),
        ("mond", 'address = "::"', HttpProbe("http://[::1]:1815/")),
        ("metad", "", TcpProbe(80)),
        ("rapi", "ssl = false", HttpProbe("http://127.0.0.1:5080/version", (200, 401))),
    ],
)
def test_each_is_asked_where_it_listens(
    folder: Folder, short: str, keys: str, probe: Probe
) -> None:
    found = health(folder, short, keys)
    assert found is not None
    assert found.probe == probe


@pytest.mark.parametrize(
    ("short", "name"), [("wconfd", "ganeti-wconfd"), ("luxid", "ganeti-query")]
)
def test_those_with_a_socket_are_asked_a_question(folder: Folder, short: str, name: str) -> None:
    found = health(folder, short)
    assert found is not None
    assert isinstance(found.probe, BannerProbe)
    assert found.probe.path == f"{SOCKETS}/{name}"
    assert found.probe.send is not None
    assert found.probe.send.endswith("\x03"), "which ends a message of theirs"
    assert found.on_failure == "restart"


@pytest.mark.parametrize(("short", "port"), [("confd", "1814"), ("rapi", "5080")])
def test_those_that_sign_or_encrypt_are_asked_by_a_program(
    folder: Folder, short: str, port: str
) -> None:
    found = health(folder, short)
    assert found is not None
    assert isinstance(found.probe, ExecProbe)
    assert found.probe.command[-4:] == ("virtsupd.ganeti.health", short, "127.0.0.1", port)


def test_nobody_is_asked_unless_it_is_said(folder: Folder) -> None:
    loaded = folder.load("[ganeti]\nos = []\n")
    assert not [spec.name for spec in loaded.specs if spec.health is not None]


def test_who_may_not_run_the_program_that_asks_is_not_asked(tmp_path: Path) -> None:
    program = tmp_path / "open" / "python"
    program.parent.mkdir()
    program.write_text("")
    program.chmod(0o755)
    tmp_path.chmod(0o700)
    why = why_not_asked("rapi", split=True, interpreter=str(program))
    assert why == f"its account may not run {program}, which would ask: it is not asked"
    assert why_not_asked("rapi", split=False, interpreter=str(program)) is None
    assert why_not_asked("luxid", split=True, interpreter=str(program)) is None
    assert why_not_asked("rapi", split=True, interpreter="/bin/sh") is None
    assert why_not_asked("confd", split=True, interpreter=str(tmp_path / "missing"))

"""What `[ganeti]` makes of its fields, told to the real programs: what they know is taken, what they refuse is refused first."""

import re
import subprocess
from pathlib import Path

import pytest
from tests.support.config_folder import Folder

from virtsupd.core.spec import ServiceSpec

pytestmark = pytest.mark.component

SECONDS = 20.0
TLS = 'debug = true\nssl = false\nmax_clients = 3\nport = 7\nsyslog = "only"\n'
FULL = {
    "noded": f'{TLS}mlock = false\ninterface = "lo"\n',
    "confd": 'debug = true\nport = 7\naddress = "127.0.0.1"\nsyslog = "yes"\n',
    "wconfd": 'debug = true\nno_voting = true\nsyslog = "no"\n',
    "luxid": 'debug = true\nno_voting = true\nsyslog = "no"\n',
    "rapi": f'{TLS}require_authentication = true\naddress = "127.0.0.1"\n',
    "kvmd": 'debug = true\nsyslog = "no"\n',
    "mond": 'debug = true\nport = 7\naddress = "127.0.0.1"\n',
    "metad": 'debug = true\nport = 7\naddress = "127.0.0.1"\n',
    "watcher": 'debug = true\nverify_disks = false\nrapi_ip = "127.0.0.1"\n',
}
"""Every field that becomes a flag."""


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """Give each test a folder of its own."""
    return Folder(tmp_path)


def service(folder: Folder, short: str, keys: str) -> ServiceSpec:
    return folder.service(f"[ganeti]\nos = []\n[ganeti.{short}]\n{keys}", f"ganeti-{short}")


def run(*command: str) -> "subprocess.CompletedProcess[str]":
    """Run one of Ganeti's programs where it has no network, so that it could not serve if it wanted to."""
    return subprocess.run(
        ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", *command],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


@pytest.mark.parametrize("short", FULL)
def test_each_flag_is_one_that_the_program_knows(folder: Folder, short: str) -> None:
    process = service(folder, short, FULL[short]).process
    assert process is not None
    given = {word.partition("=")[0] for word in process.command[1:]} - {"-f"}
    assert len(given) >= 2
    helped = run(f"ganeti-{short}", "--help").stdout
    assert given <= set(re.findall(r"--[a-z-]+", helped))
    takes_value = {word.partition("=")[0] for word in process.command if "=" in word}
    assert takes_value == {flag for flag in given if re.search(rf"{flag}=", helped)}


@pytest.mark.parametrize("short", ["noded", "rapi"])
def test_an_address_beside_an_interface_is_refused_by_both(folder: Folder, short: str) -> None:
    keys = 'address = "127.0.0.1"\ninterface = "lo"\n'
    [problem] = folder.problems(f"[ganeti]\nos = []\n[ganeti.{short}]\n{keys}")
    assert "does not go with interface" in problem
    refused = run(f"ganeti-{short}", "-f", "--bind=127.0.0.1", "--interface=lo")
    assert refused.returncode == 1
    assert "Can't specify both" in refused.stderr


@pytest.mark.parametrize(
    ("short", "key", "value", "flag"),
    [
        ("noded", "port", '"x"', "--port=x"),
        ("noded", "max_clients", '"x"', "--max-clients=x"),
        ("noded", "syslog", '"perhaps"', "--syslog=perhaps"),
        ("confd", "port", '"x"', "--port=x"),
        ("confd", "syslog", '"perhaps"', "--syslog=perhaps"),
        ("mond", "syslog", '"yes"', "--syslog=yes"),
    ],
)
def test_a_value_that_the_program_refuses_is_refused_first(
    folder: Folder, short: str, key: str, value: str, flag: str
) -> None:
    [problem] = folder.problems(f"[ganeti]\nos = []\n[ganeti.{short}]\n{key} = {value}\n")
    assert f"ganeti.{short}.{key}" in problem
    assert run(f"ganeti-{short}", "-f", flag).returncode in (1, 2)


def test_who_is_not_master_ends_with_what_we_take_for_that(folder: Folder) -> None:
    for short in ("wconfd", "luxid"):
        code = run(f"ganeti-{short}", "-f").returncode
        assert code in service(folder, short, "").not_needed_exit

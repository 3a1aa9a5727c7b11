"""What of a host is compared with the other nodes."""

import json
from pathlib import Path

import pytest

from virtsupd.ganeti.facts import facts, main


@pytest.fixture
def node(tmp_path: Path) -> Path:
    """Give each test a host with an OS provider and its variants."""
    for name, text in {
        "etc/file-storage-paths": "/srv\n",
        "etc/instance-custom/variants.list": "foo\n",
        "etc/instance-custom/variants/foo.conf": "fine",
        "etc/instance-custom/variants.list.virtsupd-saved": "old",
        "os/custom/ganeti_api_version": "20\n",
        "os/custom/create": "#!/bin/sh\n",
        "os/no-provider/x": "",
        "lib/ssconf_node_list": "127.0.0.1\nno.such.host.invalid\n",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def of(node: Path) -> dict[str, str]:
    return facts(
        {"noded.port": "1811"}, etc=node / "etc", library=node / "lib", providers=[str(node / "os")]
    )


def test_names_files_providers_and_our_own_settings_are_told(node: Path) -> None:
    found = of(node)
    assert found.pop("version of virtsupd")
    assert found["[ganeti] noded.port"] == "1811"
    assert found["address of 127.0.0.1"] == "127.0.0.1"
    assert found["address of no.such.host.invalid"] == "nothing"
    assert set(found) == {
        "[ganeti] noded.port",
        "address of 127.0.0.1",
        "address of no.such.host.invalid",
        str(node / "etc/file-storage-paths"),
        str(node / "etc/instance-custom/variants.list"),
        str(node / "etc/instance-custom/variants/foo.conf"),
        "OS provider custom",
    }


@pytest.mark.parametrize(
    ("changed", "key"),
    [
        ("etc/file-storage-paths", "etc/file-storage-paths"),
        ("etc/instance-custom/variants/foo.conf", "etc/instance-custom/variants/foo.conf"),
        ("os/custom/create", "OS provider custom"),
    ],
)
def test_a_byte_makes_a_difference(node: Path, changed: str, key: str) -> None:
    before = of(node)
    (node / changed).write_text("another")
    different = {name for name, value in of(node).items() if value != before[name]}
    assert different == {key if key.startswith("OS") else str(node / key)}


def test_what_is_not_there_is_told_as_nothing(tmp_path: Path) -> None:
    found = facts({}, etc=tmp_path, library=tmp_path, providers=[str(tmp_path)])
    assert found[str(tmp_path / "file-storage-paths")] == "nothing"


def test_it_prints_one_line_of_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(['{"a": "b"}']) == 0
    [line] = capsys.readouterr().out.splitlines()
    assert json.loads(line)["[ganeti] a"] == "b"

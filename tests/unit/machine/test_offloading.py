"""Offering a machine to the host's Guix, and taking it back: what others wrote is as it was."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from virtsupd.machine.offload_settings import OffloadSettings
from virtsupd.machine.offloading import NotOfferedError, add, main, remove
from virtsupd.machine.signing_key import key_text

ACL = "(acl (entry (public-key (rsa))))\n"
MACHINES = '(list (build-machine (name "big")))\n'


@pytest.fixture
def settings(tmp_path: Path) -> OffloadSettings:
    root, guix = tmp_path / "secrets", tmp_path / "guix"
    for name, content in (
        ("etc/guix/signing-key.pub", key_text("public-key", "AB" * 32)),
        ("etc/ssh/ssh_host_ed25519_key.pub", "ssh-ed25519 AAAA childhurd\n"),
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)
    guix.mkdir()
    return OffloadSettings("hurd-vm", 10022, str(root), ("i586-gnu",), directory=str(guix))


def files(settings: OffloadSettings) -> dict[str, str]:
    return {
        path.name: path.read_text()
        for path in Path(settings.directory).iterdir()
        if path.name[0] != "."
    }


def test_both_files_have_it_and_then_are_as_they_were(settings: OffloadSettings) -> None:
    directory = Path(settings.directory)
    (directory / "acl").write_text(ACL)
    (directory / "machines.scm").write_text(MACHINES)
    (directory / "acl").chmod(0o640)
    assert len(list(add(settings))) == 2
    there = files(settings)
    assert "ABAB" in there["acl"]
    assert "10022" in there["machines.scm"]
    assert (directory / "acl").stat().st_mode & 0o777 == 0o640
    assert list(add(settings)) == []
    assert files(settings) == there
    assert len(list(remove(settings))) == 2
    assert files(settings) == {"acl": ACL, "machines.scm": MACHINES}
    assert list(remove(settings)) == []


def test_a_key_is_accepted_as_long_as_one_of_the_machines_that_have_it_is_offered(
    settings: OffloadSettings,
) -> None:
    second = replace(settings, machine="hurd-vm2", ssh_port=12022)
    list(add(settings))
    list(add(second))
    list(remove(second))
    assert "ABAB" in files(settings)["acl"]
    list(remove(settings))
    assert files(settings) == {"acl": "(acl)\n"}
    assert not (Path(settings.directory) / ".virtsupd.json").exists()


def test_a_key_that_somebody_else_had_accepted_stays_so(settings: OffloadSettings) -> None:
    acl = Path(settings.directory) / "acl"
    list(add(settings))
    accepted = acl.read_text()
    list(remove(settings))
    acl.write_text(accepted)  # as an operator does it by hand
    list(add(settings))
    list(remove(settings))
    assert acl.read_text() == accepted


def test_files_that_were_not_there_are_made(settings: OffloadSettings) -> None:
    list(add(settings))
    assert set(files(settings)) == {"acl", "machines.scm"}
    list(remove(settings))
    assert files(settings) == {"acl": "(acl)\n"}


def test_a_link_is_replaced_by_a_file_with_its_content(settings: OffloadSettings) -> None:
    directory = Path(settings.directory)
    store = directory.parent / "store-acl"
    store.write_text(ACL)
    (directory / "acl").symlink_to(store)
    list(add(settings))
    assert store.read_text() == ACL
    assert not (directory / "acl").is_symlink()
    assert "(rsa)" in (directory / "acl").read_text()


def test_a_file_that_is_damaged_is_named_and_left_alone(settings: OffloadSettings) -> None:
    machines = Path(settings.directory) / "machines.scm"
    machines.write_text("(list")
    with pytest.raises(NotOfferedError, match=r"machines\.scm has a parenthesis .* as it was"):
        list(add(settings))
    assert machines.read_text() == "(list"


def test_without_a_guix_or_without_keys_it_says_so(
    settings: OffloadSettings, tmp_path: Path
) -> None:
    said: list[str] = []
    file = tmp_path / "settings"
    file.write_text(replace(settings, directory=str(tmp_path / "none")).text)
    assert main(["add", str(file)], said.append) == 1
    assert "no Guix builds on this host" in said[0]
    with pytest.raises(NotOfferedError, match="no SSH host key"):
        list(add(replace(settings, secret_root=str(tmp_path))))


def test_it_is_held_until_a_term(settings: OffloadSettings, tmp_path: Path) -> None:
    before = files(settings)
    file = tmp_path / "settings"
    file.write_text(settings.text)
    command = [sys.executable, "-u", "-m", "virtsupd.machine.offloading", "hold", str(file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        told = [process.stdout.readline() for _ in range(2)]
        assert "accepts" in told[0]
        assert "10022" in files(settings)["machines.scm"]
        process.terminate()
        assert process.wait(10) == 0
    assert files(settings).keys() - before.keys() == {"acl"}

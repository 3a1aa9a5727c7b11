"""What a machine needs before it starts: what is missing is made, and what is there stays."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from virtsupd.errors import VirtsupdError
from virtsupd.machine.acl import AclError
from virtsupd.machine.prepare import main, prepare
from virtsupd.machine.prepare_settings import PrepareSettings
from virtsupd.machine.secrets import payload
from virtsupd.machine.signing_key import key_text

SSH = [f"etc/ssh/ssh_host_{kind}_key" for kind in ("ed25519", "ecdsa", "rsa")]
KEYS = {**dict.fromkeys(SSH, 0o600), **dict.fromkeys([f"{key}.pub" for key in SSH], 0o644)}
GUIX = {"etc/guix/signing-key.pub": 0o444, "etc/guix/signing-key.sec": 0o400, "etc/guix/acl": 0o644}
HOST_KEY = key_text("public-key", "EF" * 32)


@pytest.fixture
def settings(tmp_path: Path) -> PrepareSettings:
    return PrepareSettings(
        "hurd-vm",
        "root",
        "root",
        str(tmp_path),
        str(tmp_path / "secrets"),
        host_acl=str(tmp_path / "acl"),
        host_key=str(tmp_path / "signing-key.pub"),
    )


def modes(root: Path) -> dict[str, int]:
    return {
        str(path.relative_to(root)): path.stat().st_mode & 0o777
        for path in root.rglob("*")
        if path.is_file()
    }


def root_of(settings: PrepareSettings) -> Path:
    return Path(settings.secret_root or "")


def test_every_file_is_made_with_its_mode_in_a_directory_of_ours(settings: PrepareSettings) -> None:
    told = list(prepare(settings))
    root = root_of(settings)
    assert modes(root) == {**KEYS, **GUIX}
    assert root.stat().st_mode & 0o777 == 0o700
    assert len(told) == 8
    assert payload(str(root)).count(b"ssh_host_") == 6


def test_a_second_run_changes_nothing(settings: PrepareSettings) -> None:
    list(prepare(settings))
    before = payload(settings.secret_root)
    assert list(prepare(settings)) == []
    assert payload(settings.secret_root) == before


def test_a_directory_that_is_open_to_others_is_told_and_left_as_it_is(
    settings: PrepareSettings,
) -> None:
    root_of(settings).mkdir(mode=0o755)
    told = list(prepare(settings))
    assert told[0].endswith(
        f"is open to others (mode 755), and secrets lie there: chmod 700 {root_of(settings)}"
    )
    assert root_of(settings).stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize("missing", [*KEYS, "etc/guix/acl"])
def test_one_missing_file_is_made_and_the_others_stay(
    settings: PrepareSettings, missing: str
) -> None:
    list(prepare(settings))
    root = root_of(settings)
    (root / missing).unlink()
    before = {name: (root / name).read_bytes() for name in modes(root)}
    list(prepare(settings))
    assert modes(root) == {**KEYS, **GUIX}
    assert {name: (root / name).read_bytes() for name in before} == before


def test_a_public_key_is_made_again_from_the_private_one(settings: PrepareSettings) -> None:
    list(prepare(settings))
    public = root_of(settings) / f"{SSH[0]}.pub"
    before = public.read_text()
    public.unlink()
    list(prepare(settings))
    assert public.read_text() == before


def test_half_a_signing_pair_is_neither_completed_nor_replaced(settings: PrepareSettings) -> None:
    list(prepare(settings))
    (root_of(settings) / "etc/guix/signing-key.sec").unlink()
    with pytest.raises(VirtsupdError, match=r"signing-key\.sec is not; put that back"):
        list(prepare(settings))


def test_the_guest_accepts_what_the_host_does_and_what_the_host_signs(
    settings: PrepareSettings,
) -> None:
    Path(settings.host_acl).write_text("(acl (entry (public-key (rsa))))\n")
    Path(settings.host_key).write_text(HOST_KEY)
    list(prepare(settings))
    acl = (root_of(settings) / "etc/guix/acl").read_text()
    assert acl.index("EFEF") < acl.index("rsa")


def test_a_host_whose_list_is_damaged_is_told_so_and_nothing_is_left(
    settings: PrepareSettings,
) -> None:
    Path(settings.host_acl).write_text("nonsense")
    Path(settings.host_key).write_text(HOST_KEY)
    with pytest.raises(AclError):
        list(prepare(settings))
    assert not root_of(settings).exists()


def test_without_guix_there_are_ssh_keys_alone(settings: PrepareSettings) -> None:
    list(prepare(replace(settings, has_signing_key=False)))
    assert modes(root_of(settings)) == KEYS


def test_the_host_s_key_for_builds_is_made_and_let_in(
    settings: PrepareSettings, tmp_path: Path
) -> None:
    key = tmp_path / "offload/ssh/childhurd"
    list(prepare(replace(settings, offload_key=str(key))))
    allowed = root_of(settings) / "etc/ssh/authorized_keys.d/offloading"
    assert allowed.read_text() == Path(f"{key}.pub").read_text()
    assert allowed.read_text().startswith("ssh-ed25519 ")
    assert key.stat().st_mode & 0o777 == 0o600
    assert list(prepare(replace(settings, offload_key=str(key)))) == []


def test_a_key_with_a_passphrase_is_named(settings: PrepareSettings) -> None:
    root = root_of(settings)
    (root / "etc/ssh").mkdir(parents=True)
    root.chmod(0o700)
    key = root / SSH[0]
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "secret", "-f", key], check=True)
    Path(f"{key}.pub").unlink()
    before = key.read_bytes()
    with pytest.raises(VirtsupdError, match="ssh_host_ed25519_key is no SSH key without"):
        list(prepare(settings))
    assert key.read_bytes() == before


def test_the_program_says_what_it_makes_or_why_it_cannot(
    settings: PrepareSettings, tmp_path: Path
) -> None:
    file = tmp_path / "settings"
    file.write_text(settings.text)
    command = [sys.executable, "-m", "virtsupd.machine.prepare", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert len(done.stdout.splitlines()) == 8
    said: list[str] = []
    file.write_text(replace(settings, tmp_dir=str(tmp_path / "nowhere")).text)
    assert main([str(file)], said.append) == 1
    assert "TMPDIR" in said[0]


@pytest.mark.skipif(os.geteuid() != 0, reason="asks as another account")
def test_a_tmpdir_is_looked_at_as_the_account_that_runs_qemu(
    settings: PrepareSettings, tmp_path: Path
) -> None:
    tmp_path.chmod(0o755)
    with pytest.raises(VirtsupdError, match=r"nobody, who runs QEMU, may not write to .*TMPDIR"):
        list(prepare(replace(settings, user="nobody", group="nogroup")))
    assert not root_of(settings).exists()


def test_two_machines_that_have_one_root_are_both_prepared_and_get_one_set(
    settings: PrepareSettings, tmp_path: Path
) -> None:
    files = []
    for name in ("hurd-vm1", "hurd-vm2", "hurd-vm3"):
        files.append(tmp_path / name)
        files[-1].write_text(replace(settings, machine=name).text)
    program = [sys.executable, "-m", "virtsupd.machine.prepare"]
    running = [
        subprocess.Popen([*program, str(file)], stdout=subprocess.PIPE, text=True) for file in files
    ]
    said = [process.communicate(timeout=20)[0].splitlines() for process in running]
    assert [process.returncode for process in running] == [0, 0, 0], said
    assert sorted(map(len, said)) == [0, 0, 8]
